package pubsub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
	"github.com/freshet-go/freshet/internal/rkey"
)

var _ Bus = (*Redis)(nil)

// Redis is a bus through Redis. It is safe for concurrent use.
//
// It has one connection to receive on while there are subscriptions; on a cluster, unless
// Unsharded, one for each of the 16 partitions that has some. Everything else goes through
// the client's pool.
type Redis struct {
	*base
	rdb     redis.UniversalClient
	cluster *redis.ClusterClient // or nil
	x       *exec.Client
	sharded bool
	answer  time.Duration // that a connection may take to one

	outboxes  []*outbox   // one per partition
	listeners []*listener // one per partition, or one

	patternsMu sync.Mutex // after a listener's, before a feed's
	patterns   map[string]*feed
	relocated  atomic.Int64 // Unix nanoseconds
}

// partitions is how many hash slots the topics of a cluster are spread over. Every process
// must know the same number, so it is not an option.
const partitions = 16

// New returns a bus in rdb. It does no I/O, and never closes rdb.
//
// The client may be a *redis.Client, also one made for Sentinel, or a
// *redis.ClusterClient, with whatever timeouts and retries. New refuses a *redis.Ring, a
// *redis.AutoPipeliner and cluster clients that read from replicas, on which the
// guarantees cannot hold. A failover client with ReplicaOnly cannot be told from others
// and is not supported either.
func New(rdb redis.UniversalClient, opts *Options) (*Redis, error) {
	o, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	x, err := exec.New(rdb, o.Timeout)
	if err != nil {
		return nil, fmt.Errorf("pubsub: %w", err)
	}
	r := &Redis{base: newBase(o), rdb: rdb, x: x, answer: answerTime, patterns: make(map[string]*feed)}
	parts := 1
	if cluster, ok := rdb.(*redis.ClusterClient); ok {
		r.cluster, r.sharded, parts = cluster, !o.Unsharded, partitions
	}
	for i := range parts {
		r.outboxes = append(r.outboxes, newOutbox(r, i))
		if r.sharded || i == 0 {
			r.listeners = append(r.listeners, newListener(r, i))
		}
	}
	return r, nil
}

// Publish publishes an event. Those of concurrent calls share a round trip. With a history
// there is a second key.
//
// Cost: 1 round trip, 1 key, O(1).
// Atomic: yes.
// Errors: ErrUnavailable; ErrUnknownOutcome; ErrClosed; a server error that forbids it; the
// context's. An event whose Publish has failed is announced as a Gap when the next one of
// its topic is published on this bus.
func (r *Redis) Publish(ctx context.Context, topic string, e Event) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := r.complete(ctx, topic, &e); err != nil {
		return err
	}
	if !r.running.Enter() {
		return ErrClosed
	}
	defer r.running.Done()
	return r.outboxes[r.partition(topic)].post(ctx, topic, appendRecord(make([]byte, 0, e.size()+recordRoom), &e))
}

// recordRoom is what a record needs in addition to what is in it, at most.
const recordRoom = 48

// Subscribe subscribes to a topic or a pattern.
//
// Errors: ErrPosition; ErrUnavailable; ErrClosed; a server error that forbids it; the
// context's.
func (r *Redis) Subscribe(ctx context.Context, topic string, h Handler, opts *SubscribeOptions) (Subscription, error) {
	o, err := subscribeSettings(topic, h, opts, r.o.replayable)
	if err != nil {
		return nil, err
	}
	if o.After != "" {
		if _, err := parsePosition(o.After); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !r.running.Enter() {
		return nil, ErrClosed
	}
	s := newSubscription(ctx, r.base, topic, h, o)
	t := r.enlist(s)
	r.enter(s)
	if err := r.await(ctx, t); err != nil {
		s.discard()
		return nil, err
	}
	if err := s.begin(ctx); err != nil {
		s.discard()
		return nil, r.failed(err)
	}
	return s, nil
}

// await waits until the server has confirmed that a subscription's events will arrive.
func (r *Redis) await(ctx context.Context, t *ticket) error {
	timer := time.NewTimer(r.o.Timeout)
	defer timer.Stop()
	select {
	case err := <-t.done:
		return err
	case <-t.sub.done: // Close
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return r.unconfirmed()
	}
}

// unconfirmed is the error of a Subscribe that has waited long enough.
func (r *Redis) unconfirmed() error {
	err := fmt.Errorf("%w: it did not confirm in time", ErrUnavailable)
	for _, l := range r.listeners {
		l.mu.Lock()
		cause := l.cause
		l.mu.Unlock()
		if cause != nil {
			return fmt.Errorf("%w: %w", err, cause)
		}
	}
	return err
}

// Close ends the bus: Publish and Subscribe return ErrClosed, subscriptions end with it
// when their handlers have had what has arrived, and connections are closed. It returns
// when all that is done, or with the context's error when ctx ends first; what is left is
// then dropped. The Redis client stays open. Closing again waits again.
func (r *Redis) Close(ctx context.Context) error { return r.close(ctx) }

// failed turns the error of a command into that of a call.
func (r *Redis) failed(err error) error {
	switch exec.KindOf(err) {
	case exec.Unavailable:
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	case exec.UnknownOutcome:
		return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
	case exec.Refused:
		return fmt.Errorf("pubsub: %w", err)
	case exec.Canceled:
		var e *exec.Error
		errors.As(err, &e)
		return e.Err
	}
	return err
}

// partition is that of a topic.
func (r *Redis) partition(topic string) int {
	if r.cluster == nil {
		return 0
	}
	return rkey.Slot(topic) % partitions
}

// The keys and channels of a topic, and of a partition.
func (r *Redis) topicKey(topic string) string   { return r.key("topic", topic) }
func (r *Redis) historyKey(topic string) string { return r.key("history", topic) }
func (r *Redis) channel(topic string) string    { return r.key("event", topic) }

func (r *Redis) key(part, topic string) string {
	return r.o.keys.Member(part, strconv.Itoa(r.partition(topic)), topic)
}

// allChannel has the events of all topics of a partition, for patterns: sharded Pub/Sub
// has none.
func (r *Redis) allChannel(part int) string {
	return r.o.keys.Member("all", strconv.Itoa(part), "")
}

// markChannel has the marks that this process asks for.
func (r *Redis) markChannel(part int) string {
	return r.o.keys.Member("mark", strconv.Itoa(part), r.name)
}

// publishCommand is what the scripts publish with.
func (r *Redis) publishCommand() string {
	if r.sharded {
		return "SPUBLISH"
	}
	return "PUBLISH"
}

// topicTTL is how long a topic is remembered that nobody publishes to or subscribes to.
const topicTTL = time.Hour

// ttl is that of a topic's key: it outlives the history.
func (r *Redis) ttl() string {
	switch {
	case !r.o.replayable:
		return millis(topicTTL)
	case r.o.HistoryFor == 0:
		return "0"
	}
	return millis(r.o.HistoryFor + topicTTL)
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// newEpoch names a run of numbers.
func newEpoch() string { return rand.Text()[:nameLength] }
