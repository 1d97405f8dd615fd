package session

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"time"
	"unicode/utf8"
)

var (
	moment = time.UnixMilli(1_800_000_000_123)
	end    = moment.Add(24 * time.Hour)
)

func someEnvelope() envelope {
	return envelope{
		flags: flagPrevious | flagUsed, hash: digest{4}, previous: digest{5}, nonce: nonce{6},
		created: moment, login: moment.Add(time.Minute), renewed: moment.Add(time.Hour), checked: moment.Add(time.Second), until: moment.Add(2 * time.Hour),
		user: "ольга", device: []byte("Firefox"),
	}
}

func TestEnvelope(t *testing.T) {
	t.Parallel()
	rotated, anonymous, full := someEnvelope(), envelope{hash: digest{1}, created: moment, login: moment, renewed: moment, checked: moment}, someEnvelope()
	full.user, full.device = strings.Repeat("u", maxUser), bytes.Repeat([]byte("d"), maxDevice)
	for _, want := range []envelope{anonymous, rotated, full} {
		for _, payload := range []string{"", "payload"} {
			b := append(want.appendTo(nil, end), payload...)
			got, rest, err := parseEnvelope(b, end)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || string(rest) != payload {
				t.Errorf("envelope %+v\nbecame %+v, %q, %v", want, got, rest, err)
			}
		}
	}
}

func TestEnvelopeRefuses(t *testing.T) {
	t.Parallel()
	h := someEnvelope()
	b := h.appendTo(nil, end)
	for n := range len(b) {
		if _, _, err := parseEnvelope(b[:n], end); err == nil {
			t.Errorf("the first %d bytes of %d are accepted", n, len(b))
		}
	}
	format, flag := bytes.Clone(b), bytes.Clone(b)
	format[0]++
	flag[1] |= 1 << 3
	h.user = strings.Repeat("u", maxUser+1)
	for name, bad := range map[string][]byte{"another format": format, "an unknown flag": flag, "a long user": h.appendTo(nil, end)} {
		if _, _, err := parseEnvelope(bad, end); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	h := someEnvelope()
	f.Add(append(h.appendTo(nil, end), "payload"...))
	h.flags = 0
	f.Add(h.appendTo(nil, end))
	f.Add([]byte{dataFormat})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, payload, err := parseEnvelope(b, end)
		if err != nil {
			return
		}
		if again := append(h.appendTo(nil, end), payload...); !bytes.Equal(again, b) {
			t.Errorf("%x is read and written as %x", b, again)
		}
	})
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "a", "ab", "abc", "é", "aé", "aéé", "€", "a€", "ab€", "😀", "a😀", "ab😀", "abc😀"} {
		long := strings.Repeat("d", maxDevice-2) + s
		if got := cut(long); len(got) > maxDevice || !strings.HasPrefix(long, got) || !utf8.ValidString(got) || len(long) <= maxDevice && got != long {
			t.Errorf("cut leaves %q of %q", got[maxDevice-4:], long[maxDevice-4:])
		}
	}
	if got := cut(strings.Repeat("\x80", 1000)); len(got) > maxDevice {
		t.Errorf("cut leaves %d bytes", len(got))
	}
}

func TestPlaceOf(t *testing.T) {
	t.Parallel()
	old, other, n := newSecret(), newSecret(), newNonce()
	next := old.next(&n)
	h := envelope{flags: flagPrevious, hash: next.digest(), previous: old.digest(), nonce: n, until: moment}
	for _, c := range []struct {
		s    secret
		now  time.Time
		want place
	}{
		{next, moment.Add(-time.Second), current},
		{next, moment.Add(time.Second), current},
		{old, moment.Add(-1), previous},
		{old, moment, replayed},
		{other, moment.Add(-1), foreign},
		{secret{}, moment.Add(-1), foreign},
	} {
		if got := h.placeOf(&c.s, c.now); got != c.want {
			t.Errorf("placeOf(%x) = %d, want %d", c.s[:2], got, c.want)
		}
	}
	h.flags = 0
	if got := h.placeOf(&old, moment.Add(-1)); got != foreign {
		t.Errorf("without a previous secret it is %d, want foreign", got)
	}
	var none envelope
	if got := none.placeOf(&secret{}, moment); got != foreign {
		t.Errorf("in a record without a secret it is %d, want foreign", got)
	}
}
