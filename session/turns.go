package session

import (
	"context"
	"sync"
	"time"
)

// maxWait bounds how long a writer waits for its turn; then it tries without.
const maxWait = time.Second

// turns puts in line those in this process who write to one session and were overtaken.
// What they would do to each other by trying all at once grows with the square of their
// number, and some would never succeed; in line each needs a try or two, against the other
// processes alone.
type turns struct {
	mu sync.Mutex
	of map[string]*line
}

// line is who waits for one session.
type line struct {
	front chan struct{} // holds who is at the front
	n     int
}

// take waits for the caller's turn and returns what ends it.
func (q *turns) take(ctx context.Context, handle string) (done func()) {
	q.mu.Lock()
	if q.of == nil {
		q.of = make(map[string]*line)
	}
	l := q.of[handle]
	if l == nil {
		l = &line{front: make(chan struct{}, 1)}
		q.of[handle] = l
	}
	l.n++
	q.mu.Unlock()

	patience := time.NewTimer(maxWait)
	defer patience.Stop()
	got := false
	select {
	case l.front <- struct{}{}:
		got = true
	case <-patience.C:
	case <-ctx.Done():
	}
	return func() {
		if got {
			<-l.front
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if l.n--; l.n == 0 {
			delete(q.of, handle)
		}
	}
}
