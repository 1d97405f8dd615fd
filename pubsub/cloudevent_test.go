package pubsub

import (
	"reflect"
	"testing"
	"time"
)

func TestCloudEvent(t *testing.T) {
	t.Parallel()
	when := time.Date(2024, 5, 6, 7, 8, 9, 123456000, time.UTC)
	for _, c := range []struct {
		event Event
		want  string
	}{
		{
			Event{ID: "1", Type: "order.placed", Key: "42", ContentType: "application/json", TraceParent: "00-a-b-01", Time: when, Data: []byte(`{"n":1}`), Publisher: "ME", Topic: "orders", Seq: 7},
			`{"specversion":"1.0","id":"1","source":"/bus/ME","type":"order.placed","subject":"42","time":"2024-05-06T07:08:09.123456Z","datacontenttype":"application/json","traceparent":"00-a-b-01","sequence":"00000000000000000007","data":{"n":1}}`,
		},
		{
			Event{ID: "1", Topic: "orders", Publisher: "ME", ContentType: "text/plain; charset=utf-8", Data: []byte("a\n\"b\"")},
			`{"specversion":"1.0","id":"1","source":"/bus/ME","type":"orders","datacontenttype":"text/plain; charset=utf-8","data":"a\n\"b\""}`,
		},
		{
			Event{ID: "1", Topic: "orders", Publisher: "ME", ContentType: "application/json", Data: []byte("{")},
			`{"specversion":"1.0","id":"1","source":"/bus/ME","type":"orders","datacontenttype":"application/json","data_base64":"ew=="}`,
		},
		{
			Event{ID: "1", Type: "x", Publisher: "ME", Data: []byte{0xff, 0}},
			`{"specversion":"1.0","id":"1","source":"/bus/ME","type":"x","data_base64":"/wA="}`,
		},
	} {
		got, err := c.event.CloudEvent()
		if err != nil || string(got) != c.want {
			t.Errorf("CloudEvent = %s, %v, want %s", got, err, c.want)
			continue
		}
		back, err := ParseCloudEvent(got)
		want := c.event
		want.Topic, want.Publisher, want.Seq = "", "", 0
		if want.Type == "" {
			want.Type = c.event.Topic
		}
		if err != nil || !reflect.DeepEqual(back, want) {
			t.Errorf("ParseCloudEvent(%s) = %+v, %v, want %+v", got, back, err, want)
		}
	}
	for _, e := range []Event{{}, {ID: "1"}, {Type: "x"}} {
		if b, err := e.CloudEvent(); err == nil {
			t.Errorf("CloudEvent of %+v = %s", e, b)
		}
	}
	for _, s := range []string{
		``, `[]`, `{}`, `{"specversion":"0.3","id":"1","source":"/x","type":"t"}`, `{"specversion":"1.0","id":"1","type":"t"}`,
		`{"specversion":"1.0","id":"1","source":"/x","type":"t","time":"yesterday"}`, `{"specversion":"1.0","id":"1","source":"/x","type":"t","data_base64":"?"}`,
	} {
		if e, err := ParseCloudEvent([]byte(s)); err == nil {
			t.Errorf("ParseCloudEvent(%s) = %+v", s, e)
		}
	}
	e, err := ParseCloudEvent([]byte(`{"specversion":"1.0","id":"1","source":"/x","type":"t","data":[1,2]}`))
	if err != nil || string(e.Data) != "[1,2]" || e.ContentType != "application/json" {
		t.Errorf("without a content type: %+v, %v", e, err)
	}
}
