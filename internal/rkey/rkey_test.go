package rkey

import (
	"strings"
	"testing"
)

func TestNew(t *testing.T) {
	for _, prefix := range []string{"cache", "shop:eu:cache", "a*b", "кэш"} {
		if _, err := New(prefix); err != nil {
			t.Errorf("New(%q) = %v, want no error", prefix, err)
		}
	}
	for prefix, want := range map[string]string{
		"":             "is empty",
		"a{b":          `contains '{'`,
		"a}b":          `contains '}'`,
		"a b":          `contains ' '`,
		"a\nb":         `contains '\n'`,
		"a\u00a0b":     `contains '\u00a0'`,
		"a\u200bb":     `contains '\u200b'`,
		"a\xffb":       "is not valid UTF-8",
		"{everything}": `contains '{'`,
	} {
		if _, err := New(prefix); err == nil || err.Error() != want {
			t.Errorf("New(%q) = %v, want %q", prefix, err, want)
		}
	}
}

func TestKey(t *testing.T) {
	s, err := New("cache")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ part, tag, want string }{
		{"v", "product:42", "cache:v:{product:42}"},
		{"l", "product:42", "cache:l:{product:42}"},
		{"v", "", "cache:v:{%}"},
		{"v", "%", "cache:v:{%%}"},
		{"v", "}x", "cache:v:{%}x}"},
		{"v", "%}x", "cache:v:{%%}x}"},
		{"v", "a}b", "cache:v:{a}b}"},
		{"v", "{", "cache:v:{{}"},
		{"v", "\x00\xff\r\n", "cache:v:{\x00\xff\r\n}"},
	} {
		if got := s.Key(c.part, c.tag); got != c.want {
			t.Errorf("Key(%q, %q) = %q, want %q", c.part, c.tag, got, c.want)
		}
	}
}

func TestMember(t *testing.T) {
	s, err := New("cache")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ part, tag, id, want string }{
		{"u", "cache", "monday", "cache:u:{cache}:monday"},
		{"u", "cache", "", "cache:u:{cache}:"},
		{"u", "cache", "}x{", "cache:u:{cache}:}x{"},
		{"u", "%", "\x00", "cache:u:{%%}:\x00"},
	} {
		got := s.Member(c.part, c.tag, c.id)
		if got != c.want {
			t.Errorf("Member(%q, %q, %q) = %q, want %q", c.part, c.tag, c.id, got, c.want)
		}
		if Slot(got) != Slot(s.Key("other", c.tag)) {
			t.Errorf("Member(%q, %q, %q) is in another slot than its tag", c.part, c.tag, c.id)
		}
	}
}

func TestKeys(t *testing.T) {
	s, err := New("cache")
	if err != nil {
		t.Fatal(err)
	}
	tags := []string{"product:42", "", "%", "}x", "%}x", "a}b", "\x00\xff\r\n", "product:42"}
	var keys []string
	if got := testing.AllocsPerRun(100, func() { keys = s.Keys("v", tags) }); got != 2 {
		t.Errorf("Keys: %v allocations, want 2: the list and the text", got)
	}
	if len(keys) != len(tags) {
		t.Fatalf("Keys returned %d keys for %d tags", len(keys), len(tags))
	}
	for i, tag := range tags {
		if want := s.Key("v", tag); keys[i] != want {
			t.Errorf("Keys for %q: %q, want %q", tag, keys[i], want)
		}
	}
	if keys := s.Keys("v", nil); len(keys) != 0 {
		t.Errorf("Keys of no tags = %q", keys)
	}
}

// TestSlot compares with what CLUSTER KEYSLOT of Redis 7.0.15 answered.
func TestSlot(t *testing.T) {
	for _, c := range []struct {
		key  string
		want int
	}{
		{"", 0},
		{"a", 15495},
		{"123456789", 12739},
		{"foo", 12182},
		{"foo{}", 5542},
		{"foo{}{bar}", 8363},
		{"foo{{bar}}", 4015},
		{"foo{bar}{zap}", 5061},
		{"{user1000}.following", 3443},
		{"{user1000}.followers", 3443},
		{"user1000", 3443},
		{"}{a}", 15495},
		{"{", 4092},
		{"}", 12090},
		{"{a", 10276},
		{"cache:v:{product:42}", 12456},
		{"cache:l:{product:42}", 12456},
		{"cache:v:{%}", 13511},
		{"cache:v:{%}x}", 13511},
		{"cache:v:{%%}", 3540},
		{"cache:v:{a}b}", 15495},
		{"p:v:{caf\xc3\xa9}", 5735},
		{"p:v:{\x00\xff\r\n}", 6261},
	} {
		if got := Slot(c.key); got != c.want {
			t.Errorf("Slot(%q) = %d, want %d", c.key, got, c.want)
		}
	}
}

// FuzzKey checks the two promises of Key for two ids: all keys of one id are in
// one slot, and no two keys are equal unless all they were made of is.
func FuzzKey(f *testing.F) {
	f.Add("cache", "v", "product:42", "cache", "l", "product:42")
	f.Add("cache", "v", "", "cache", "v", "%")
	f.Add("cache", "v", "}x", "cache", "v", "%}x")
	f.Add("cache", "v", "}x", "cache", "l", "")
	f.Add("cache", "v", "", "cache", "l", "}x")
	f.Add("a", "b", "c", "a:b", "b", "c")
	f.Add("p", "v", "\xff}{", "p", "v", "{}")
	f.Fuzz(func(t *testing.T, prefix1, part1, tag1, prefix2, part2, tag2 string) {
		s1, err1 := New(prefix1)
		s2, err2 := New(prefix2)
		if err1 != nil || err2 != nil || strings.ContainsAny(part1+part2, ":{}") {
			t.Skip()
		}
		k1, k2 := s1.Key(part1, tag1), s2.Key(part2, tag2)
		same := prefix1 == prefix2 && part1 == part2 && tag1 == tag2
		if (k1 == k2) != same {
			t.Errorf("Key(%q, %q) of %q = %q, Key(%q, %q) of %q = %q: equal %v, want %v",
				part1, tag1, prefix1, k1, part2, tag2, prefix2, k2, k1 == k2, same)
		}
		if got, want := Slot(s2.Key(part2, tag1)), Slot(k1); got != want {
			t.Errorf("Slot(%q) = %d, Slot(%q) = %d, want one slot", s2.Key(part2, tag1), got, k1, want)
		}
	})
}

func TestKeyAllocs(t *testing.T) {
	s, err := New("cache")
	if err != nil {
		t.Fatal(err)
	}
	for _, tag := range []string{"a session id of ordinary length", "}needs the mark"} {
		if got := testing.AllocsPerRun(100, func() { sink = s.Key("v", tag) }); got != 1 {
			t.Errorf("Key(%q, %q): %v allocations, want 1", "v", tag, got)
		}
	}
}

var sink string

func BenchmarkKey(b *testing.B) {
	s, err := New("cache")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		sink = s.Key("v", "product:42")
	}
}

func BenchmarkSlot(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Slot("cache:v:{product:42}")
	}
}
