package pubsub

// This is what a feed makes of what arrives from Redis.

// arrived takes a frame of a topic.
func (r *Redis) arrived(f *feed, topic, payload string) {
	fr, err := parseFrame(payload)
	if err != nil {
		r.malformed() // the next frame shows that there was one
		return
	}
	r.n.received.Add(uint64(fr.count))
	if f.pattern {
		f.matched(topic, &fr, r)
	} else {
		f.arrived(topic, &fr, r)
	}
}

func (r *Redis) malformed() {
	r.n.malformed.Add(1)
	r.report(errFrame)
}

// arrived takes a frame of the feed's topic.
func (f *feed) arrived(topic string, fr *frame, r *Redis) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.up {
		return // the mark that is to come tells what was missed
	}
	at := f.at
	f.at = fr.last()
	switch {
	case fr.follows(at):
		if skipped := fr.skipped(); skipped > 0 {
			f.missedAfter(at, Gap{f.name, Sequence, skipped})
		}
	case f.history != nil:
		f.fallBehind()
		f.batches.add(fr.first.tag)
		return
	default:
		f.missed(Gap{f.name, fr.brokenBy(at), -1})
		if f.batches.has(fr.first.tag) {
			return
		}
	}
	f.deliver(topic, fr, r)
	f.batches.add(fr.first.tag)
}

// matched takes a frame of a topic that matches the feed's pattern.
func (f *feed) matched(topic string, fr *frame, r *Redis) {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, known := f.topics[topic]
	if !known && len(f.topics) >= maxPatternTopics {
		clear(f.topics)
	}
	f.topics[topic] = fr.last()
	switch {
	case !known || fr.follows(at):
		if skipped := fr.skipped(); skipped > 0 {
			f.missed(Gap{topic, Sequence, skipped})
		}
	default:
		f.missed(Gap{topic, fr.brokenBy(at), -1})
	}
	f.deliver(topic, fr, r)
}

// maxPatternTopics is how many topics of a pattern are remembered at most.
const maxPatternTopics = 1 << 16

// deliver hands the events of a frame to the subscriptions; f.mu is held.
func (f *feed) deliver(topic string, fr *frame, r *Redis) {
	events := fr.events(topic)
	at := fr.last()
	from := 0
	for i, e := range events {
		if e != nil {
			continue
		}
		r.malformed()
		f.offer(events[from:i], at)
		bad := position{epoch: at.epoch, n: fr.first.n + uint64(i) - 1}
		f.missedAfter(bad, Gap{topic, Sequence, 1})
		from = i + 1
	}
	f.offer(events[from:], at)
}

// follows reports whether the frame's events come right after a place in the topic.
func (fr *frame) follows(at position) bool {
	return fr.first.epoch == at.epoch && fr.prev == at.n && fr.prevTag == at.tag
}

// skipped is how many events before the frame were numbered and not published.
func (fr *frame) skipped() int64 { return int64(fr.first.n - 1 - fr.prev) }

// brokenBy is why a frame does not follow.
func (fr *frame) brokenBy(at position) GapReason {
	if fr.first.epoch == at.epoch && fr.prev > at.n {
		return Sequence
	}
	return Reset
}

// fallBehind has all subscriptions read from the history what the feed does not know;
// f.mu is held.
func (f *feed) fallBehind() { f.recheck(nil) }

// recheck does so with those who are not at a place, which may be where the topic was and
// not where it is; f.mu is held. Nil: with all.
func (f *feed) recheck(at *position) {
	for _, s := range f.subs {
		s.mu.Lock()
		if !s.behind && !s.ending && (at == nil || s.at.epoch != at.epoch || s.at.n != at.n) {
			s.fallBehind()
			s.wake()
		}
		s.mu.Unlock()
	}
}

// marked takes a mark, which says where the topic is, and lets those subscriptions begin
// that have waited for it. The course differs after a failover or a restart of the server:
// then numbers may have gone back and grown again.
func (f *feed) marked(at position, course string, tickets []*ticket) {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.at
	switch {
	case was.epoch == "" || was.epoch == at.epoch && was.n == at.n && was.tag == at.tag:
		if f.history != nil {
			f.recheck(&at)
		}
	case f.history != nil:
		f.at = at
		f.fallBehind()
	case was.epoch != at.epoch || at.n <= was.n:
		f.missed(Gap{f.name, Reset, -1})
	default:
		g := Gap{f.name, Sequence, -1}
		if !f.up {
			g.Reason = Reconnect
		}
		if f.course == course && course != "?" {
			g.Missed = int64(at.n - was.n)
		}
		f.missed(g)
	}
	f.at, f.course, f.up = at, course, true
	f.marks++
	for _, t := range tickets {
		t.sub.attach(f)
		t.done <- nil
	}
}

// down notes that the connection is lost: what arrives on the next one does not count before
// the mark.
func (f *feed) down() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = false
}

func (f *feed) isUp() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.up
}

// patternsInterrupted announces that a pattern's events may have been missed, or those of
// all patterns.
func (r *Redis) patternsInterrupted(f *feed) {
	feeds := []*feed{f}
	if f == nil {
		feeds = feeds[:0]
		r.patternsMu.Lock()
		for _, f := range r.patterns {
			feeds = append(feeds, f)
		}
		r.patternsMu.Unlock()
	}
	for _, f := range feeds {
		f.mu.Lock()
		f.missed(Gap{f.name, Reconnect, -1})
		clear(f.topics)
		f.mu.Unlock()
	}
}
