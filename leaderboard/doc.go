// Package leaderboard ranks members by their scores, on sorted sets. Scores are integers
// of up to ±2,145,386,495, and of equal ones the earliest is first, exactly and at no cost
// in memory, since score and time share the 64 bits of the set's double. [Options.MaxScore]
// trades bits of time for larger scores, up to ±4,503,599,627,370,495; beyond is
// [ErrScoreRange], never rounding.
//
//	board, err := leaderboard.New(rdb, "puzzle", &leaderboard.Options{
//		Periods: []leaderboard.Period{leaderboard.Weekly, leaderboard.AllTime},
//	})
//	…
//	results, err := board.Submit(ctx, leaderboard.Score{Member: "ada", Value: 1200})
//	…
//	fmt.Println("you are number", results[0].Rank, "of", results[0].Total)
//	top, err := board.Range(ctx, 0, 10)
//	…
//	near, err := board.Around(ctx, "ada", 5)
//	…
//	last, err := board.Previous(1).Range(ctx, 0, 3) // last week's winners
//
// [Board] is the interface to it, and [Memory] one in this process, for tests.
// [Redis.Between], [Redis.RankOf], [Redis.ScoreAt], [Redis.All] and [Redis.Remove] do what
// else there is to do, and [Handler] answers in JSON.
//
// # Which settings?
//
//	Mode Best       high scores, fastest laps (with Ascending)
//	Mode Last       ratings
//	Mode Sum        points, sales. Give each Score an OpID, or a lost reply is an
//	                ErrUnknownOutcome that cannot be repeated
//
//	Competition     1, 2, 2, 4: how sports are ranked
//	Dense           1, 2, 2, 3: medals, levels. Costs another sorted set
//	Ordinal         1, 2, 3, 4: who was first counts
//
//	Weekly          a season, which ends for all at the same moment
//	Rolling         the last seven days, at any time; costs three to nine times the memory
//
// # Equals
//
// The time of a score is the server's, in a unit that follows from the bits that MaxScore
// leaves, 32 by default, and from the period:
//
//	AllTime, Rolling  1 s          Monthly        1.251 ms
//	Weekly            285 µs       Daily          44 µs
//	Every(time.Hour)  2 µs         …              2 × d / 2^32
//
// [Redis.TieUnit] returns it. Who came within one unit is ordered by member, as bytes. A
// score that is worse than the best or equal to it changes nothing; one that changes a
// member's value begins the time anew. In a rolling Sum the time is that of the latest
// score, in a rolling Best that of the best.
//
// # Guarantees
//
// One snapshot. Every read is one script in one round trip: the ranks on a page, and those
// of several members, are true together.
//
// The server's clock. A score is in the period in which the server's clock was when it was
// stored, whatever the clocks of the processes say. If the server's is set back, or a
// replica's with a slower one takes over, a period that has ended stays so: time stands still
// until it has caught up, but for a day at most. Less than a second may be repeated.
//
// Seals. After its end and [Options.Grace] no score gets into a period. Before, [Redis.At]
// takes those that come late.
//
// At most once. A score is stored once or not at all, in all periods or in none. With an
// OpID, or in mode Best, Submit repeats what it got no reply to, in the same periods; else
// it returns [ErrUnknownOutcome]. A submission that was given up, with that error, may still
// be executed by a server that was hung, if it is in the same period then.
//
// No leaks. Metadata, distinct values and what is in a window go with their member, and all
// of a period after [Options.Retain].
//
// # What it does not do
//
// A failover of Redis loses what was not replicated. A server that evicts keys loses whole
// boards; one that refuses to, for want of memory, refuses submits as a whole, but for those
// that find something to retire in a rolling window, since a script that has begun to write
// may go on. A board is in one hash slot, and while a cluster moves that, calls may be
// [ErrUnavailable] until all its keys have arrived. 100 million members are one sorted set
// of 12 GB, which works and is not split.
//
// A rolling window moves when it is used. After a pause, or when many scores expire at
// once, what has expired is counted until as many calls have come as it takes to retire it:
// each retires up to 50 members, or 11 who have the 24 scores that there can be, so that no
// call takes the server more than some milliseconds. [Stats.Lag] says how many are left.
//
// Packed scores cannot be read, added to or combined by other programs: see [Options.Raw].
//
// # Cost
//
// One round trip a call, in time that grows with the logarithm of the members, and with
// the rows asked for. Another one, once, when a process learns that the server's clock is in
// another period than its own. For each member a sorted set has about 110 bytes, of a name
// of 13, and a rolling window about 300 with one score, 450 with seven at different times,
// and up to 900.
//
// # Keys
//
//	<prefix>:z.<form>.<period>:{<name>}  the scores
//	<prefix>:m.<form>.<period>:{<name>}  the metadata
//	<prefix>:d.<form>.<period>:{<name>}  the distinct values, with Dense
//	<prefix>:e.<form>.<period>:{<name>}  when something of a member expires, of a rolling window
//	<prefix>:w.<form>.<period>:{<name>}  what each member has in it
//	<prefix>:h:{<name>}                  the latest time, unless all are AllTime
//	<prefix>:o:{<name>}                  OpIDs; expires an hour after the last
//
// The form is d or a, for descending or ascending, the bits of time, and x with Dense. The
// period is a for AllTime, r and the length for a rolling window, and d, w, m or e and the
// length with a time in UTC for one that began then. A period that ends expires Retain after
// its end and Grace, a rolling window a little more than its length after what last changed
// in it, AllTime never. With Raw the scores' key is the name alone, and the others have
// neither form nor, if the name has no braces, another tag.
//
// The user of Redis needs the commands TIME, GET, SET, EXISTS, PEXPIRE, PEXPIREAT, ZADD,
// ZREM, ZSCORE, ZRANK, ZREVRANK, ZCARD, ZCOUNT, ZRANGE, ZREVRANGE, ZRANGEBYSCORE, HGET,
// HMGET, HSET, HDEL, EVAL, EVALSHA and PING.
package leaderboard
