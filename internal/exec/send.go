package exec

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

var errReply = errors.New("redis answered something else than was asked for")

// send makes one attempt at commands, in one round trip. On a single server the
// GETs among them that may be merged become one MGET, which costs both sides a
// fraction.
func (c *Client) send(ctx context.Context, items []*item) {
	if len(items) == 1 {
		c.sendOne(ctx, items[0])
		return
	}
	gets, others := c.split(items)
	pipe := c.rdb.Pipeline()
	var mget onceTexts
	if len(gets) > 0 {
		mget = newMGet(ctx, gets)
		_ = pipe.Process(ctx, mget) // only queues
	}
	attempts := make([]once, len(others))
	for i, it := range others {
		attempts[i] = it.cmd.attempt(ctx, it.source)
		_ = pipe.Process(ctx, attempts[i])
	}
	sent := time.Now()
	_, err := pipe.Exec(ctx)
	received := time.Now()
	failed := false
	if len(gets) > 0 {
		failed = mget.share(gets, received)
	}
	for i, it := range others {
		it.sent, it.received = sent, received
		attempts[i].into(&it.reply)
		failed = failed || it.err != nil
	}
	if err != nil && !failed { // a hook's: no command has one
		for _, it := range items {
			it.err = err
		}
	}
}

func (c *Client) sendOne(ctx context.Context, it *item) {
	cmd := it.cmd.attempt(ctx, it.source)
	if it.cmd.script != nil { // whose reply may say what the server's time was
		it.sent = time.Now()
	}
	err := c.rdb.Process(ctx, cmd)
	it.received = time.Now()
	cmd.into(&it.reply)
	if it.err == nil {
		it.err = err // a hook's
	}
}

// split tells the GETs that are to be merged from the other items.
func (c *Client) split(items []*item) (gets, others []*item) {
	if !c.merges {
		return nil, items
	}
	n := 0
	for _, it := range items {
		if it.merges {
			n++
		}
	}
	switch n {
	case 0, 1:
		return nil, items
	case len(items):
		return items, nil
	}
	gets, others = make([]*item, 0, n), make([]*item, 0, len(items)-n)
	for _, it := range items {
		if it.merges {
			gets = append(gets, it)
		} else {
			others = append(others, it)
		}
	}
	return gets, others
}

func newMGet(ctx context.Context, gets []*item) onceTexts {
	args := make([]any, 1, 1+len(gets))
	args[0] = "mget"
	for _, it := range gets {
		args = append(args, it.cmd.args[1])
		it.merged = true
	}
	return onceTexts{redis.NewStringSliceCmd(ctx, args...)}
}

// share gives each GET its part of the reply to an MGET. It reports whether that
// failed.
func (o onceTexts) share(gets []*item, received time.Time) (failed bool) {
	var r reply
	o.into(&r)
	values, _ := r.val.([]string)
	for i, it := range gets {
		it.reply = reply{err: r.err, received: received}
		if r.err != nil {
			continue
		}
		if it.str = values[i]; it.str == "" {
			it.err = redis.Nil // as for a key of another type, about which MGET says nothing
		}
	}
	return r.err != nil
}
