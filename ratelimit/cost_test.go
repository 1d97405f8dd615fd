package ratelimit

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// costLines returns the Cost: line of every method of Redis that has one, as the
// numbers of round trips in it.
func costLines(t *testing.T) map[string][]int {
	t.Helper()
	number := regexp.MustCompile(`\d+( key)?`)
	costs := make(map[string][]int)
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv == nil || receiver(f.Recv.List[0].Type) != "Redis" {
				continue
			}
			_, cost, found := strings.Cut(strings.ReplaceAll(f.Doc.Text(), "\n", " "), "Cost: ")
			if !found {
				continue
			}
			cost, _, _ = strings.Cut(cost, ".")
			costs[f.Name.Name] = []int{}
			for _, s := range number.FindAllString(strings.ReplaceAll(cost, "O(1)", ""), -1) {
				if n, err := strconv.Atoi(s); err == nil {
					costs[f.Name.Name] = append(costs[f.Name.Name], n)
				}
			}
		}
	}
	return costs
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return fmt.Sprint(e)
}

// TestCosts counts the round trips of what the Cost: lines describe, in their order,
// and compares. Every line must have its count, with one limit and with several.
func TestCosts(t *testing.T) {
	t.Parallel()
	documented := costLines(t)
	berlin := location(t, "Europe/Berlin")
	redistest.EachOf(t, []redistest.Topology{redistest.Miniredis, redistest.Standalone, redistest.Cluster}, func(t *testing.T, s *redistest.Server) {
		for _, also := range [][]Limit{nil, {
			{Name: "l", Quota: 50, Period: time.Hour, Algorithm: SlidingLog},
			{Name: "f", Quota: 50, Period: time.Hour, Algorithm: FixedWindow, Location: berlin},
		}} {
			rdb := s.Client(t)
			counter := redistest.Count(t, rdb)
			r := newLimiter(t, rdb, PerHour(20), Options{Also: also})
			ctx := context.Background()
			cost := func(f func() error) int {
				t.Helper()
				counter.Reset()
				if err := f(); err != nil {
					t.Fatal(err)
				}
				return counter.RoundTrips()
			}
			allow := func() error { _, err := r.Allow(ctx, "k"); return err }
			allowN := func(n int) func() error { return func() error { _, err := r.AllowN(ctx, "k", n); return err } }
			denied := func(ask func() error) int {
				if _, err := r.AllowUpTo(ctx, "k", 20); err != nil {
					t.Fatal(err)
				}
				if err := ask(); err != nil {
					t.Fatal(err)
				}
				return cost(ask)
			}
			// On a cluster the tag keeps them on one node.
			reset := func() error { return r.Reset(ctx, "{k}1", "{k}2", "{k}3") }
			measured := map[string]func() []int{
				"Allow":  func() []int { return []int{cost(allow), denied(allow)} },
				"AllowN": func() []int { return []int{cost(allowN(3)), denied(allowN(3))} },
				"AllowUpTo": func() []int {
					return []int{cost(func() error { _, err := r.AllowUpTo(ctx, "k", 3); return err })}
				},
				"Wait":   func() []int { return []int{cost(func() error { return r.Wait(ctx, "k", 1) })} },
				"Peek":   func() []int { return []int{cost(func() error { _, err := r.Peek(ctx, "k"); return err })} },
				"Refund": func() []int { return []int{cost(func() error { return r.Refund(ctx, "k", 1) })} },
				"Reset":  func() []int { return []int{cost(reset)} },
			}
			// Scripts that the server does not know yet cost a round trip more, once.
			for _, measure := range measured {
				if err := r.Reset(ctx, "k"); err != nil {
					t.Fatal(err)
				}
				measure()
			}
			for name, want := range documented {
				measure, ok := measured[name]
				if !ok {
					t.Errorf("%s has a Cost: line that nothing measures", name)
					continue
				}
				if err := r.Reset(ctx, "k"); err != nil {
					t.Fatal(err)
				}
				if got := measure(); !slices.Equal(got, want) {
					t.Errorf("%s costs %v round trips, documented are %v", name, got, want)
				}
			}
			for name := range measured {
				if documented[name] == nil {
					t.Errorf("%s has no Cost: line", name)
				}
			}
		}
	})
}
