// Package pubsub carries events between services, and says so when one is lost: every event
// that is published after Subscribe has returned reaches the handler, once and in order, or
// a [Gap] in its place tells how many did not. With a history in a Redis stream holes are
// filled, and subscriptions begin where an earlier one, in any process, has ended.
//
//	type Order struct{ Number int }
//
//	var orders = pubsub.Topic[Order]{Name: "orders", Type: "order.placed"}
//
//	bus, err := pubsub.New(rdb, &pubsub.Options{HistoryLen: 1000}) // or nil: live only
//	…
//	sub, err := bus.Subscribe(ctx, "orders", orders.Handler(
//		func(ctx context.Context, m pubsub.Message[Order]) error {
//			return ship(ctx, m.Value)
//		},
//	), &pubsub.SubscribeOptions{
//		OnGap: func(ctx context.Context, g pubsub.Gap) { reloadAll(ctx) },
//	})
//	…
//	err = orders.Publish(ctx, bus, Order{Number: 42})
//
// [Bus] is the interface to it, and [Memory] the same in one process, for tests. The package
// pubsubtest tests implementations.
//
// # Guarantees
//
// Live. Each event reaches a subscription at most once, and those of one publisher in their
// order. What was attempted after Subscribe returned is received or announced: also what
// Publish returned an error for, with the next event of that topic from the same bus. Losses
// of a connection are announced within 5 seconds of the fault, or, while Redis cannot be
// reached, when it can.
//
// Replayable. With [Options.HistoryLen] or HistoryFor each event that is still in the history
// reaches the handler exactly once and in order, from where the subscription begins, whatever
// happens to connections and however slow the handler is. What is not there any more is a Gap
// with the reason Trimmed and its number.
//
// Missed is exact, unless the server was restarted or failed over, or the slot of the topic
// has moved to another node of a cluster: a live subscription cannot know then whether numbers
// were lost and used again, and Missed is -1. So it is for a pattern after any reconnect, and
// where messages are lost between the nodes of a cluster, which Unsharded may do. And a bus
// keeps account of 64 batches of a topic whose outcome it does not know: if there are more
// before one succeeds, the topic begins anew with that, which is a Reset.
//
// Subscribe returns when the server has confirmed: not only the subscription, but a mark sent
// through the same channel. A connection that is half open, or that leads to a node that is
// not the master any more, is replaced within 5 seconds.
//
// # What it does not do
//
// A subscription is no queue: an event whose handler fails is not tried again, and one that
// was received when the process died is not received by another. Resume from a stored Position
// to have it again.
//
// A failover of Redis loses what was not replicated. Events that were delivered by then stay
// so; their numbers are used again, which is a Reset. A publisher that did not get the reply
// publishes such an event again, and subscribers do not see it twice, as long as they know its
// publisher among the latest 256. Entries are in the order of the server's clock: what a new
// master whose clock is behind has taken before that caught up is in the gap of the Reset, for
// those who had had events of the old one's.
//
// A topic that nobody has published or subscribed to for an hour, or an hour longer than its
// history is kept, begins anew, and so do the accounts of what a bus could not publish to it.
//
// A pattern is live, also where topics are replayable.
//
// # Slow handlers
//
// A subscription has a buffer of its own and one call of its handler under way, so a handler
// that stands still costs the others nothing. When the buffer is full [Overflow] says what is
// dropped, which is announced with its number. Where topics are replayable nothing is: the
// subscription reads on from the history.
//
// # Cost
//
//	Publish      1 round trip, shared by concurrent calls on one bus
//	Subscribe    1 round trip, and 1 for the first of a topic; with After, Last or Since 1 to 3 more
//	an event     nothing, however many subscriptions there are in the process
//	silence      a PING a second; a mark every two seconds for each partition of a cluster
//	connections  1, on a cluster at most 16, for all subscriptions together
//	a browser    a goroutine, its request's, and what net/http has for it
//
// An event has at most 48 bytes of overhead, and a batch about 80.
//
// # Cluster
//
// Topics are spread over 16 partitions, each a hash slot. The 16 is part of what processes
// must agree on, and cannot be changed. Sharded Pub/Sub has no patterns: there a subscription
// to a pattern receives every event of the bus, and its process drops what does not match.
//
// # Browsers
//
// [SSE] is an [http.Handler] that hands events on as server-sent events, for EventSource:
//
//	events, err := pubsub.NewSSE(bus, func(r *http.Request) ([]string, error) {
//		user, err := userOf(r) // who may see what is decided here
//		return []string{"orders." + user}, err
//	}, nil)
//	…
//	mux.Handle("GET /events", events)
//
// All clients of a topic share one subscription, and each event is encoded once. A client is
// the goroutine of its request and nothing else, and one that does not read holds up nobody:
// it is cut off after [SSEOptions].WriteTimeout. With every event goes an id by which a browser
// that was cut off goes on where it was, at whatever instance it comes to: where topics are
// replayable it has every event once that is still in the history, and else what that instance
// has in memory. What it does not get is an event named gap, which a page answers by loading
// what it shows:
//
//	const source = new EventSource("/events");
//	source.addEventListener("order.placed", (e) => show(JSON.parse(e.data)));
//	source.addEventListener("gap", () => reload());
//
// When a server shuts down, Close of the SSE comes first, then that of the bus.
//
// # Keys and channels
//
//	<prefix>:topic:{<partition>}:<topic>     where the topic is; expires an hour after its latest use
//	<prefix>:history:{<partition>}:<topic>   a stream; expires with its latest event
//	<prefix>:event:{<partition>}:<topic>     channel of a topic
//	<prefix>:all:{<partition>}:              channel of all topics, sharded only
//	<prefix>:mark:{<partition>}:<publisher>  channel of one bus's marks
//
// Channels know nothing of databases: buses on one server need prefixes of their own.
//
// The user of Redis needs these channels, and the commands EVAL, EVALSHA, HMGET, HSET, HLEN,
// HGETALL, HDEL, PEXPIRE, TIME, PING, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PSUBSCRIBE and
// PUNSUBSCRIBE, or on a cluster SPUBLISH, SSUBSCRIBE and SUNSUBSCRIBE; for a history XADD,
// XTRIM, XRANGE and XREVRANGE; and INFO, without which a Missed after a reconnect is -1.
package pubsub
