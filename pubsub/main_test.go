package pubsub

import (
	"testing"
	"time"

	"github.com/freshet-go/freshet/internal/redistest"
)

// promised is what a connection may take to an answer, outside of tests.
var promised = answerTime

func TestMain(m *testing.M) {
	answerTime = time.Minute
	redistest.Main(m, publisherRole, subscriberRole)
}
