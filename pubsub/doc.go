// Package pubsub carries events between services. Redis Pub/Sub loses messages and says
// nothing; here every event reaches the handler or a [Gap] says that it did not. With a
// history nothing is lost that is still in it.
package pubsub
