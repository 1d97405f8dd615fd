package session

import (
	_ "embed"

	"github.com/freshet-go/freshet/internal/exec"
)

var (
	//go:embed peek.lua
	peekSource string
	//go:embed create.lua
	createSource string
	//go:embed swap.lua
	swapSource string
	//go:embed touch.lua
	touchSource string
	//go:embed list.lua
	listSource string
	//go:embed check.lua
	checkSource string
	//go:embed revoke.lua
	revokeSource string

	peekScript   = exec.NewScript(peekSource)
	createScript = exec.NewScript(createSource)
	swapScript   = exec.NewScript(swapSource)
	touchScript  = exec.NewScript(touchSource)
	listScript   = exec.NewScript(listSource)
	checkScript  = exec.NewScript(checkSource)
	revokeScript = exec.NewScript(revokeSource)
)

// What the scripts answer.
const (
	outcomeNone    = 0 // no record
	outcomeDone    = 1
	outcomeOther   = 2 // another version or login is stored
	outcomeCorrupt = 3

	listLate    = 0
	listDone    = 1
	listRevoked = 2

	checkRevoked = 2
)
