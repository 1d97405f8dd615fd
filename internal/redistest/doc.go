// Package redistest gives tests the servers, clients and faults they need: one
// body run on every Redis topology, and the means to break each of them.
//
// A package that uses it calls [Main] from TestMain, which stops the servers
// and checks for leaked goroutines. [Each] runs a body on the topologies that
// are available, on servers shared by the whole test binary; [Private] and
// [EachPrivate] start one that the test may kill, pause or reconfigure. [Mini]
// is an in-memory server for virtual time, inside a testing/synctest bubble.
// [Server.Proxy] puts network faults between a client and any of them.
//
// # Environment
//
// FRESHET_SERVERS is a list of server binaries, separated as in PATH; each
// topology then runs on each of them. Without it, redis-server (else
// valkey-server) of PATH is used. A binary may be a script that execs the
// server.
//
// FRESHET_REQUIRE is a comma-separated list of topologies that must not be
// skipped; "standalone" covers "resp2".
//
// # Processes
//
// Servers listen on 127.0.0.1 only, on ports below the ephemeral range, so
// that a port is still free when its server is started again. They persist
// nothing: a killed server comes back empty, unless a replica gives it the
// data back. On Linux they die with the test process, whatever ends it.
//
// Import it from tests only.
package redistest
