package leaderboard

import (
	_ "embed"

	"github.com/freshet-go/freshet/internal/exec"
)

var (
	//go:embed time.lua
	timeSource string
	//go:embed water.lua
	waterSource string

	//go:embed packed.lua
	packedSource string
	//go:embed packed_order.lua
	packedOrderSource string
	//go:embed plain.lua
	plainSource string
	//go:embed reverse.lua
	reverseSource string

	//go:embed competition.lua
	competitionSource string
	//go:embed dense.lua
	denseSource string
	//go:embed ordinal.lua
	ordinalSource string

	//go:embed keys.lua
	keysSource string

	//go:embed best.lua
	bestSource string
	//go:embed last.lua
	lastSource string
	//go:embed sum.lua
	sumSource string

	//go:embed change.lua
	changeSource string
	//go:embed window.lua
	windowSource string
	//go:embed scores.lua
	scoresSource string
	//go:embed store.lua
	storeSource string
	//go:embed submit.lua
	submitSource string
	//go:embed one.lua
	oneSource string
	//go:embed remove.lua
	removeSource string

	//go:embed read.lua
	readSource string
	//go:embed retire.lua
	retireSource string
	//go:embed page.lua
	pageSource string
	//go:embed range.lua
	rangeSource string
	//go:embed between.lua
	betweenSource string
	//go:embed around.lua
	aroundSource string
	//go:embed after.lua
	afterSource string
	//go:embed get.lua
	getSource string
	//go:embed rank_of.lua
	rankOfSource string
	//go:embed score_at.lua
	scoreAtSource string
)

// What the scripts answer.
const (
	outcomeElsewhen   = 0 // at that time another period is meant, or it is over
	outcomeDone       = 1
	outcomeOutOfRange = 2
)

// scripts are those of one board.
type scripts struct {
	submit, remove *exec.Script
	one            *exec.Script // nil if a board is not as it wants
	calendar       readers      // of periods whose scores stay
	rolling        readers
}

// readers are the scripts that read.
type readers struct {
	rows, between, around, after, get, rankOf, scoreAt *exec.Script
}

// newScripts puts the scripts together that a board of these settings needs.
func newScripts(o *settings) *scripts {
	clock := timeSource
	if o.timed {
		clock += waterSource
	}
	begin := clock
	switch {
	case !o.Raw:
		begin += packedSource + packedOrderSource
	case o.Ascending:
		begin += plainSource
	default:
		begin += reverseSource
	}
	begin += [...]string{Competition: competitionSource, Dense: denseSource, Ordinal: ordinalSource}[o.Ranking] + keysSource
	mode := [...]string{Best: bestSource, Last: lastSource, Sum: sumSource}[o.Mode]
	change := begin + mode + changeSource + windowSource
	s := &scripts{
		submit:   exec.NewScript(change + scoresSource + storeSource + submitSource),
		remove:   exec.NewScript(change + removeSource),
		calendar: newReaders(begin + readSource),
		rolling:  newReaders(change + readSource + retireSource),
	}
	if !o.Raw && o.Mode != Sum && o.Ranking == Competition && o.Cap == 0 {
		s.one = exec.NewScript(clock + packedSource + mode + oneSource)
	}
	return s
}

func newReaders(begin string) readers {
	script := func(operation string) *exec.Script {
		return exec.NewScript(begin + pageSource + operation)
	}
	return readers{
		rows: script(rangeSource), between: script(betweenSource), around: script(aroundSource), after: script(afterSource),
		get: script(getSource), rankOf: script(rankOfSource), scoreAt: script(scoreAtSource),
	}
}
