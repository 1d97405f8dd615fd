package leaderboard

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/freshet-go/freshet/internal/exec"
	"github.com/freshet-go/freshet/internal/rkey"
)

// Board is what an application needs of a leaderboard. [*Redis] and [*Memory] implement
// it.
type Board interface {
	// Submit submits scores, in their order, and returns what became of each. All are
	// stored or none.
	Submit(ctx context.Context, scores ...Score) ([]Result, error)
	// Get returns the entries of these members with their ranks among all, best first.
	// Those who are not on the board are left out.
	Get(ctx context.Context, members ...string) (Page, error)
	// Range returns n entries from a place on, which begins at 0.
	Range(ctx context.Context, offset, n int) (Page, error)
	// Around returns n entries with the member's in the middle, or less near the middle
	// at both ends of the board, so that there are always n if the board has as many. It
	// fails with ErrNotFound if the member is not on it.
	Around(ctx context.Context, member string, n int) (Page, error)
}

// Score is what a member has achieved.
type Score struct {
	Member string
	Value  int64

	// Meta is stored with the score if that is taken: in mode Best if it is better, else
	// always. In a rolling window it is that of the last one taken, whichever counts. Nil
	// leaves what is there, and an empty one removes it.
	Meta []byte

	// OpID names the submission: one of the same name is not stored again within an hour.
	// Set it in the modes Last and Sum to have a call whose reply was lost repeated, by Submit
	// or by the caller. On a view it is of that kind of period, whatever the date: what is
	// repeated after the end of one is not stored in the next.
	OpID string
}

// Result is what became of a Score in the first of the board's periods, right after it
// was stored.
type Result struct {
	// Old and New are the member's values before and after, 0 if there was none. After a
	// lost reply, and for an OpID that is known, they are both that of after.
	Old, New int64
	// Changed is whether the value changed, or the member was not there before.
	Changed bool
	// Rank and PrevRank are the ranks after and before, from 1. A Rank of 0 is that of a
	// member beyond Options.Cap, a PrevRank of 0 that of one who was not there.
	Rank, PrevRank int
	// Total is how many members there are.
	Total int
}

// Entry is a member's place on the board.
type Entry struct {
	Member string
	Value  int64
	Rank   int // from 1
	Meta   []byte
}

// Page is some entries of one moment, best first.
type Page struct {
	Entries []Entry
	Total   int // members on the board
}

var _ Board = (*Redis)(nil)

// Redis is a leaderboard in Redis, or a view of one of its periods: see [Redis.In]. It
// goes by the server's clock. It is safe for concurrent use and needs no closing.
type Redis struct {
	*board
	view view
}

// board is what all views share.
type board struct {
	o       *settings
	x       *exec.Client
	scripts *scripts
	name    string
	form    string // of the scores, in the names of keys
	tag     string // of all keys
	rest    string // of their names
	n       counters
}

// New returns a board in rdb. The name is in its keys, and with [Options.Raw] is its key.
//
// New does no I/O, and never closes rdb. The client may be a *redis.Client, also one made
// for Sentinel, or a *redis.ClusterClient, with whatever timeouts and retries. New refuses
// a *redis.Ring, a *redis.AutoPipeliner and cluster clients that read from replicas, on
// which the guarantees cannot hold. A failover client with ReplicaOnly cannot be told from
// others and is not supported either.
func New(rdb redis.UniversalClient, name string, opts *Options) (*Redis, error) {
	if name == "" {
		return nil, errors.New("leaderboard: name is empty")
	}
	o, err := newSettings(opts)
	if err != nil {
		return nil, err
	}
	x, err := exec.New(rdb, o.Timeout)
	if err != nil {
		return nil, fmt.Errorf("leaderboard: %w", err)
	}
	b := &board{o: o, x: x, scripts: newScripts(o), name: name, tag: name}
	if o.Raw {
		if _, rest, ok := strings.Cut(name, "{"); ok {
			if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
				b.tag, b.rest = tag, name
			}
		}
		if rkey.Slot(b.key("m")) != rkey.Slot(name) {
			return nil, errors.New("leaderboard: with Options.Raw, name has braces that no other key can be put beside")
		}
	} else {
		b.form = fmt.Sprintf("%c%d", "da"[index(o.Ascending)], o.pack.bits)
		if o.Ranking == Dense {
			b.form += "x"
		}
	}
	return &Redis{board: b}, nil
}

func index(b bool) int {
	if b {
		return 1
	}
	return 0
}

// key is one of the board's keys.
func (b *board) key(part string) string { return b.o.keys.Key(part, b.tag) + b.rest }

// keysOf are the keys of a span, in the order of keys.lua.
func (b *board) keysOf(keys []string, p *period, s span) []string {
	name := "." + p.name(s)
	if b.form != "" {
		name = "." + b.form + name
	}
	scores := b.name
	if !b.o.Raw {
		scores = b.key("z" + name)
	}
	keys = append(keys, scores, b.key("m"+name))
	if b.o.Ranking == Dense {
		keys = append(keys, b.key("d"+name))
	}
	if p.kind == rolling {
		keys = append(keys, b.key("e"+name), b.key("w"+name))
	}
	return keys
}

// begin are the keys and arguments that every script has first.
func (b *board) begin() (keys []string, args []any) {
	if b.o.timed {
		keys = append(keys, b.key("h"))
	}
	if !b.o.Raw {
		args = append(args, b.o.pack.times(), b.o.pack.coarse())
	}
	return keys, args
}

// TieUnit is the unit of the times by which equals are ordered in the board's first
// period, or in that of the view: those who came within one are ordered by member. It is 0
// with [Options.Raw].
func (r *Redis) TieUnit() time.Duration {
	return time.Duration(r.period().unit) * time.Microsecond
}
