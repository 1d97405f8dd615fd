package counter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

const (
	// flightFor is how long a flush may take to arrive; then it is too late.
	flightFor = 10 * time.Second
	// gateFor is how long its gate lives on, by which it can be told whether it has arrived.
	gateFor = 5 * time.Minute
	// closeFor bounds how long Close tries.
	closeFor = time.Minute
	// flushBatch is how many counters are written by one pipeline, which a server may execute
	// at a stretch.
	flushBatch = 256
	// How long to wait between the attempts of one flush.
	firstPause, maxPause = 5 * time.Millisecond, 500 * time.Millisecond
)

// A flight is what is written for one key: what was gathered until then, which does not
// change any more, under a number.
type flight struct {
	n     int64
	seq   int64
	until int64 // when it is too late, by the server's time, µs
	lost  bool  // an attempt may have been executed
}

// job is a flight on its way. Only those who flush use it and what it points to.
type job struct {
	shard *shard
	key   string
	entry *entry
	*flight
}

// flush sends what was gathered, and what is left of earlier flushes, until all is written
// or so much time is over. Only one at a time does.
func (b *Buffered) flush(ctx context.Context, patience time.Duration) error {
	begun := time.Now()
	jobs := b.depart()
	var given, kept error // up, for later
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		var up error
		var refused bool
		jobs, refused, up, kept = b.attempt(ctx, jobs)
		given = join(given, up)
		if len(jobs) == 0 {
			return given
		}
		if ctx.Err() != nil {
			kept = fmt.Errorf("counter: flush: %w", ctx.Err())
		}
		if ctx.Err() != nil || refused || time.Since(begun)+pause >= patience {
			return join(given, kept)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// join is errors.Join that leaves a single error as it is.
func join(a, b error) error {
	if a == nil {
		return b
	}
	if b == nil {
		return a
	}
	return errors.Join(a, b)
}

// depart makes flights of all that was gathered. It lets go of keys that nothing was added
// to since the last time.
func (b *Buffered) depart() []job {
	round := b.round.Add(1)
	var jobs []job
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		for key, e := range s.entries {
			switch {
			case e.flight != nil:
			case e.touched:
				b.seq++
				e.flight = &flight{n: e.pending, seq: b.seq}
				e.pending, e.touched = 0, false
				e.flights++
			default:
				if e.seen+1 < round {
					delete(s.entries, key)
					b.held.Add(-1)
				}
				continue
			}
			jobs = append(jobs, job{s, key, e, e.flight})
		}
		s.mu.Unlock()
	}
	return jobs
}

// attempt sends flights. It returns those that have to be sent again and why, whether
// there is no use in doing so soon, and why others were given up.
func (b *Buffered) attempt(ctx context.Context, jobs []job) (again []job, refused bool, given, kept error) {
	refused = true
	for len(jobs) > 0 {
		part := jobs[:min(flushBatch, len(jobs))]
		jobs = jobs[len(part):]
		budget := b.c.x.Budget()
		for range 2 { // once more for those whose server's clock was not known
			var late []job
			cmds := make([]*exec.Cmd, len(part))
			for i, j := range part {
				cmds[i] = b.request(j)
			}
			_ = b.c.x.DoAll(ctx, budget, cmds) // each has its own
			for i, j := range part {
				switch verdict, err := b.settle(j, cmds[i]); verdict {
				case flightLate:
					late = append(late, j)
				case flightKept:
					again = append(again, j)
					refused = refused && !errors.Is(err, ErrUnavailable)
					if kept == nil {
						kept = err
					}
				case flightGivenUp:
					if given == nil {
						given = err
					} else if errors.Is(given, ErrUnknownOutcome) != errors.Is(err, ErrUnknownOutcome) {
						given = join(given, err)
					}
				}
			}
			if part = late; len(part) == 0 {
				break
			}
		}
		if len(part) > 0 {
			again, refused = append(again, part...), false
			kept = fmt.Errorf("%w: flush: %w", ErrUnavailable, errLate)
		}
	}
	return again, refused, given, kept
}

// request is the next attempt of a flight.
func (b *Buffered) request(j job) *exec.Cmd {
	r := b.c
	keys := []string{r.key(j.key), r.o.keys.Key(b.gates, j.key)}
	var gate int64
	if j.lost {
		gate = j.entry.gate
	} else {
		j.until = 0
		if _, now, ok := r.x.ServerTime(keys[0]); ok {
			j.until = now.Add(flightFor).UnixMicro()
		}
	}
	return r.o.flush.Cmd(keys, j.n, millis(r.o.TTL), j.seq, j.until, millis(gateFor), gate)
}

// What becomes of a flight.
type flightVerdict uint8

const (
	flightDone flightVerdict = iota
	flightLate
	flightKept
	flightGivenUp
)

// settle looks at the reply to an attempt.
func (b *Buffered) settle(j job, cmd *exec.Cmd) (flightVerdict, error) {
	err := cmd.Err()
	if err == nil {
		server, outcome, total, err := b.c.outcome(cmd)
		switch {
		case err != nil:
			return b.giveUp(j, err)
		case outcome == outcomeDone:
			b.done(j, total)
			return flightDone, nil
		case outcome == outcomeGone:
			return b.giveUp(j, errGate)
		case j.lost && server >= j.until+gateFor.Microseconds():
			return b.giveUp(j, errLate)
		}
		b.again(j)
		return flightLate, nil
	}
	switch kind := exec.KindOf(err); {
	case isForeign(err):
		return b.giveUp(j, err)
	case kind == exec.UnknownOutcome && j.until > 0: // else it is too late for certain
		j.lost = true
	}
	b.n.retried.Add(1)
	if exec.KindOf(err) == exec.Refused {
		return flightKept, fmt.Errorf("counter: flush: %w", err)
	}
	b.away.Store(b.round.Load())
	return flightKept, fmt.Errorf("%w: flush: %w", ErrUnavailable, err)
}

var errGate = errors.New("the gate of a counter has gone")

// again makes a flight new that has not arrived: under another number, so that it never
// will, should the server's clock be set back.
func (b *Buffered) again(j job) {
	b.seq++
	j.seq, j.lost = b.seq, false
}

// done ends a flight that was written.
func (b *Buffered) done(j job, total int64) {
	b.n.written.Add(1)
	j.shard.mu.Lock()
	defer j.shard.mu.Unlock()
	e := j.entry
	e.flight, e.total, e.seen = nil, total, b.round.Load()
	e.gate = j.until + gateFor.Microseconds()
}

// giveUp ends a flight that may have been written, or cannot be.
func (b *Buffered) giveUp(j job, err error) (flightVerdict, error) {
	refused := isForeign(err) && !j.lost
	times, sum := &b.n.unknown, &b.n.unknownSum
	if refused {
		times, sum = &b.n.refused, &b.n.refusedSum
	}
	times.Add(1)
	if n := uint64(j.n); j.n < 0 {
		sum.Add(-n)
	} else {
		sum.Add(n)
	}
	j.shard.mu.Lock()
	defer j.shard.mu.Unlock()
	j.entry.flight, j.entry.seen, j.entry.gate = nil, 0, 0
	if refused {
		return flightGivenUp, fmt.Errorf("counter: flush: %w", err)
	}
	return flightGivenUp, fmt.Errorf("%w: flush: %w", ErrUnknownOutcome, err)
}
