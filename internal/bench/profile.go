package main

import (
	"bytes"
	"os"
	"runtime/pprof"

	pprofile "github.com/google/pprof/profile"
)

// profile is a CPU profile of some stretches of the program. A nil one does
// nothing.
type profile struct {
	file    string
	running *bytes.Buffer // the stretch under way
	parts   []*pprofile.Profile
}

func (p *profile) start() error {
	if p == nil {
		return nil
	}
	p.running = new(bytes.Buffer)
	return pprof.StartCPUProfile(p.running)
}

func (p *profile) stop() error {
	if p == nil || p.running == nil {
		return nil
	}
	pprof.StopCPUProfile()
	part, err := pprofile.Parse(p.running)
	p.running = nil
	if err != nil {
		return err
	}
	p.parts = append(p.parts, part)
	return nil
}

// write writes the stretches as one profile.
func (p *profile) write() error {
	if p == nil || len(p.parts) == 0 {
		return nil
	}
	whole, err := pprofile.Merge(p.parts)
	if err != nil {
		return err
	}
	f, err := os.Create(p.file)
	if err != nil {
		return err
	}
	if err := whole.Write(f); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
