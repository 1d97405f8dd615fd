package cache

import (
	_ "embed"

	"github.com/freshet-go/freshet/internal/exec"
)

var (
	//go:embed peek.lua
	peekSource string
	//go:embed lease.lua
	leaseSource string
	//go:embed refresh.lua
	refreshSource string
	//go:embed renew.lua
	renewSource string
	//go:embed release.lua
	releaseSource string
	//go:embed fill.lua
	fillSource string
	//go:embed set.lua
	setSource string
	//go:embed expire.lua
	expireSource string
	//go:embed hold.lua
	holdSource string

	peekScript    = exec.NewScript(peekSource)
	leaseScript   = exec.NewScript(leaseSource)
	refreshScript = exec.NewScript(refreshSource)
	renewScript   = exec.NewScript(renewSource)
	releaseScript = exec.NewScript(releaseSource)
	fillScript    = exec.NewScript(fillSource)
	setScript     = exec.NewScript(setSource)
	expireScript  = exec.NewScript(expireSource)
	holdScript    = exec.NewScript(holdSource)
)

// What lease.lua and refresh.lua answer.
const (
	leaseNot   = 0 // there is a value, or nothing to refresh
	leaseMine  = 1
	leaseBusy  = 2 // another process loads
	leaseHeld  = 3 // a Hold is on
	setTooLate = 0
	setOOM     = 3
)
