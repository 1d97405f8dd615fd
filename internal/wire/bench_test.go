package wire

import (
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"
)

// product is the ten-field struct that the codecs are compared on.
type product struct {
	ID          int64
	Name        string
	Description string
	Price       float64
	Stock       int
	Active      bool
	Tags        []string
	Attributes  map[string]string
	Created     time.Time
	Ratings     []int
}

var benchProduct = product{
	ID: 123456, Name: "Trail running shoe", Description: "Light, grippy and made for wet rock.", Price: 129.95, Stock: 42, Active: true,
	Tags: []string{"shoes", "running", "trail"}, Attributes: map[string]string{"colour": "blue", "size": "44"},
	Created: time.Unix(1_800_000_000, 123_456_789), Ratings: []int{5, 4, 5, 3, 5},
}

var benchSink []byte

func BenchmarkScan(b *testing.B) {
	data, err := Marshal(&benchProduct)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Scan(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMarshal(b *testing.B) {
	for _, c := range []struct {
		name    string
		marshal func(any) ([]byte, error)
	}{{"wire", Marshal}, {"msgpack", msgpack.Marshal}} {
		b.Run("impl="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if benchSink, err = c.marshal(&benchProduct); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(benchSink)), "size")
		})
	}
}

func BenchmarkUnmarshal(b *testing.B) {
	data, err := Marshal(&benchProduct)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name      string
		unmarshal func([]byte, any) error
	}{{"wire", Unmarshal}, {"msgpack", msgpack.Unmarshal}} {
		b.Run("impl="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var p product
				if err := c.unmarshal(data, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
