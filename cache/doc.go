// Package cache is cache-aside over Redis: a value is read from Redis (GET), and
// loaded, stored and shared if it is not there. Of all callers in all processes
// one loads, and what a Delete has made void never comes back.
//
//	products, err := cache.NewCached(c, "product", func(ctx context.Context, id string) (Product, error) {
//		return db.Product(ctx, id) // or cache.ErrNotFound
//	}, nil)
//	…
//	p, err := products.Get(ctx, "42")    // from Redis, or from the database
//	…
//	err = products.Delete(ctx, "42")     // after the row was changed
//
// [Cached] binds a typed loader to a cache and is the everyday type; [Func] wraps a
// function; [Redis.GetOrLoad] is the plain form for bytes, and [Cache] the interface
// to it. In tests, run it on miniredis:
//
//	m := miniredis.RunT(t)
//	m.ClockTTL(true) // or values do not expire
//	c, err := cache.New(redis.NewClient(&redis.Options{Addr: m.Addr()}), nil)
//
// # What a call returns
//
//	in Redis                           a call gets                     and then
//	fresh                              the value, 1 round trip
//	fresh, about to end                the value, 1 round trip         one process loads it anew
//	past its TTL, within StaleFor      the old value, 1 round trip     one process loads it anew
//	past its TTL, within StaleOnError  a loaded value; or, if the load fails, the old one
//	remembered as not found            ErrNotFound, 1 round trip
//	nothing, or what is no entry       a loaded value, 3 round trips
//	Redis is away                      a loaded value, after at most Timeout more
//
// # Guarantees
//
// One load. A key is loaded once across all processes, per Delete and lease. The
// process that loads holds a lease of 3 seconds, which it prolongs; if it dies
// another takes over when the lease ends. A load that fails or panics gives the
// lease back at once. Loads are made more than once while Redis is away, during a
// [Redis.Hold], while a cluster moves the key's slot, and by a process that has
// waited for LoadTimeout or until two leases of others came to nothing.
//
// Nothing stale after Delete. A call that starts after [Redis.Delete],
// [Redis.Set] or [Redis.Hold] has returned, in any process, never gets a value
// whose load began before; after [Redis.Expire] it may, as long as StaleFor or
// StaleOnError says. Nobody waits for more than two loads because of that.
//
// Each caller keeps its own context. A load does not end because the caller who
// started it has left, and a caller leaves when its own context ends.
//
// A bounded wait. Redis costs a call no more than [Options.Timeout], refused or hung,
// whatever the timeouts and retries of the client; who joins a load when it has begun
// may wait as long again for its value to be stored. After a few failures in a row
// calls do not wait at all, until a probe finds Redis healthy.
//
// Foreign and hostile bytes under a key are a miss, counted and replaced.
//
// # What it does not do
//
// A failover of Redis loses writes that were not replicated, Deletes among them.
// A Delete that fails is an error to its caller, and other processes may serve the
// old value until it has been done in the background. A loader that reads from a
// lagging replica of a database loads old data: see Hold. Values of a loader
// that fails while StaleOnError covers it are as old as that allows.
//
// Delete after the database transaction is committed, not before: a load in
// between would store the old row.
//
// # Keys
//
//	<prefix>:v:{<key>}  the value: a header and the payload; expires TTL + max(StaleFor, StaleOnError)
//	<prefix>:l:{<key>}  the lease of a load; expires in 3 seconds
//	<prefix>:h:{<key>}  a Hold; expires with it
//
// A [Cached] has the keys name:key. All three are in one hash slot. Freshness goes
// by the server's clock: those of the clients do not matter. The user needs the
// commands GET, MGET, GETRANGE, SET, SETRANGE, PTTL, PEXPIRE, UNLINK, TIME,
// EVAL, EVALSHA and PING on them. A script that a server does not know yet costs one
// round trip more, once.
package cache
