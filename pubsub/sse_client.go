package pubsub

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// client is a request that is sent events.
type client struct {
	s        *SSE
	r        *http.Request
	ctx      context.Context // ends with the request, or when it is cut off
	cancel   context.CancelFunc
	out      sseStream
	places   []*place // in its topics, by name
	wake     chan struct{}
	replayed chan replayed
	line     []byte // an id: line
}

// place is where a client is in a topic.
type place struct {
	c     *client
	t     *sseTopic
	pos   string // that the client knows, or could know
	next  uint64 // the message to send next
	sum   tally  // of what came before it
	waits int    // its index in t.waiting, or -1; guarded by t.mu
	from  *replay
}

const (
	// readBatch is how many messages are taken from a topic at once, and replayBatch how
	// many from the history.
	readBatch, replayBatch = 64, 64
)

func newClient(s *SSE, w http.ResponseWriter, r *http.Request) *client {
	c := &client{s: s, r: r, wake: make(chan struct{}, 1)}
	c.ctx, c.cancel = context.WithCancel(r.Context())
	c.out = sseStream{w: w, rc: http.NewResponseController(w), timeout: s.o.WriteTimeout}
	s.mu.Lock()
	s.clients[c] = struct{}{}
	s.mu.Unlock()
	return c
}

// rouse wakes the client.
func (c *client) rouse() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// cut ends the client wherever it is.
func (c *client) cut() {
	c.cancel()
	c.out.cut()
}

// serve sends events until there is a reason to end. The error is one of those after which
// nothing was sent.
func (c *client) serve(topics []string) error {
	defer func() {
		c.s.mu.Lock()
		delete(c.s.clients, c)
		c.s.mu.Unlock()
		c.out.finish()
	}()
	defer c.leave()
	defer c.cancel()
	for _, name := range topics {
		c.places = append(c.places, &place{c: c, t: c.s.enter(name), waits: -1})
	}
	for _, p := range c.places {
		if err := p.opened(); err != nil {
			return err
		}
	}
	gaps, err := c.begin()
	if err != nil {
		return err
	}
	if err := c.out.start(c.s.o.Retry); err != nil {
		return err
	}
	c.s.n.connected.Add(1)
	if c.r.Method == http.MethodHead {
		return nil
	}
	if c.greet(gaps) == nil {
		c.run()
	}
	if c.out.stalled {
		c.s.n.stalled.Add(1)
	}
	return nil
}

// opened waits for the subscription of the topic.
func (p *place) opened() error {
	select {
	case <-p.t.opened:
		return p.t.err
	case <-p.c.ctx.Done():
		return p.c.ctx.Err()
	case <-p.c.s.running.Ending():
		return ErrClosed
	}
}

// leave gives the topics back.
func (c *client) leave() {
	for _, p := range c.places {
		p.stop()
		p.t.unwait(p)
	}
	for _, p := range c.places {
		c.s.leave(p.t)
	}
}

// begin finds out where the client goes on, and what it has to be told first.
func (c *client) begin() (gaps []*message, err error) {
	id := c.r.Header.Get("Last-Event-ID")
	if id == "" {
		id = c.r.URL.Query().Get("lastEventId")
	}
	at, known := map[string]string(nil), true
	if id != "" {
		c.s.n.resumed.Add(1)
		at, known = parseID(id)
	}
	for _, p := range c.places {
		pos := at[p.t.mark]
		reason := Reset
		switch {
		case pos == "" && known: // it begins, or the topic is one that it did not have
			p.t.join(p)
			continue
		case pos == "":
		case p.t.find(p, pos):
			continue
		case p.t.live:
			reason = Reconnect
		default:
			p.pos = pos
			if err = p.replay(); err == nil {
				continue
			}
			if !errors.Is(err, ErrPosition) {
				return nil, err
			}
		}
		p.t.join(p)
		gaps = append(gaps, encodeGap(Gap{p.t.name, reason, -1}, p.pos))
	}
	return gaps, nil
}

// greet sends where the client is, and what it has missed.
func (c *client) greet(gaps []*message) error {
	if err := c.out.write(append(c.id(), '\n')); err != nil {
		return err
	}
	for _, m := range gaps {
		c.s.n.gaps.Add(1)
		if err := c.out.write(m.text); err != nil {
			return err
		}
	}
	return c.out.flush()
}

// id is the line that says where the client is.
func (c *client) id() []byte {
	c.line = append(c.line[:0], "id: "...)
	for i, p := range c.places {
		if i > 0 {
			c.line = append(c.line, ',')
		}
		c.line = appendID(c.line, p.t.mark, p.pos)
	}
	c.line = append(c.line, '\n')
	return c.line
}

// run sends what there is, again and again.
func (c *client) run() {
	quiet := c.s.o.KeepAlive
	var alive <-chan time.Time
	var timer *time.Timer
	if quiet > 0 {
		quiet = quiet*4/5 + rand.N(quiet*2/5+1)
		timer = time.NewTimer(quiet)
		defer timer.Stop()
		alive = timer.C
	}
	var patience <-chan time.Time
	for {
		ended, rest := c.ended()
		over := c.s.running.IsClosed() || ended && rest == nil // if so, this is the last of it
		if ended && patience == nil {
			patience = time.After(endPatience)
		}
		sent, err := c.send()
		if err != nil || over {
			return
		}
		if sent && timer != nil {
			timer.Reset(quiet)
		}
		select {
		case <-c.wake:
		case r := <-c.replayed:
			err = c.takeAll(r)
		case <-alive:
			err = c.out.write([]byte(":\n\n"))
			timer.Reset(quiet)
		case <-rest:
		case <-patience:
			return
		case <-c.s.running.Ending():
		case <-c.ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// endPatience is how long the subscriptions of a client may take to end once one of them has:
// if the bus is closed all do, each when it has delivered what it has.
const endPatience = 5 * time.Second

// ended reports whether a subscription has ended, and returns the Done of one that has not.
// With several topics it may be seen late that one of them alone has ended.
func (c *client) ended() (some bool, rest <-chan struct{}) {
	for _, p := range c.places {
		subs := [2]Subscription{p.t.sub}
		if p.from != nil {
			subs[1] = p.from.sub
		}
		for _, sub := range subs {
			if sub == nil {
				continue
			}
			select {
			case <-sub.Done():
				some = true
				c.s.forget(p.t) // the next client begins anew
			default:
				rest = sub.Done()
			}
		}
	}
	return some, rest
}

// send sends all that the topics have, and reports whether that was anything.
func (c *client) send() (sent bool, err error) {
	var batch [readBatch]*message
	for more := true; more; {
		more = false
		for _, p := range c.places {
			if p.from != nil {
				continue
			}
			n, err := p.t.read(p, batch[:])
			if err != nil {
				more = true
				if err := p.catchUp(); err != nil {
					return sent, err
				}
				continue
			}
			for _, m := range batch[:n] {
				if err := c.deliver(p, m); err != nil {
					return sent, err
				}
				p.next, p.sum = p.next+1, m.sum
			}
			more = more || n > 0
		}
		if err := c.ctx.Err(); err != nil {
			return sent, err
		}
		sent = sent || c.out.pending > 0
	}
	sent = sent || c.out.pending > 0
	return sent, c.out.flush()
}

// deliver sends a message of a topic.
func (c *client) deliver(p *place, m *message) error {
	p.pos = m.pos
	switch {
	case m.text == nil:
		return nil
	case m.gap:
		c.s.n.gaps.Add(1)
		return c.out.write(m.text)
	}
	c.s.n.events.Add(1)
	if len(c.places) == 1 {
		return c.out.write(m.text)
	}
	if err := c.out.write(m.text[:m.body]); err != nil {
		return err
	}
	return c.out.write(append(c.id(), '\n'))
}
