package pubsub

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/freshet-go/freshet/internal/exec"
)

// mark is a message that tells where a topic is, in the order of its events.
type mark struct {
	name    string
	part    int
	channel *channel // nil: it only shows that messages get here
	tickets []*ticket
	sent    time.Time // zero: being sent
}

// takeMarks makes marks of what is due; l.mu is held.
func (s *session) takeMarks() (marks []*mark) {
	l := s.l
	if s.marking {
		return nil
	}
	taken := 0
	for _, c := range l.due {
		if len(marks) == markBatch {
			break
		}
		taken++
		c.isDue = false
		if c.refs > 0 && c.confirmed {
			marks = append(marks, s.newMark(c, l.r.partition(c.topic)))
			c.waiting = nil
		}
	}
	l.due = l.due[taken:]
	s.marking = len(marks) > 0
	return marks
}

// markNames makes the names of marks.
var markNames atomic.Uint64

// newMark makes a mark; l.mu is held.
func (s *session) newMark(c *channel, part int) *mark {
	m := &mark{name: strconv.FormatUint(markNames.Add(1), 10), part: part, channel: c}
	if c != nil {
		m.tickets = c.waiting
	}
	s.marks[m.name] = m
	return m
}

// sendMarks has the server publish marks.
func (s *session) sendMarks(marks []*mark) {
	l, r := s.l, s.l.r
	defer r.running.Done()
	cmds := make([]*exec.Cmd, len(marks))
	for i, m := range marks {
		key := r.o.keys.Member("topic", strconv.Itoa(m.part), "")
		if m.channel != nil {
			key = r.topicKey(m.channel.topic)
		}
		// Idempotent: of two marks with one name the first counts.
		cmds[i] = markScript.Cmd([]string{key}, r.publishCommand(), r.markChannel(l.part), m.name, newEpoch(), r.ttl()).Idempotent()
	}
	_ = r.x.DoAll(context.Background(), r.x.Budget(), cmds)
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range marks {
		if s.marks[m.name] != m {
			continue // it has arrived
		}
		err := cmds[i].Err()
		if err == nil {
			m.sent = now
			continue
		}
		delete(s.marks, m.name)
		for _, t := range m.tickets {
			t.fail(r.failed(err))
		}
		r.unreachable(err)
	}
	s.marking = false
	l.rouse()
}

// probe asks for marks where nothing was heard for a while, and of topics that nothing is
// known of; l.mu is held.
func (s *session) probe(now time.Time, asked map[int]bool) {
	l := s.l
	looked := 0
	quiet := make(map[int]int)
	for _, c := range l.channels { // in random order
		if looked++; looked > 1024 {
			break
		}
		if !c.confirmed {
			continue
		}
		if c.topic == "" {
			if l.r.sharded {
				quiet[l.part] += 0
			} else {
				for part := range len(l.r.outboxes) {
					quiet[part] += 0
				}
			}
			continue
		}
		part := l.r.partition(c.topic)
		if now.Sub(s.parts[part]) > pathSilence && !asked[part] && quiet[part] < probes {
			quiet[part]++
			l.setDue(c)
		} else if !c.feed.isUp() || now.Sub(c.heard) > remark {
			l.setDue(c)
		}
	}
	var marks []*mark
	for part, topics := range quiet {
		if topics == 0 && now.Sub(s.parts[part]) > pathSilence && !asked[part] {
			marks = append(marks, s.newMark(nil, part))
		}
	}
	if len(marks) > 0 {
		s.marking = true
		l.r.running.Add()
		go s.sendMarks(marks)
	}
}

// marked takes a mark.
func (s *session) marked(payload string) {
	fields := strings.Split(payload, " ")
	l := s.l
	l.mu.Lock()
	m := s.marks[fields[0]]
	delete(s.marks, fields[0])
	if m != nil {
		s.parts[m.part] = time.Now()
	}
	live := m != nil && m.channel != nil && m.channel.refs > 0
	if live {
		m.channel.heard = time.Now()
	}
	l.mu.Unlock()
	l.r.reached()
	if !live {
		return
	}
	at, ok := position{}, len(fields) == 6
	if ok {
		n, err := strconv.ParseUint(fields[2], 10, 53)
		at, ok = position{epoch: fields[1], n: n, tag: tagOf(fields[3]), id: tagOf(fields[4])}, err == nil && isName(fields[1])
	}
	if !ok {
		l.r.malformed()
		return
	}
	m.channel.feed.marked(at, fields[5], m.tickets)
}
