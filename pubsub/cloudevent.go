package pubsub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"
	"time"
	"unicode/utf8"
)

// cloudEvent is the JSON form of a CloudEvent.
type cloudEvent struct {
	SpecVersion string          `json:"specversion"`
	ID          string          `json:"id"`
	Source      string          `json:"source"`
	Type        string          `json:"type"`
	Subject     string          `json:"subject,omitempty"`
	Time        string          `json:"time,omitempty"`
	ContentType string          `json:"datacontenttype,omitempty"`
	TraceParent string          `json:"traceparent,omitempty"`
	Sequence    string          `json:"sequence,omitempty"`
	Data        json.RawMessage `json:"data,omitempty"`
	DataBase64  []byte          `json:"data_base64,omitempty"`
}

// CloudEvent returns the event as a CloudEvent 1.0 in JSON, of the media type
// application/cloudevents+json. Its source is /bus/ and the Publisher, its subject the
// Key, its sequence Seq in 20 digits; an event without a Type has its topic's name. JSON
// and valid text are in data, other Data in data_base64.
//
// Errors: the event has no ID, or neither a Type nor a Topic, as only one can lack that was
// not delivered.
func (e Event) CloudEvent() ([]byte, error) {
	c := cloudEvent{
		SpecVersion: "1.0", ID: e.ID, Source: "/bus/" + e.Publisher, Type: e.Type, Subject: e.Key,
		ContentType: e.ContentType, TraceParent: e.TraceParent,
	}
	if c.Type == "" {
		c.Type = e.Topic
	}
	if c.ID == "" || c.Type == "" {
		return nil, errors.New("pubsub: a CloudEvent needs an id and a type")
	}
	if !e.Time.IsZero() {
		c.Time = e.Time.UTC().Format(time.RFC3339Nano)
	}
	if e.Seq > 0 {
		c.Sequence = fmt.Sprintf("%020d", e.Seq)
	}
	switch {
	case len(e.Data) == 0:
	case isJSON(e.ContentType) && json.Valid(e.Data):
		c.Data = e.Data
	case e.ContentType != "" && !isJSON(e.ContentType) && utf8.Valid(e.Data):
		c.Data, _ = json.Marshal(string(e.Data)) // a string always can be
	default:
		c.DataBase64 = e.Data
	}
	return json.Marshal(c)
}

// ParseCloudEvent returns an event to publish, made of a CloudEvent 1.0 in JSON. Its
// source and sequence are left out: publishing it gives it others.
//
// Errors: b is no such thing.
func ParseCloudEvent(b []byte) (Event, error) {
	var c cloudEvent
	if err := json.Unmarshal(b, &c); err != nil {
		return Event{}, fmt.Errorf("pubsub: a CloudEvent: %w", err)
	}
	if c.SpecVersion != "1.0" || c.ID == "" || c.Source == "" || c.Type == "" {
		return Event{}, errors.New("pubsub: a CloudEvent has specversion 1.0, id, source and type")
	}
	e := Event{ID: c.ID, Type: c.Type, Key: c.Subject, ContentType: c.ContentType, TraceParent: c.TraceParent}
	if c.Time != "" {
		t, err := time.Parse(time.RFC3339Nano, c.Time)
		if err != nil {
			return Event{}, errors.New("pubsub: the time of a CloudEvent is none")
		}
		e.Time = t
	}
	var text string
	switch {
	case len(c.DataBase64) > 0:
		e.Data = c.DataBase64
	case len(c.Data) > 0 && e.ContentType != "" && !isJSON(e.ContentType) && json.Unmarshal(c.Data, &text) == nil:
		e.Data = []byte(text)
	case len(c.Data) > 0 && !bytes.Equal(c.Data, []byte("null")):
		e.Data = c.Data
		if e.ContentType == "" { // as the specification says
			e.ContentType = "application/json"
		}
	}
	return e, nil
}

// isJSON reports whether a content type is that of JSON.
func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && (media == "application/json" || media == "text/json" || strings.HasSuffix(media, "+json"))
}
