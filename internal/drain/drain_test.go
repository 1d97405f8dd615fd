package drain

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Close waits for what is under way and for what that starts, and for no more.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New()
		if !g.Enter() {
			t.Fatal("Enter() = false before Close")
		}
		closed := make(chan error, 2)
		for range cap(closed) {
			go func() { closed <- g.Close(context.Background()) }()
		}
		<-g.Ending()
		synctest.Wait()
		if g.Enter() {
			t.Error("Enter() = true after Close")
		}
		g.Add() // a call that is under way starts something
		g.Done()
		synctest.Wait()
		if len(closed) > 0 {
			t.Error("Close returned with something under way")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := g.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close with something under way = %v, want DeadlineExceeded", err)
		}
		g.Done()
		for range cap(closed) {
			if err := <-closed; err != nil {
				t.Errorf("Close = %v, want nil", err)
			}
		}
		cancel()
		if err := g.Close(ctx); err != nil || g.Running() != 0 {
			t.Errorf("Close again = %v, %d running, want nil and none", err, g.Running())
		}
	})
}

// Whatever comes at once, Close returns, and after that nobody is inside.
func TestCloseRaces(t *testing.T) {
	for range 2000 {
		g := New()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if g.Enter() {
					g.Done()
				}
			})
		}
		wg.Go(func() {
			if err := g.Close(t.Context()); err != nil {
				t.Errorf("Close = %v, want nil", err)
			}
		})
		wg.Wait()
		if n := g.Running(); n != 0 {
			t.Fatalf("%d are under way after all have gone", n)
		}
	}
}
