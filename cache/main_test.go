package cache

import (
	"testing"

	"github.com/freshet-go/freshet/internal/redistest"
)

// roles are those of processes that tests start.
var roles = []redistest.Role{loaderRole}

func TestMain(m *testing.M) { redistest.Main(m, roles...) }
