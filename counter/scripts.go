package counter

import (
	_ "embed"

	"github.com/freshet-go/freshet/internal/exec"
)

var (
	//go:embed forever.lua
	foreverSource string
	//go:embed fixed.lua
	fixedSource string
	//go:embed sliding.lua
	slidingSource string

	//go:embed add.lua
	addSource string
	//go:embed once.lua
	onceSource string
	//go:embed flush.lua
	flushSource string
	//go:embed take.lua
	takeSource string
	//go:embed tally.lua
	tallySource string
	//go:embed see.lua
	seeSource string
	//go:embed condense.lua
	condenseSource string
	//go:embed union.lua
	unionSource string

	takeScript     = exec.NewScript(takeSource)
	tallyScript    = exec.NewScript(tallySource)
	seeScript      = exec.NewScript(seeSource)
	condenseScript = exec.NewScript(condenseSource)
	unionScript    = exec.NewScript(unionSource)

	forever = expiring(foreverSource)
	fixed   = expiring(fixedSource)
	sliding = expiring(slidingSource)
)

// expiry is the scripts that count, for one rule of when a counter expires.
type expiry struct{ add, once, flush *exec.Script }

// expiring puts the rule before the operations that use it.
func expiring(rule string) expiry {
	return expiry{exec.NewScript(rule + addSource), exec.NewScript(rule + onceSource), exec.NewScript(rule + flushSource)}
}

// What once.lua and flush.lua answer.
const (
	outcomeGone   = -2
	outcomeLate   = -1
	outcomeBefore = 0
	outcomeDone   = 1
)
