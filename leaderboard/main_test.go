package leaderboard

import (
	"testing"

	"github.com/freshet-go/freshet/internal/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }
