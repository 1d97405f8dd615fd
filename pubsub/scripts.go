package pubsub

import (
	_ "embed"

	"github.com/freshet-go/freshet/internal/exec"
)

var (
	//go:embed number.lua
	numberSource string
	//go:embed publish.lua
	publishSource string
	//go:embed append.lua
	appendSource string
	//go:embed mark.lua
	markSource string

	publishScript = exec.NewScript(numberSource + publishSource)
	appendScript  = exec.NewScript(numberSource + appendSource)
	markScript    = exec.NewScript(markSource)
)

// What publish.lua and append.lua answer.
const publishDone = 1
