package pubsub

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// chain makes entries from "n", "n<prev" and "n@epoch<prev", one tag each unless ":tag" is
// given; "n!" is an entry of somebody else.
func chain(s string) (entries []entry) {
	for _, one := range strings.Fields(s) {
		var e entry
		one, foreign := strings.CutSuffix(one, "!")
		one, tag, tagged := strings.Cut(one, ":")
		one, prev, jumps := strings.Cut(one, "<")
		one, epoch, moved := strings.Cut(one, "@")
		fmt.Sscan(one, &e.at.n)
		e.at.id = fmt.Sprintf("%d-0", e.at.n)
		e.at.epoch, e.foreign = "e", foreign
		if moved {
			e.at.epoch = epoch
		}
		e.prev = e.at.n - 1
		if jumps {
			fmt.Sscan(prev, &e.prev)
		}
		if e.prev > 0 {
			e.prevTag = fmt.Sprintf("p:%d", e.prev)
		}
		e.at.tag = fmt.Sprintf("p:%d", e.at.n)
		if tagged {
			e.at.tag = tag
		}
		e.event = &Event{Seq: e.at.n}
		entries = append(entries, e)
	}
	return entries
}

func TestFollow(t *testing.T) {
	t.Parallel()
	at := func(n uint64) position {
		return position{epoch: "e", n: n, tag: fmt.Sprintf("p:%d", n), id: fmt.Sprintf("%d-0", n)}
	}
	none := position{epoch: "e"}
	bare := position{epoch: "e", n: 4}
	loose := position{epoch: "e", n: 4, id: "2-0", loose: true}
	other := position{epoch: "f", n: 2, tag: "p:2", id: "9-0"}
	for _, c := range []struct {
		name    string
		at      position
		entries string
		high    position
		more    bool
		trimmed bool // the first entry is the oldest
		want    string
		end     position
	}{
		{"next", at(3), "3 4 5", at(5), false, false, "4 5", at(5)},
		{"nothing new", at(3), "3", at(3), false, false, "", at(3)},
		{"from the beginning", none, "1 2", at(2), false, false, "1 2", at(2)},
		{"more than one page", at(3), "3 4", at(9), true, false, "4", at(4)},
		{"published while reading", at(3), "3 4 5", at(4), false, false, "4 5", at(5)},
		{"failed before", at(3), "3 6<3 7", at(7), false, false, "Sequence:2 6 7", at(7)},
		{"just trimmed", at(3), "4 5", at(5), false, true, "4 5", at(5)},
		{"trimmed", at(3), "7 8", at(8), false, true, "Trimmed:3 7 8", at(8)},
		{"trimmed and failed before", at(3), "9<6 10", at(10), false, true, "Trimmed:3 Sequence:2 9 10", at(10)},
		{"all trimmed", at(3), "", at(8), false, false, "Trimmed:5", at(8)},
		{"the beginning trimmed", none, "3 4", at(4), false, true, "Trimmed:2 3 4", at(4)},
		{"known by its number", bare, "3 4 5", at(5), false, false, "5", at(5)},
		{"on the next page", bare, "1 2", at(5), true, false, "", loose},
		{"still not there", loose, "2 3", at(5), true, false, "", position{epoch: "e", n: 4, id: "3-0", loose: true}},
		{"and there", loose, "2 3 4 5", at(5), false, false, "5", at(5)},
		{"published without history", at(3), "3 6<5", at(6), false, false, "Trimmed:2 6", at(6)},
		{"not there any more", at(3), "7 8", at(8), false, false, "Reset:-1 7 8", at(8)},
		{"gone back", at(8), "", at(5), false, false, "Reset:-1", at(5)},
		{"gone back and on", at(8), "9<5 10", at(10), false, false, "Reset:-1 9 10", at(10)},
		{"another batch", at(8), "8:q:1", position{epoch: "e", n: 8, tag: "q:1", id: "8-0"}, false, false, "Reset:-1 8", position{epoch: "e", n: 8, tag: "q:1", id: "8-0"}},
		{"another batch before", at(8), "9", at(9), false, true, "9", at(9)},
		{"begun anew", at(8), "9@f<0", position{epoch: "f", n: 9, tag: "p:9", id: "9-0"}, false, false, "Reset:-1 9", position{epoch: "f", n: 9, tag: "p:9", id: "9-0"}},
		{"lost", at(8), "", other, false, false, "Reset:-1", position{epoch: "f"}},
		{"old entries in a new run", position{epoch: "f"}, "3@e 4@e", other, false, false, "Trimmed:2", other},
		{"somebody else's", at(3), "3 3! 4", at(4), false, false, "4", at(4)},
		{"the topic is forgotten", at(3), "", position{}, false, false, "", at(3)},
		{"repeated", at(8), "9<5:p:1 10<9:p:10", at(10), false, false, "Reset:-1 10", at(10)},
	} {
		read := batches{"p": 1}
		if c.name != "repeated" {
			read = batches{}
		}
		entries := chain(c.entries)
		if c.name == "repeated" {
			entries[1].prevTag = "p:1"
		}
		items, end, err := follow("t", c.at, page{high: c.high, entries: entries, more: c.more}, read, func(entry) (bool, error) { return c.trimmed, nil })
		var got []string
		for _, it := range items {
			if it.event != nil {
				got = append(got, fmt.Sprint(it.event.Seq))
			} else {
				got = append(got, fmt.Sprintf("%v:%d", it.gap.Reason, it.gap.Missed))
			}
		}
		if strings.Join(got, " ") != c.want || end != c.end || err != nil {
			t.Errorf("%s: %v to %+v, %v, want %s to %+v", c.name, got, end, err, c.want, c.end)
		}
	}
	failed := errors.New("failed")
	if _, end, err := follow("t", at(3), page{high: at(8), entries: chain("7")}, batches{}, func(entry) (bool, error) { return false, failed }); err != failed || end != at(3) {
		t.Errorf("with an error: %+v, %v", end, err)
	}
}
