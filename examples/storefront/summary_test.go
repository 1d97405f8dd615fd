package main

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestSplitSentences(t *testing.T) {
	tests := []struct{ text, want string }{ // want: sentences joined by |
		{"", ""},
		{"  \n\n \t", ""},
		{"One", "One"},
		{"One. Two! Three? Four", "One.|Two!|Three?|Four"},
		{"Dr. Gray met Mrs. Hill. They talked.", "Dr. Gray met Mrs. Hill.|They talked."},
		{"Pi is 3.14 or so. It goes on.", "Pi is 3.14 or so.|It goes on."},
		{"J. R. R. Tolkien wrote it. You know it.", "J. R. R. Tolkien wrote it.|You know it."},
		{"The U.S. Navy sailed. It came back.", "The U.S. Navy sailed.|It came back."},
		{"Use tools, e.g. Redis. They help.", "Use tools, e.g. Redis.|They help."},
		{"“Really?!” she asked. “Yes.” He left.", "“Really?!” she asked.|“Yes.”|He left."},
		{"A heading\n\nThe first\nline goes on. Second.", "A heading|The first line goes on.|Second."},
		{"Wait... what? Fine… Go.", "Wait... what?|Fine…|Go."},
		{"See example.com for more. Bye.", "See example.com for more.|Bye."},
		{"今日は晴れです。明日は雨です。", "今日は晴れです。|明日は雨です。"},
		{"Windows\r\nlines. End.\r\n\r\nNew.", "Windows lines.|End.|New."},
		{"So did I. Then we left.", "So did I.|Then we left."},
	}
	for _, tt := range tests {
		if got := strings.Join(splitSentences(tt.text), "|"); got != tt.want {
			t.Errorf("splitSentences(%q) = %q, want %q", tt.text, got, tt.want)
		}
	}
}

const sample = `Bees are the most important pollinators of many crops. ` +
	`It rained on Tuesday. ` +
	`A colony of bees visits millions of flowers in a season, and the crops that bees pollinate feed a third of the world. ` +
	`My uncle once owned a yellow car. ` +
	`Without bees, farmers would have to pollinate crops by hand, which costs more than the crops earn. ` +
	`Lunch was good. ` +
	`Pesticides harm bees, and fewer flowers at the edge of fields leave a colony hungry. ` +
	`Someone should paint the fence.`

func TestSummarizeFindsThePoint(t *testing.T) {
	got := summarize(sample)
	if !strings.HasPrefix(got, "Bees are the most important pollinators") {
		t.Errorf("the summary does not begin with the point: %q", got)
	}
	for _, off := range []string{"Tuesday", "uncle", "Lunch", "fence"} {
		if strings.Contains(got, off) {
			t.Errorf("the summary keeps %q, which is beside the point: %q", off, got)
		}
	}
	if n := len(splitSentences(got)); n != 3 {
		t.Errorf("8 sentences were summarized in %d, want 3: %q", n, got)
	}
}

func TestSummarizeOnlyQuotes(t *testing.T) {
	for _, text := range []string{sample, "One.", "One. Two.", strings.Repeat(sample+" ", 20), "no full stop at all", "!!! ??? ..."} {
		all := splitSentences(text)
		last := -1
		for _, s := range splitSentences(summarize(text)) {
			i := slices.Index(all[last+1:], s)
			if i < 0 {
				t.Errorf("summarize(%.40q) has %q, which is not in the text or out of order", text, s)
				break
			}
			last += i + 1
		}
	}
	if got := summarize("One. Two."); got != "One. Two." {
		t.Errorf("a short text became %q", got)
	}
}

func FuzzSummarize(f *testing.F) {
	f.Add(sample)
	f.Add("J. R. R. Tolkien… 今日は。\n\nA. b. C")
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			t.Skip()
		}
		got := summarize(text)
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
		if len(squeeze(got)) > len(squeeze(text)) {
			t.Errorf("summarize(%q) = %q, longer than the text", text, got)
		}
		if strings.TrimSpace(text) != "" && got == "" {
			t.Errorf("summarize(%q) is empty", text)
		}
		if !utf8.ValidString(got) {
			t.Errorf("summarize(%q) = %q, not UTF-8", text, got)
		}
	})
}
