// Command storefront is a small web shop that shows what Freshet does: run it,
// open the page it names, and click.
//
// It needs nothing: without REDIS_URL it starts a miniredis inside itself, and
// without -db its database is a temporary file. See README.md.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/freshet-go/freshet/cache"
)

// shutdownTimeout is how long requests under way may take to finish.
const shutdownTimeout = 10 * time.Second

// settings are what flags and environment say.
type settings struct {
	addr, db, redisURL string
	limit, hops        int
	sessionWait        time.Duration
	insecureCookie     bool
}

func main() {
	var set settings
	flag.StringVar(&set.addr, "addr", cmp.Or(os.Getenv("ADDR"), ":8080"), "address to listen on (env ADDR); port 0 picks a free one")
	flag.IntVar(&set.limit, "limit", 100, "requests a minute that each client address may make")
	flag.IntVar(&set.hops, "hops", 0, "proxies in front, each of which adds an address to X-Forwarded-For")
	flag.StringVar(&set.db, "db", "", "SQLite file, made and filled if it is missing; empty for a temporary one")
	flag.DurationVar(&set.sessionWait, "session-wait", time.Second, "how long a request may wait for Redis to find its session")
	flag.BoolVar(&set.insecureCookie, "insecure-cookie", false, "let browsers send the session's cookie over plain http to other machines")
	flag.Parse()
	set.redisURL = os.Getenv("REDIS_URL")
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "storefront: unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	if set.limit < 1 || set.hops < 0 || set.sessionWait <= 0 {
		fmt.Fprintln(os.Stderr, "storefront: -limit is at least 1, -hops is not negative, -session-wait is a time")
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait
	if err := run(ctx, set); err != nil {
		slog.Error("storefront stopped", "err", err)
		os.Exit(1)
	}
}

// run opens everything, serves until ctx is done, and closes everything in the
// opposite order.
func run(ctx context.Context, set settings) (err error) {
	// First what fails quickly: nobody wants to wait for a port that is taken.
	ln, err := net.Listen("tcp", set.addr)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }()

	rdb, redisAbout, closeRedis, err := openRedis(set.redisURL)
	if err != nil {
		return err
	}
	defer closeRedis()

	db, err := openStore(ctx, set.db)
	if err != nil {
		if ctx.Err() != nil {
			return nil // Ctrl-C while the database was being filled
		}
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()

	c, err := cache.New(rdb, &cache.Options{
		Prefix:  "storefront",
		OnError: func(err error) { slog.Warn("cache", "err", err) },
	})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, c.Close(closing))
	}()

	lim, err := newLimits(rdb, set.limit, set.hops)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, lim.close(closing))
	}()

	sessions, err := newSessions(rdb, set.sessionWait, set.insecureCookie)
	if err != nil {
		return err
	}
	boards, err := openBoards(ctx, rdb, db)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer boards.close()
	seen, err := newViews(rdb, lim.address)
	if err != nil {
		return err
	}
	defer seen.close(ctx)
	lv, err := newLive(rdb)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, lv.close(closing))
	}()
	shop, err := newShop(db, c, lim, sessions, boards, seen, lv)
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler:           shop.routes(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      45 * time.Second, // longer than the cache lets a load take
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    256 << 10, // GET /summarize carries a text
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	slog.Info("storefront is open", "url", pageURL(ln.Addr()), "redis", redisAbout, "database", db.path)

	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	slog.Info("shutting down")
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	// Streams end when they are told to. A server would wait for them.
	err = lv.events.Close(closing)
	if e := srv.Shutdown(closing); e != nil {
		err = errors.Join(err, e, srv.Close())
	}
	return err
}

// pageURL is where to look: an address that listens everywhere is not one to
// type into a browser.
func pageURL(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return "http://" + a.String() + "/"
	}
	host := tcp.IP.String()
	if tcp.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, strconv.Itoa(tcp.Port)) + "/"
}
