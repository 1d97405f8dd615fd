package redistest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// CheckCosts compares the Cost: lines in the documentation of the package under test
// with what is measured: for each method of the given types that has such a line the
// round trips it tells, in its order. Every line must be measured, and whatever is
// measured must have one. before runs before each measurement.
func CheckCosts(t *testing.T, types []string, measured map[string]func() []int, before func()) {
	t.Helper()
	documented := costLines(t, types)
	for name, want := range documented {
		measure, ok := measured[name]
		if !ok {
			t.Errorf("%s has a Cost: line that nothing measures", name)
			continue
		}
		before()
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

// costNumber is a number in a Cost: line; with a unit it is not one of round trips.
var costNumber = regexp.MustCompile(`O\([^)]*\)|\d+( ms| keys?\b)?`)

// costLines reads the numbers of round trips in the Cost: lines of the package in the
// working directory, by Type.Method.
func costLines(t *testing.T, types []string) map[string][]int {
	t.Helper()
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
			if !ok || f.Recv == nil || !slices.Contains(types, receiver(f.Recv.List[0].Type)) {
				continue
			}
			_, cost, found := strings.Cut(strings.ReplaceAll(f.Doc.Text(), "\n", " "), "Cost: ")
			if !found {
				continue
			}
			cost, _, _ = strings.Cut(cost, ".")
			name := receiver(f.Recv.List[0].Type) + "." + f.Name.Name
			costs[name] = []int{}
			for _, s := range costNumber.FindAllString(cost, -1) {
				if n, err := strconv.Atoi(s); err == nil {
					costs[name] = append(costs[name], n)
				}
			}
		}
	}
	return costs
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}
