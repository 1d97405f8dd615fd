package pubsub

import (
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"sync"
	"time"
)

var _ Subscription = (*subscription)(nil)

// subscription is the receiving end of a bus. Events are put into its queue, and a
// goroutine that exists only as long as there are any hands them to the handler. Where the
// topic is replayable it may be behind: then events pass it by, and the goroutine reads
// them from the history until it has caught up.
type subscription struct {
	bus    *base
	topic  string
	opts   SubscribeOptions
	handle Handler
	ctx    context.Context // the handler's
	cancel context.CancelFunc
	unbind func() bool // from Subscribe's context
	feed   *feed
	most   int // entries of the next page; the goroutine's

	mu       sync.Mutex
	queue    queue
	at       position // of the last event in the queue, or that was read
	told     string   // the Position of the last event that the handler has had
	behind   bool
	held     bool    // behind, and where is not known yet
	read     batches // while behind or ahead of the feed: what was delivered
	running  bool    // the goroutine is there
	ending   bool    // nothing more is put into the queue
	stopped  bool    // and what is in it is dropped
	finished bool
	err      error
	nudge    chan struct{} // wakes the goroutine when it waits for the history
	done     chan struct{}
}

// handlerOf is the key under which a handler's context knows its subscription.
type handlerOf struct{}

func newSubscription(ctx context.Context, b *base, topic string, h Handler, o SubscribeOptions) *subscription {
	s := &subscription{
		bus: b, topic: topic, opts: o, handle: h,
		queue: queue{most: o.Buffer},
		most:  minPage,
		nudge: make(chan struct{}, 1), done: make(chan struct{}),
	}
	s.ctx, s.cancel = context.WithCancel(context.WithValue(context.WithoutCancel(ctx), handlerOf{}, s))
	s.unbind = func() bool { return true }
	return s
}

// attach has the subscription begin with the feed's next event, or behind; f.mu is held.
func (s *subscription) attach(f *feed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.finished {
		return
	}
	s.at = f.at
	s.held = s.opts.After != "" || s.opts.Last > 0 || !s.opts.Since.IsZero()
	switch {
	case s.held:
		s.behind, s.read = true, make(batches)
	case f.history != nil:
		s.told = f.at.String() // now: what arrives before begin is yet to be delivered
	}
	f.subs = append(f.subs, s)
}

// begin goes where the options say, once the subscription is attached.
func (s *subscription) begin(ctx context.Context) error {
	s.mu.Lock()
	now := s.at
	s.mu.Unlock()
	if h := s.feed.history; h != nil {
		at, gaps, err := begin(ctx, h, s.topic, &s.opts, now)
		if err != nil {
			return err
		}
		s.mu.Lock()
		for _, g := range gaps {
			s.missed(g)
		}
		if s.held {
			s.at = at
		}
		if s.told == "" {
			s.told = at.String()
		}
		s.held = false
		if s.behind {
			s.wake()
		}
		s.mu.Unlock()
	}
	s.bind(ctx)
	return nil
}

// discard undoes a start that has failed.
func (s *subscription) discard() {
	s.stop(nil)
}

// bind ends the subscription with a context.
func (s *subscription) bind(ctx context.Context) {
	unbind := context.AfterFunc(ctx, func() { s.stop(context.Cause(ctx)) })
	s.mu.Lock()
	s.unbind = unbind
	s.mu.Unlock()
}

func (s *subscription) Done() <-chan struct{} { return s.done }

func (s *subscription) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

func (s *subscription) Position() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.told
}

func (s *subscription) Close(ctx context.Context) error {
	s.end(nil)
	if s.ctx.Value(handlerOf{}) == ctx.Value(handlerOf{}) { // from within the handler
		return nil
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		s.stop(nil)
		return ctx.Err()
	}
}

// end takes nothing more, and ends the subscription when the queue is empty.
func (s *subscription) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending {
		return
	}
	s.ending, s.err = true, err
	s.wake()
}

// stop drops what is in the queue, and ends the subscription when the handler returns.
func (s *subscription) stop(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopLocked(err)
}

func (s *subscription) stopLocked(err error) {
	if s.stopped || s.finished {
		return
	}
	if !s.ending {
		s.ending, s.err = true, err
	}
	s.stopped = true
	s.queue.drop()
	s.cancel()
	s.wake()
}

// offer takes events that have arrived; s.mu is held. Where the topic is replayable the
// subscription may have some of them already, and at is where the last of them is.
func (s *subscription) offer(events []*Event, at position) {
	if s.ending || s.behind {
		return
	}
	for i, e := range events {
		if s.feed.history != nil && e.Seq <= s.at.n && at.epoch == s.at.epoch {
			if e.Seq == s.at.n && idOf(e.Position) != s.at.id && !s.at.loose {
				s.fallBehind() // it has had another one: the numbers have gone back
				s.wake()
				return
			}
			continue
		}
		if s.queue.full() {
			switch {
			case s.opts.Overflow == Disconnect:
				lost := s.queue.events + len(events) - i
				s.stopLocked(ErrSlowConsumer)
				s.missed(Gap{s.topic, SlowConsumer, int64(lost)})
				return
			case s.feed.history != nil:
				s.fallBehind()
				return
			case s.opts.Overflow == DropNewest:
				s.missed(Gap{s.topic, SlowConsumer, 1})
				continue
			}
			s.queue.dropOldest(s.topic)
			s.bus.n.missed(Gap{Reason: SlowConsumer, Missed: 1})
		}
		s.queue.add(e)
		if s.feed.history != nil {
			s.at, s.read = position{epoch: at.epoch, n: e.Seq, tag: at.tag, id: idOf(e.Position)}, nil
		}
	}
	s.wake()
}

// fallBehind has the subscription go on in the history; the feed's and its own mutex are held.
func (s *subscription) fallBehind() {
	s.behind = true
	if s.read == nil { // else it was ahead, and has not had what has arrived since
		s.read = maps.Clone(s.feed.batches)
	}
	if s.read == nil {
		s.read = make(batches)
	}
}

// missed announces a gap after what is in the queue; s.mu is held.
func (s *subscription) missed(g Gap) {
	s.bus.n.missed(g)
	s.queue.addGap(g)
	s.wake()
}

// wake starts the goroutine if it is not there; s.mu is held.
func (s *subscription) wake() {
	if !s.running && !s.finished {
		s.running = true
		go s.run()
	}
	select {
	case s.nudge <- struct{}{}:
	default:
	}
}

// run hands what is in the queue, or the history, to the handler, until nothing is there.
func (s *subscription) run() {
	returned := false
	defer func() {
		if !returned { // the handler has ended the goroutine
			go s.run()
		}
	}()
	pause := time.Duration(0)
	for {
		s.mu.Lock()
		it, ok := s.queue.pop()
		switch {
		case ok:
			s.mu.Unlock()
			s.deliver(it)
		case s.ending:
			s.finished = true
			s.mu.Unlock()
			s.finish()
			returned = true
			return
		case s.behind && !s.held:
			s.mu.Unlock()
			pause = s.catchUp(pause)
		default:
			s.running = false
			s.mu.Unlock()
			returned = true
			return
		}
	}
}

func (s *subscription) finish() {
	s.mu.Lock()
	unbind := s.unbind
	s.mu.Unlock()
	unbind()
	s.cancel()
	s.feed.remove(s)
	s.bus.left(s)
	close(s.done)
	s.bus.running.Done()
}

// deliver calls the handler, or OnGap.
func (s *subscription) deliver(it item) {
	if report := s.bus.o.OnError; report != nil {
		defer func() {
			if v := recover(); v != nil {
				s.bus.n.failed.Add(1)
				report(fmt.Errorf("pubsub: a handler panicked: %v\n%s", v, debug.Stack()))
			}
		}()
	}
	if it.event == nil {
		if s.opts.OnGap != nil {
			s.opts.OnGap(s.ctx, it.gap)
		}
		return
	}
	if it.event.Position != "" {
		defer func() {
			s.mu.Lock()
			s.told = it.event.Position
			s.mu.Unlock()
		}()
	}
	s.bus.n.delivered.Add(1)
	if err := s.handle(s.ctx, *it.event); err != nil {
		s.bus.n.failed.Add(1)
		s.bus.report(err)
	}
}
