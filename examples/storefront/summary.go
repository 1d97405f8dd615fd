package main

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// summarize picks the sentences that say most about the text and returns them
// in their own order, about a third of them and never more than five. Nothing
// is rewritten: every sentence of the summary stands in the text.
//
// A sentence is worth the mean weight of its words, a word's weight being how
// often the text uses it. The mean keeps long sentences from winning by length
// alone; the first sentence of a text gets a little extra, because writers put
// the point there.
func summarize(text string) string {
	sentences := splitSentences(text)
	if len(sentences) <= 2 {
		return strings.Join(sentences, " ")
	}
	count := map[string]int{}
	tokens := make([][]string, len(sentences))
	most := 1
	for i, s := range sentences {
		tokens[i] = contentWords(s)
		for _, w := range tokens[i] {
			count[w]++
			most = max(most, count[w])
		}
	}
	type scored struct {
		index int
		score float64
	}
	ranked := make([]scored, len(sentences))
	for i, words := range tokens {
		score := 0.0
		for _, w := range slices.Compact(slices.Sorted(slices.Values(words))) {
			score += float64(count[w]) / float64(most)
		}
		// The constant makes a heading of one frequent word lose to a sentence.
		score /= math.Max(float64(len(words)), 1) + 3
		if i == 0 {
			score *= 1.25
		}
		ranked[i] = scored{i, score}
	}
	slices.SortStableFunc(ranked, func(a, b scored) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		}
		return a.index - b.index
	})
	chosen := ranked[:min(5, (len(sentences)+2)/3)]
	slices.SortFunc(chosen, func(a, b scored) int { return a.index - b.index })
	out := make([]string, len(chosen))
	for i, c := range chosen {
		out[i] = sentences[c.index]
	}
	return strings.Join(out, " ")
}

// abbreviations end in a full stop that does not end a sentence.
var abbreviations = set("mr mrs ms dr prof st no vs etc e.g i.e cf al fig vol pp approx inc ltd co jr sr jan feb mar apr jun jul aug sep sept oct nov dec")

// stopWords carry no meaning of their own.
var stopWords = set(`a about after again all also am an and any are as at be because been before being both but by can could did do
does doing down during each few for from further get had has have having he her here hers him his how i if in into is it its
itself just me more most my no nor not now of off on once one only or other our out over own same she should so some such than
that the their them then there these they this those through to too two under until up upon us very was we were what when where
which while who whom why will with would yet you your`)

func set(list string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(list) {
		m[w] = true
	}
	return m
}

// contentWords are the words that count, lower-cased; a plural counts with its
// singular.
func contentWords(sentence string) []string {
	fields := strings.FieldsFunc(strings.ToLower(sentence), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r) && !unicode.IsMark(r) && r != '\'' && r != '’'
	})
	var words []string
	for _, w := range fields {
		w = strings.TrimSuffix(strings.TrimSuffix(strings.Trim(w, "'’"), "'s"), "’s")
		if len(w) > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") {
			w = w[:len(w)-1]
		}
		if w != "" && !stopWords[w] {
			words = append(words, w)
		}
	}
	return words
}

// splitSentences cuts text after . ! ? … and their CJK forms, and at empty
// lines. A full stop counts only where a sentence can end: not after an
// abbreviation or an initial, not inside a number, not before a small letter.
func splitSentences(text string) []string {
	var sentences []string
	for _, paragraph := range paragraphs(text) {
		start := 0
		for i, r := range paragraph {
			if i < start || !strings.ContainsRune(".!?…。！？", r) {
				continue
			}
			end := i + utf8.RuneLen(r)
			for end < len(paragraph) { // "Really?!" and a closing quote belong to it
				next, n := utf8.DecodeRuneInString(paragraph[end:])
				if !strings.ContainsRune(".!?…。！？\"'”’»)]」", next) {
					break
				}
				end += n
			}
			if endsSentence(paragraph, start, i, end, r) {
				sentences = append(sentences, strings.TrimSpace(paragraph[start:end]))
				start = end
			}
		}
		if rest := strings.TrimSpace(paragraph[start:]); rest != "" {
			sentences = append(sentences, rest)
		}
	}
	return sentences
}

// paragraphs joins the lines of each paragraph with single spaces.
func paragraphs(text string) []string {
	var all, lines []string
	for line := range strings.Lines(text + "\n\n") {
		if words := strings.Fields(line); len(words) > 0 {
			lines = append(lines, strings.Join(words, " "))
		} else if len(lines) > 0 {
			all, lines = append(all, strings.Join(lines, " ")), nil
		}
	}
	return all
}

// endsSentence decides about the mark r at p[i], in a sentence that began at
// start; end is after the mark and what clings to it.
func endsSentence(p string, start, i, end int, r rune) bool {
	if end == len(p) || strings.ContainsRune("。！？", r) {
		return true
	}
	if p[end] != ' ' {
		return false
	}
	next, _ := utf8.DecodeRuneInString(strings.TrimLeft(p[end:], " \"'“‘«([—–-"))
	if unicode.IsLower(next) {
		return false
	}
	if r != '.' {
		return true
	}
	word := p[start:i]
	word = word[strings.LastIndexByte(word, ' ')+1:]
	word = strings.ToLower(strings.TrimLeft(word, "\"'“‘«(["))
	if abbreviations[word] {
		// "etc." may end a sentence, "Dr." cannot; when in doubt, go on.
		return word == "etc" && unicode.IsUpper(next)
	}
	// An initial, as in "J. R. R. Tolkien" or "the U.S. Navy".
	letters := []rune(strings.ReplaceAll(word, ".", ""))
	initial := len(letters) == 1 && unicode.IsLetter(letters[0]) && word != "i"
	return !initial && (len(letters) == 0 || !strings.Contains(word, "."))
}
