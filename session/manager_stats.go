package session

import "sync/atomic"

// ManagerStats are counts since the manager was made.
type ManagerStats struct {
	Loads       uint64 // records that were asked for
	Created     uint64 // new sessions
	Saved       uint64 // writes to sessions, of which
	Conflicts   uint64 // … had to be tried again this many times
	Touched     uint64 // uses that were noted
	Logins      uint64
	Evicted     uint64 // sessions beyond MaxPerUser that a Login ended
	Renewed     uint64 // secrets replaced by Renew and RenewEvery
	Refused     uint64 // cookies with a wrong secret
	Reused      uint64 // cookies with a secret that RenewEvery had replaced: OnReuse
	Undecodable uint64 // records that could not be decoded
	Failed      uint64 // requests that ErrorHandler answered
}

type managerCounters struct {
	loads, created, saved, conflicts, touched, logins, evicted, renewed, refused, reused, undecodable, failed atomic.Uint64
}

// Stats returns the counts. It costs a few atomic reads.
func (m *Manager[T]) Stats() ManagerStats {
	return ManagerStats{
		Loads: m.n.loads.Load(), Created: m.n.created.Load(), Saved: m.n.saved.Load(), Conflicts: m.n.conflicts.Load(),
		Touched: m.n.touched.Load(), Logins: m.n.logins.Load(), Evicted: m.n.evicted.Load(), Renewed: m.n.renewed.Load(), Refused: m.n.refused.Load(),
		Reused: m.n.reused.Load(), Undecodable: m.n.undecodable.Load(), Failed: m.n.failed.Load(),
	}
}
