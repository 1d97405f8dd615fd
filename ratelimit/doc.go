// Package ratelimit limits how much is done in which time, exactly and for all processes
// together: one Redis script a decision, none for a caller already known to be over, and
// a defined answer when Redis is away.
//
//	limiter, err := ratelimit.New(rdb, "api", ratelimit.PerSecond(10), &ratelimit.Options{
//		Also:      []ratelimit.Limit{ratelimit.PerHour(1000)}, // both or neither
//		Instances: 4,                                           // while Redis is away
//	})
//	…
//	r, err := limiter.Allow(ctx, userID)
//	if err != nil {
//		return err // not permitted, or something else is under the key
//	}
//	if !r.Allowed {
//		return fmt.Errorf("try again in %v", r.RetryAfter)
//	}
//
// [Limiter] is the interface to it, and [Memory] decides the same in one process, for
// tests. [Redis.Wait] blocks until it is allowed, [Redis.AllowUpTo] takes what is left,
// [Redis.Peek] takes nothing, [Redis.Refund] gives back and [Redis.Reset] starts anew.
//
// [Middleware] puts a Limiter before an http.Handler, and [ClientIP] names the clients
// behind proxies. [Concurrency] limits how much is under way at once.
//
// # Algorithms
//
//	               admits in any span Δ                  denies                        per key
//	TokenBucket    ≤ Burst + Δ × Quota/Period            never what keeps to that      72 bytes
//	SlidingLog     ≤ Quota, if Δ is one Period           only when that is used up     7 to 14 bytes for each
//	SlidingWindow  < 2 × Quota, if Δ is one Period       by its estimate               104 bytes
//	FixedWindow    ≤ Quota in each window of a calendar  only when that is used up     104 bytes
//
// A TokenBucket is GCRA in whole microseconds and the remainder, so that 7 a second is
// exact for ever. The sizes are of MEMORY USAGE, with keys of up to 30 characters.
//
// # Guarantees
//
// Exact. Counts, Remaining and RetryAfter are true to the microsecond, also in a denial:
// if nobody else takes any, a retry after RetryAfter passes, and one a microsecond sooner
// does not. A denial changes no byte in Redis, unless it finds more there than its limit
// can have counted, because that is new or the clock was set back.
//
// All or nothing. Several limits are decided by one script in one slot. What
// one of them denies is taken from none.
//
// At most one debit. A call takes what it asks for once or not at all, whatever
// happens to connections and replies, with whatever retries the client makes.
//
// The server's clock. Those of the clients do not matter. If the server's is set
// forward, or a replica's with another one takes over, at most one more burst is
// allowed. If it is set back, counts go on from the time that it then has: a bucket is
// full again after Burst × Period/Quota, and a window is over after its Period, or two
// for a SlidingWindow.
//
// Foreign bytes under a key count as nothing, or as a limit that is used up and recovers
// like any; a value of another type is an error.
//
// # When Redis is away
//
// Allow and its like answer within [Options.Timeout], and after a few failures in a row at
// once, until a probe finds Redis healthy. [Options.OnUnavailable] decides then: by a share of
// the limit, counted in this process, or open, or closed. So it does when Redis
// loads, may not write, is out of memory, and when a reply is lost. The Result is
// Degraded and the error nil: an error is always something to repair, or the context's.
//
// # What it does not do
//
// A failover of Redis loses what was not replicated: so much is allowed once more. With
// OnUnavailable's FailLocal each process starts with its share unused. While a cluster moves a
// slot several limits of one key may be Degraded; a single one is not. There is no
// queue: who waits may be overtaken.
//
// # Cost
//
// One round trip a decision, for any number of limits, in constant time. Callers who ask
// for the same of one key at the same time share one. A denial is remembered, for a
// second at most, and answered without Redis; see [Options.DenialCache], which says what
// that means for Reset and Refund. [Options.Prefetch] takes tokens ahead.
//
// # Keys
//
//	<prefix>:<name>:t:{<key>}  a TokenBucket; expires when it is full
//	<prefix>:<name>:l:{<key>}  a SlidingLog; expires a Period after what was admitted last
//	<prefix>:<name>:w:{<key>}  a SlidingWindow; expires after the next window
//	<prefix>:<name>:f:{<key>}  a FixedWindow; expires when it is over
//	<prefix>:<name>:c:{<key>}  the leases of a Concurrency; expires with the last of them
//
// each a tenth of a second later. A limit that has another name than the limiter has
// that in its key: t.<limit>. All are in one hash slot. When a limit is changed it
// goes on with what was counted, or as much of it as the new one can count; a new Name
// or Algorithm begins anew.
//
// The user needs the commands TIME, GET, SET, UNLINK, EXISTS, GETRANGE, SETRANGE, PEXPIRE,
// EVAL, EVALSHA and PING, and for a Concurrency those that it lists.
package ratelimit
