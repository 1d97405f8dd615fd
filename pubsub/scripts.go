package pubsub

import (
	_ "embed"

	"github.com/freshet-go/freshet/internal/exec"
)

var (
	//go:embed publish.lua
	publishSource string
	//go:embed append.lua
	appendSource string
	//go:embed mark.lua
	markSource string

	publishScript = exec.NewScript(publishSource)
	appendScript  = exec.NewScript(appendSource)
	markScript    = exec.NewScript(markSource)
)

// What publish.lua and append.lua answer.
const publishDone = 1
