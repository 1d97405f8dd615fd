package cache

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/freshet-go/freshet/internal/exec"
)

// answer is what Redis said to a request for a lease.
type answer struct {
	outcome int
	token   []byte
	value   string // of the key; or the holder's token
	err     error
}

// takeLeases runs lease.lua for each flight. A lost reply is answered by asking
// again under another token of the same holder: if the first request arrives
// late, it takes the lease from the second and nothing is stored, rather than
// giving a lease that a Delete has removed back to its holder.
func (c *Redis) takeLeases(b *exec.Budget, flights []*flight) []answer {
	answers := make([]answer, len(flights))
	todo := make([]int, len(flights))
	for i := range flights {
		todo[i] = i
		answers[i].token = newToken()
	}
	for attempt := byte(0); len(todo) > 0; attempt++ {
		cmds := make([]*exec.Cmd, len(todo))
		for j, i := range todo {
			seen := "-"
			if f := flights[i]; f.seen != "" {
				seen = "+" + f.seen
			}
			token := slices.Clone(answers[i].token)
			token[len(token)-1] = attempt
			answers[i].token = token
			cmds[j] = leaseScript.Cmd(c.keysOf(flights[i].key), token, leaseTerm.Milliseconds(), seen).Splits()
		}
		_ = c.x.DoAll(c.untilClosed(flights[0].ctx), b, cmds) // each has its own
		again := todo[:0]
		for j, i := range todo {
			a := &answers[i]
			a.outcome, a.value, a.err = c.leaseReply(cmds[j])
			if exec.KindOf(a.err) == exec.UnknownOutcome {
				if b.Left() > 0 && attempt < 3 {
					again = append(again, i)
					continue
				}
			}
			if a.err != nil && (attempt > 0 || exec.KindOf(a.err) == exec.UnknownOutcome) {
				c.release(flights[i], a.token) // if one of the requests has arrived
			}
		}
		todo = again
	}
	return answers
}

// newToken makes a token of 7 random bytes and the number of the first attempt.
func newToken() []byte { return binary.BigEndian.AppendUint64(nil, rand.Uint64()&^0xFF) }

// leaseReply reads the reply of a script that answers {time, outcome, value}.
func (c *Redis) leaseReply(cmd *exec.Cmd) (outcome int, value string, err error) {
	if err := cmd.Err(); err != nil {
		c.away(err)
		return 0, "", err
	}
	reply, _ := cmd.Val().([]any)
	if len(reply) < 2 {
		return 0, "", errReply
	}
	c.observe(cmd, reply[0])
	n, ok := reply[1].(int64)
	if !ok {
		return 0, "", errReply
	}
	if len(reply) > 2 {
		value, _ = reply[2].(string)
	}
	return int(n), value, nil
}

// renew prolongs the leases of loads that take long.
func (c *Redis) renew(pending map[*flight]*loading) {
	var cmds []*exec.Cmd
	for _, l := range pending {
		if l.token != nil {
			cmds = append(cmds, renewScript.Cmd([]string{c.o.keys.Key("l", l.key)},
				l.token, leaseTerm.Milliseconds()).Idempotent())
		}
	}
	c.background(cmds)
}

// release gives a lease back that will not be used, so that others need not wait
// for its end.
func (c *Redis) release(f *flight, token []byte) {
	c.background([]*exec.Cmd{releaseScript.Cmd([]string{c.o.keys.Key("l", f.key)}, token).Idempotent()})
}

// background runs commands whose failure only costs time.
func (c *Redis) background(cmds []*exec.Cmd) {
	if len(cmds) == 0 {
		return
	}
	c.running.Add()
	go func() {
		defer c.running.Done()
		// Where Timeout is off, a lease has ended by then.
		_ = c.x.DoAll(context.Background(), exec.NewBudget(min(c.o.Timeout, leaseTerm)), cmds)
	}()
}
