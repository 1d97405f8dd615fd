package pubsub

import (
	"context"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
)

var _ history = (*Redis)(nil)

// page reads where the topic is and then the entries, in this order and in one round trip.
func (r *Redis) page(ctx context.Context, topic, from string, most int) (page, error) {
	if from == "" {
		from = "-"
	}
	key := r.topicKey(topic)
	state := exec.Command(key, "hmget", key, "e", "n", "t", "i").Idempotent()
	key = r.historyKey(topic)
	entries := exec.Command(key, "xrange", key, from, "+", "count", most).Idempotent()
	var p page
	if err := r.x.DoAll(ctx, r.x.Budget(), []*exec.Cmd{state, entries}); err != nil {
		return p, err
	}
	if fields, _ := state.Val().([]any); len(fields) == 4 {
		n, _ := fields[1].(string)
		p.high.n, _ = strconv.ParseUint(n, 10, 53)
		p.high.epoch, _ = fields[0].(string)
		p.high.tag, p.high.id = field(fields[2]), field(fields[3])
	}
	p.entries = r.entries(topic, entries.Val())
	p.more = len(p.entries) == most
	return p, nil
}

// field is a field of the topic's hash.
func field(v any) string {
	s, _ := v.(string)
	return tagOf(s)
}

func (r *Redis) oldest(ctx context.Context, topic string) (entry, bool, error) {
	key := r.historyKey(topic)
	cmd := exec.Command(key, "xrange", key, "-", "+", "count", 1).Idempotent()
	if err := r.x.Do(ctx, r.x.Budget(), cmd); err != nil && err != redis.Nil {
		return entry{}, false, err
	}
	entries := r.entries(topic, cmd.Val())
	if len(entries) == 0 {
		return entry{}, false, nil
	}
	return entries[0], true, nil
}

func (r *Redis) back(ctx context.Context, topic string, t time.Time, n int) (e entry, found int, err error) {
	key, end := r.historyKey(topic), "+"
	if !t.IsZero() {
		end = strconv.FormatInt(max(0, t.UnixMilli()-1), 10)
	}
	most := minPage
	for found < n {
		most = min(most, n-found)
		cmd := exec.Command(key, "xrevrange", key, end, "-", "count", most).Idempotent()
		if err := r.x.Do(ctx, r.x.Budget(), cmd); err != nil && err != redis.Nil {
			return e, found, err
		}
		p := page{entries: r.entries(topic, cmd.Val())}
		for _, one := range p.entries {
			end = "(" + one.at.id
			if !one.foreign {
				e = one
				found++
			}
		}
		if len(p.entries) < most {
			break
		}
		most = nextPage(most, p)
	}
	return e, found, nil
}

// entries decodes what XRANGE answers.
func (r *Redis) entries(topic string, reply any) (entries []entry) {
	all, _ := reply.([]any)
	for _, one := range all {
		e, ok := decodeEntry(topic, one)
		if !ok || e.event == nil {
			r.malformed()
		}
		e.foreign = !ok
		entries = append(entries, e)
	}
	return entries
}

// decodeEntry decodes one. If that fails it has an id at most.
func decodeEntry(topic string, v any) (e entry, ok bool) {
	pair, _ := v.([]any)
	if len(pair) != 2 {
		return e, false
	}
	id, _ := pair[0].(string)
	fields, _ := pair[1].([]any)
	e.at.id = id
	if len(fields) != 2 || !isEntryID(id) {
		return e, false
	}
	value, _ := fields[1].(string)
	f, err := parseFrame(value)
	if err != nil || f.count != 1 {
		return e, false
	}
	f.first.id = id
	return entry{at: f.first, prev: f.prev, prevTag: f.prevTag, event: f.events(topic)[0]}, true
}
