package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// table returns a result's cells, the header first, and which columns are text.
func (r result) table() (cells [][]string, text int) {
	header := []string{""}
	if r.primary != noRatio {
		header = append(header, r.ratioName(), "min..max")
	}
	for _, m := range r.metrics {
		header = append(header, m.name)
	}
	cells = append(cells, header)
	for _, row := range r.rows {
		line := []string{row.name}
		if r.primary != noRatio {
			line = append(line, ratioText(row.ratio.median), ratioText(row.ratio.min)+".."+ratioText(row.ratio.max))
		}
		for i, v := range row.values {
			line = append(line, r.metrics[i].unit.format(v.median))
		}
		cells = append(cells, line)
	}
	return cells, 1
}

// ratioName names the ratio, and says which way is better.
func (r result) ratioName() string {
	better := "more is better"
	if u := r.metrics[r.primary].unit; u == seconds || u == bytesUnit {
		better = "less is better"
	}
	return fmt.Sprintf("%s × baseline (%s)", r.metrics[r.primary].name, better)
}

func ratioText(v float64) string { return fmt.Sprintf("%.2f", v) }

// format writes a value for people.
func (u unit) format(v float64) string {
	switch u {
	case perSecond:
		switch {
		case v >= 1e6:
			return fmt.Sprintf("%.2f M", v/1e6)
		case v >= 1e4:
			return fmt.Sprintf("%.1f k", v/1e3)
		}
		return fmt.Sprintf("%.0f", v)
	case seconds:
		switch d := time.Duration(v * float64(time.Second)); {
		case d >= time.Second:
			return fmt.Sprintf("%.2f s", v)
		case d >= time.Millisecond:
			return fmt.Sprintf("%.2f ms", v*1e3)
		default:
			return fmt.Sprintf("%.1f µs", v*1e6)
		}
	case bytesUnit:
		return fmt.Sprintf("%.0f", v)
	default:
		return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
	}
}

// method says in how many rounds a result was made.
func (r result) method() string {
	method := fmt.Sprintf("Medians of %d rounds", r.rounds)
	if r.length > 0 {
		method += fmt.Sprintf(" of %v", r.length)
	}
	return method + "."
}

// notes are what is special about the contenders.
func (r result) notes() string {
	var notes []string
	for _, row := range r.rows {
		if row.note != "" {
			notes = append(notes, row.name+": "+row.note)
		}
	}
	if len(notes) == 0 {
		return ""
	}
	return strings.Join(notes, ". ") + "."
}

// writeText writes a result as a table of text.
func (r result) writeText(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", r.name)
	if r.skipped != "" {
		fmt.Fprintln(w, "  "+r.skipped)
		return
	}
	for _, line := range []string{r.about, r.method(), r.notes()} {
		if line != "" {
			fmt.Fprintln(w, "  "+line)
		}
	}
	cells, text := r.table()
	width := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, cell := range line {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range cells {
		for i, cell := range line {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i < text {
				cell += pad
			} else {
				cell = pad + cell
			}
			fmt.Fprint(w, "  "+cell)
		}
		fmt.Fprintln(w)
	}
}

// writeMarkdown writes the results of a package.
func writeMarkdown(w io.Writer, name string, facts []fact, results []result) {
	fmt.Fprintf(w, "# Results: %s\n\n", name)
	fmt.Fprint(w, "Made by internal/bench. Contenders took turns in random order in every round, in one process; "+
		"ratios were made within a round.\n\n| | |\n|---|---|\n")
	for _, f := range facts {
		fmt.Fprintf(w, "| %s | %s |\n", f.Name, strings.ReplaceAll(f.Value, "|", `\|`))
	}
	for _, r := range results {
		fmt.Fprintf(w, "\n## %s\n\n", r.name)
		if r.skipped != "" {
			fmt.Fprintln(w, r.skipped)
			continue
		}
		fmt.Fprintf(w, "%s %s\n", r.about, r.method())
		if notes := r.notes(); notes != "" {
			fmt.Fprintf(w, "\n%s\n", notes)
		}
		fmt.Fprintln(w)
		cells, text := r.table()
		for i, line := range cells {
			fmt.Fprintf(w, "| %s |\n", strings.Join(line, " | "))
			if i == 0 {
				fmt.Fprintf(w, "|%s%s\n", strings.Repeat("---|", text), strings.Repeat("--:|", len(line)-text))
			}
		}
	}
}

// writeJSON writes results for programs: seconds, bytes and counts.
func writeJSON(w io.Writer, facts []fact, results []result) error {
	type number struct{ Median, Min, Max float64 }
	type contender struct {
		Name    string
		Ratio   *number `json:",omitempty"`
		Metrics map[string]number
	}
	type entry struct {
		Workload, Skipped, Baseline string `json:",omitempty"`
		Rounds                      int
		Contenders                  []contender
	}
	doc := struct {
		Facts   []fact
		Results []entry
	}{Facts: facts}
	for _, r := range results {
		e := entry{Workload: r.name, Skipped: r.skipped, Baseline: r.baseline, Rounds: r.rounds}
		for _, row := range r.rows {
			c := contender{Name: row.name, Metrics: make(map[string]number)}
			if r.primary != noRatio {
				c.Ratio = &number{row.ratio.median, row.ratio.min, row.ratio.max}
			}
			for i, v := range row.values {
				c.Metrics[r.metrics[i].name] = number{v.median, v.min, v.max}
			}
			e.Contenders = append(e.Contenders, c)
		}
		doc.Results = append(doc.Results, e)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "\t")
	return enc.Encode(doc)
}
