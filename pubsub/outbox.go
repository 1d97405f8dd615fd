package pubsub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// outbox publishes the events of one partition in the order in which they come. One round
// trip is under way at a time; what comes meanwhile shares the next one, with a script for
// each topic. A batch whose reply is lost is sent again under its number, which the script
// executes once.
type outbox struct {
	r    *Redis
	part int

	mu      sync.Mutex
	queue   []*letter
	sending bool
	topics  map[string]*outgoing
	most    int // topics, before those are forgotten that need not be known
}

// letter is an event on its way.
type letter struct {
	topic  string
	record []byte
	state  letterState // guarded by outbox.mu
	done   chan error
}

type letterState uint8

const (
	waiting letterState = iota
	sent
	withdrawn // its publisher has left
)

// outgoing is what is known of a topic, so that what was not published is accounted for.
type outgoing struct {
	done    uint64 // the latest batch that surely was
	failed  int    // events since that surely were not
	unknown []batch
	used    time.Time
}

type batch struct {
	number uint64
	count  int
}

const (
	// batchEvents and batchBytes are what a script is given at most.
	batchEvents, batchBytes = 1024, 1 << 20
	// maxUnknown is how many batches of one topic may be of unknown outcome. Then its
	// numbers begin anew.
	maxUnknown = 64
	// keepOutgoing is how long a topic is known that nothing is owed to, and how long one
	// is known at all: no longer than by the server.
	keepOutgoing, keepOwed = 10 * time.Minute, topicTTL - time.Minute
)

// resendPause lies between the attempts at a batch.
const resendPause = 5 * time.Millisecond

// lastBatch numbers the batches of the process.
var lastBatch atomic.Uint64

func newOutbox(r *Redis, part int) *outbox {
	return &outbox{r: r, part: part, topics: make(map[string]*outgoing), most: 1024}
}

// post publishes a record, and waits.
func (o *outbox) post(ctx context.Context, topic string, record []byte) error {
	l := &letter{topic: topic, record: record, done: make(chan error, 1)}
	o.mu.Lock()
	o.queue = append(o.queue, l)
	if !o.sending {
		o.sending = true
		o.r.running.Add()
		go o.run()
	}
	o.mu.Unlock()
	timer := time.NewTimer(o.r.o.Timeout)
	defer timer.Stop()
	var err error
	select {
	case err := <-l.done:
		return err
	case <-ctx.Done():
		err = ctx.Err()
	case <-timer.C:
		err = errLate
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.state == sent {
		select {
		case err := <-l.done:
			return err
		default:
		}
		return unknownOutcome(err) // which is counted when it is known
	}
	l.state = withdrawn
	o.r.n.unavailable.Add(1)
	if err == errLate {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

var errLate = errors.New("no answer from redis in time")

// run sends what is in the queue.
func (o *outbox) run() {
	defer o.r.running.Done()
	for {
		parcels := o.take()
		if parcels == nil {
			return
		}
		o.send(parcels)
		o.settle(parcels)
	}
}

// parcel is a batch of one topic.
type parcel struct {
	topic   string
	to      *outgoing
	number  uint64
	letters []*letter
	size    int
	cmd     *exec.Cmd
	unknown bool // an attempt was of unknown outcome
	err     error
}

// take makes parcels of what is in the queue.
func (o *outbox) take() []*parcel {
	o.mu.Lock()
	defer o.mu.Unlock()
	var parcels []*parcel
	byTopic := make(map[string]*parcel)
	events, size, taken := 0, 0, 0
	for _, l := range o.queue {
		if l.state != withdrawn && events > 0 && (events == batchEvents || size+len(l.record) > batchBytes) {
			break
		}
		taken++
		to := o.outgoing(l.topic)
		if l.state == withdrawn {
			to.failed++
			continue
		}
		p := byTopic[l.topic]
		if p == nil {
			p = &parcel{topic: l.topic, to: to, number: lastBatch.Add(1)}
			byTopic[l.topic] = p
			parcels = append(parcels, p)
		}
		l.state = sent
		p.letters = append(p.letters, l)
		p.size += len(l.record)
		events++
		size += len(l.record)
	}
	n := copy(o.queue, o.queue[taken:])
	clear(o.queue[n:])
	o.queue = o.queue[:n]
	if parcels == nil {
		o.sending = false
	}
	return parcels
}

// outgoing returns what is known of a topic; o.mu is held.
func (o *outbox) outgoing(topic string) *outgoing {
	now := time.Now()
	to := o.topics[topic]
	if to == nil {
		if len(o.topics) >= o.most {
			for name, to := range o.topics {
				idle := now.Sub(to.used)
				if idle > keepOwed || idle > keepOutgoing && to.failed == 0 && len(to.unknown) == 0 {
					delete(o.topics, name)
				}
			}
			o.most = max(1024, 2*len(o.topics))
		}
		to = new(outgoing)
		o.topics[topic] = to
	} else if now.Sub(to.used) > keepOwed {
		*to = outgoing{}
	}
	to.used = now
	return to
}

// send sends the parcels until each has its last word, or the time is up. What is sent
// again has the same number.
func (o *outbox) send(parcels []*parcel) {
	b := o.r.x.Budget()
	todo := parcels
	for {
		cmds := make([]*exec.Cmd, len(todo))
		for i, p := range todo {
			p.cmd = o.script(p)
			cmds[i] = p.cmd
		}
		if len(cmds) == 1 {
			_ = o.r.x.Do(context.Background(), b, cmds[0])
		} else {
			_ = o.r.x.DoAll(context.Background(), b, cmds)
		}
		var again []*parcel
		for _, p := range todo {
			p.err = p.cmd.Err()
			if exec.KindOf(p.err) == exec.UnknownOutcome {
				p.unknown = true
				if b.Left() > 0 {
					again = append(again, p)
				}
			} else if p.err == nil && !isDone(p.cmd) {
				p.unknown = true // numbers only grow: somebody else has this bus's name
			}
		}
		if todo = again; len(todo) == 0 {
			return
		}
		time.Sleep(resendPause)
	}
}

// script makes the command of a parcel. The arguments are those of number.lua, and of the
// one that comes after it.
func (o *outbox) script(p *parcel) *exec.Cmd {
	r := o.r
	all := ""
	if r.sharded {
		all = r.allChannel(o.part)
	}
	done := p.to.done
	if len(p.to.unknown) >= maxUnknown {
		done = p.number
	}
	args := make([]any, 0, 14+len(p.letters)+2*len(p.to.unknown))
	args = append(args, r.publishCommand(), r.channel(p.topic), all, p.topic, newEpoch(), r.ttl(), r.name,
		p.number, done, p.to.failed, len(p.letters))
	keys := []string{r.topicKey(p.topic)}
	script := publishScript
	if r.o.replayable {
		script = appendScript
		keys = append(keys, r.historyKey(p.topic))
		args = append(args, 15+len(p.letters), r.o.HistoryLen, millis(r.o.HistoryFor))
		for _, l := range p.letters {
			args = append(args, l.record)
		}
	} else {
		records := p.letters[0].record
		if len(p.letters) > 1 {
			records = make([]byte, 0, p.size)
			for _, l := range p.letters {
				records = append(records, l.record...)
			}
		}
		args = append(args, 14, records)
	}
	for _, b := range p.to.unknown {
		args = append(args, b.number, b.count)
	}
	return script.Cmd(keys, args...)
}

// settle tells the publishers, and notes what the next script must know.
func (o *outbox) settle(parcels []*parcel) {
	n := &o.r.n
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, p := range parcels {
		count := uint64(len(p.letters))
		err := p.err
		switch {
		case err == nil && isDone(p.cmd):
			*p.to = outgoing{done: p.number, used: p.to.used}
			n.published.Add(count)
		case p.unknown || exec.KindOf(err) == exec.Refused: // which may be half way through the script
			if len(p.to.unknown) < maxUnknown {
				// If it was done, those before it are accounted for as well.
				p.to.unknown = append(p.to.unknown, batch{p.number, p.to.failed + len(p.letters)})
				p.to.failed = 0
			}
			if !p.unknown {
				err = o.r.failed(err)
				n.unavailable.Add(count)
				break
			}
			err = unknownOutcome(err)
			n.unknown.Add(count)
		default:
			p.to.failed += len(p.letters)
			err = o.r.failed(err)
			n.unavailable.Add(count)
		}
		for _, l := range p.letters {
			l.done <- err
		}
	}
}

func isDone(cmd *exec.Cmd) bool {
	code, _ := cmd.Val().(int64)
	return code == publishDone
}

func unknownOutcome(cause error) error {
	if cause == nil {
		return ErrUnknownOutcome
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, cause)
}
