package pubsub

import "context"

// This is how a client has what is not in memory any more.

// replay is a subscription of its own that a place has until it is where the others are.
type replay struct {
	place  *place
	sub    Subscription
	cancel context.CancelFunc
}

// replayed is a message from the history.
type replayed struct {
	*replay
	*message
}

// catchUp is for a place whose messages are gone.
func (p *place) catchUp() error {
	if p.t.live {
		return p.c.deliver(p, encodeGap(p.t.skip(p), p.pos))
	}
	return p.replay()
}

// replay begins to read from the history.
func (p *place) replay() error {
	c, t := p.c, p.t
	if c.replayed == nil {
		c.replayed = make(chan replayed, replayBatch)
	}
	c.s.n.replayed.Add(1)
	ctx, cancel := context.WithCancel(c.ctx)
	r := &replay{place: p, cancel: cancel}
	hand := func(ctx context.Context, m *message) {
		select {
		case c.replayed <- replayed{r, m}:
		case <-ctx.Done():
		}
	}
	gap := func(ctx context.Context, g Gap) { hand(ctx, encodeGap(g, "")) }
	event := func(ctx context.Context, e Event) error {
		encoded := false
		defer func() {
			if !encoded { // by a panic
				gap(ctx, Gap{t.name, Sequence, 1})
			}
		}()
		m := t.encode(&e)
		encoded = true
		hand(ctx, m)
		return nil
	}
	var err error
	r.sub, err = c.s.bus.Subscribe(ctx, t.name, event, &SubscribeOptions{After: p.pos, Buffer: replayBatch, OnGap: gap})
	if err != nil {
		cancel()
		return err
	}
	p.from = r
	return nil
}

// stop ends the reading from the history.
func (p *place) stop() {
	if p.from != nil {
		p.from.cancel()
		<-p.from.sub.Done()
		p.from = nil
	}
}

// takeAll takes what has been read from the history.
func (c *client) takeAll(r replayed) error {
	for range replayBatch {
		if err := c.take(r); err != nil {
			return err
		}
		select {
		case r = <-c.replayed:
		default:
			return nil
		}
	}
	return c.take(r)
}

// take sends a message from the history, and goes on with the topic's if it is there too.
func (c *client) take(r replayed) error {
	p := r.place
	if p.from != r.replay {
		return nil // from before
	}
	if r.gap {
		r.pos = p.pos
		return c.deliver(p, r.message)
	}
	if err := c.deliver(p, r.message); err != nil {
		return err
	}
	if p.t.find(p, r.pos) {
		p.stop()
	}
	return nil
}
