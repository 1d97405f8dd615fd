package exec

import (
	"slices"
	"sync"
	"time"
)

// workerIdle is how long an unused worker waits for another task before it
// ends. No worker outlives its last task by twice that.
const workerIdle = 400 * time.Millisecond

// workers are goroutines that do blocking I/O, so that a caller can leave. They
// are kept because starting a goroutine for every command costs more than
// waking one.
type workers struct {
	mu   sync.Mutex
	idle []*worker // the most recently used last
}

type worker struct {
	tasks chan task // holds one
}

// A task is run, and then finished once its worker may be given the next one:
// so a caller that goes on after finish finds an idle worker.
type task interface {
	run()
	finish()
}

// do gives t to a worker and returns at once.
func (p *workers) do(t task) {
	p.mu.Lock()
	if n := len(p.idle); n > 0 {
		w := p.idle[n-1]
		p.idle = p.idle[:n-1]
		p.mu.Unlock()
		w.tasks <- t
		return
	}
	p.mu.Unlock()
	w := &worker{tasks: make(chan task, 1)}
	go p.loop(w, t)
}

func (p *workers) loop(w *worker, t task) {
	timer := time.NewTimer(workerIdle)
	defer timer.Stop()
	for used := true; ; used = true {
		t.run()
		p.mu.Lock()
		p.idle = append(p.idle, w)
		p.mu.Unlock()
		t.finish()
		for t = nil; t == nil; {
			select {
			case t = <-w.tasks:
			case <-timer.C:
				if !used && p.retire(w) {
					return
				}
				used = false
				timer.Reset(workerIdle)
			}
		}
	}
}

// retire takes w off the idle list. It reports false if w has been given a task.
func (p *workers) retire(w *worker) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.idle, w)
	if i < 0 {
		return false
	}
	p.idle = slices.Delete(p.idle, i, i+1)
	return true
}
