// Package exec is how every package of the library talks to Redis, on the
// client that the user brought and with whatever settings it has.
//
//   - At most once: no command is ever sent again by the client. exec itself
//     sends again what surely did not execute, and what is declared idempotent.
//   - Budget: a call returns within its context and its [Budget], also when the
//     server hangs or the context is cancelled. The command goes on without its
//     caller and its reply is dropped.
//   - Breaker: after a few connection failures in a row a node's calls fail at
//     once, until a probe finds it healthy.
//   - Coalescing: while many callers are waiting, their commands share pipelines,
//     and a GET that several ask for at once is sent once.
//   - Scripts: EVALSHA, and EVAL for a node that does not know the script,
//     inside batches too.
//   - Server time: an estimate of each node's clock with known bounds.
//
// The way of one call is: [Client.Do] or [Client.DoAll] (exec.go) finds the node
// (node.go), puts a call (call.go) on a kept worker (worker.go) or, under load, into
// the node's lane (lane.go), and waits. The worker sends, classifies the replies
// (errors.go) and sends again what may be.
package exec
