package ratelimit

import (
	_ "embed"

	"github.com/freshet-go/freshet/internal/exec"
)

var (
	//go:embed gcra.lua
	gcraSource string
	//go:embed buckets.lua
	bucketsSource string

	//go:embed kinds.lua
	kindsSource string
	//go:embed bucket.lua
	bucketSource string
	//go:embed log.lua
	logSource string
	//go:embed window.lua
	windowSource string
	//go:embed fixed.lua
	fixedSource string
	//go:embed limits.lua
	limitsSource string

	//go:embed take.lua
	takeSource string
	//go:embed peek.lua
	peekSource string
	//go:embed refund.lua
	refundSource string

	gcraScript    = exec.NewScript(gcraSource)
	bucketsScript = exec.NewScript(bucketsSource)
	takeScript    = exec.NewScript(ofAnyKind(takeSource))
	peekScript    = exec.NewScript(ofAnyKind(peekSource))
	refundScript  = exec.NewScript(ofAnyKind(refundSource))
)

// ofAnyKind puts the algorithms before an operation that uses them.
func ofAnyKind(operation string) string {
	return kindsSource + bucketSource + logSource + windowSource + fixedSource + limitsSource + operation
}
