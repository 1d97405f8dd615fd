// Package counter counts in Redis: what is counted is counted once, and what should expire
// does.
//
//	views, err := counter.New(rdb, &counter.Options{TTL: 30 * 24 * time.Hour})
//	…
//	n, err := views.Add(ctx, "product:42", 1)
//	n, applied, err := views.AddOnce(ctx, "product:42", orderID, 1) // may be repeated
//
// [Counter] is the interface to it. [Buffered] gathers in process what is added to busy
// keys, and writes it once a second. [Series] counts per minute, hour and day, for curves.
// [Unique] counts different members, exactly at first and then within 1 %. [Middleware]
// counts the views of a page.
//
// There is no counter in memory: a test has [Counter] with its three methods to fake, or
// miniredis, on which everything here works, see the examples.
//
// # Guarantees
//
// Once. No call is executed twice, whatever happens to connections and replies, with
// whatever retries the client makes. After a lost reply Add returns ErrUnknownOutcome, since
// it was executed once or not at all; AddOnce and a Buffered's flush find out. So what is in
// Redis is at least what was acknowledged, and at most that and what is unknown; with
// AddOnce and Buffered it is exact.
//
// Expiry. A count and its expiry are set by one script. No key is without its expiry, even
// if a server is stopped, or permits the one and not the other.
//
// The server's clock decides what has expired, in which bucket something counts and until
// when an attempt may be repeated. Those of the clients do not matter.
//
// Exact to 64 bits. A total that would overflow is an error and stays as it is. So is
// something else under a key.
//
// # What it does not do
//
// A failover of Redis loses what was not replicated: counts, and with them the memory
// of an opID. A server that evicts keys may forget an opID, or the gate of a Buffered,
// before its time, and then count twice what is sent again. A crash of the process loses
// what a Buffered has gathered, which is an Interval's at most; a lost reply to Take loses
// what was taken. While a cluster moves a slot the calls that use several keys (AddOnce,
// Series.Add, Count, the flush of a Buffered, which keeps what it has) may be unavailable.
//
// # Cost
//
// One round trip and constant time for each call, or none for a Buffered. Under load
// callers share pipelines.
//
// # Keys
//
//	<prefix>:n:{<key>}             a counter: an integer; expires after TTL
//	<prefix>:o.<op>:{<key>}        an opID of AddOnce, hashed; expires after OnceFor
//	<prefix>:g.<writer>:{<key>}    the gate of a Buffered; expires five minutes after its last flush
//	<prefix>:m.<span>:{<key>}      a Series' minutes of an hour: a hash; expires Minutes after its end
//	<prefix>:h.<span>:{<key>}      the hours of a day; likewise after Hours
//	<prefix>:d.<span>:{<key>}      30 days; likewise after Days
//	<prefix>:u:{<prefix>}:<key>    a Unique's members: a set or a HyperLogLog; expires after TTL
//	<prefix>:w:{<prefix>}:<key>    where one is made or united; removed at once
//
// What is counted under one key is in one slot; all that one Unique counts is. A span is
// numbered from 1970.
//
// The user needs the commands GET, MGET, SET, INCRBY, UNLINK, PEXPIRE, TIME, EVAL, EVALSHA
// and PING; for a Series HINCRBY, HGETALL, HGET, HLEN and EXPIREAT; for a Unique TYPE, SADD, SCARD,
// SMEMBERS, SUNION, PFADD, PFCOUNT, PFMERGE, PTTL, PERSIST and RENAME.
package counter
