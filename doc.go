// Package freshet is the root of a library of Redis patterns. It holds no code:
// import the package of the pattern you need. Each takes the
// [github.com/redis/go-redis/v9.UniversalClient] that your service already has,
// and none needs another.
//
//	problem                                          package
//	-------                                          -------
//	the same expensive result, computed many times   cache
//	too many requests, or too much at once           ratelimit
//	who is there, from login to logout               session
//	what happened, told to everybody who asks        pubsub
//
// It works with Redis 7.0 and newer, Valkey 8.0 and newer, alone, with sentinels
// or as a cluster, and with miniredis in tests.
package freshet
