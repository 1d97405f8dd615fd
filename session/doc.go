// Package session keeps HTTP sessions on the server, with data of the application's own
// type: nothing is lost between parallel requests, nothing comes back after a logout,
// nothing in the database logs anybody in, and a request that only reads costs one GET.
//
//	type Data struct{ Cart []string }
//
//	store, err := session.New(rdb, nil)
//	…
//	sessions, err := session.NewManager[Data](store, nil)
//	…
//	mux.HandleFunc("POST /cart", func(w http.ResponseWriter, r *http.Request) {
//		s, err := sessions.Get(r.Context())
//		if err != nil {
//			http.Error(w, "try again", http.StatusServiceUnavailable)
//			return
//		}
//		err = s.Update(func(d *Data) error { // saved with the response
//			d.Cart = append(d.Cart, r.FormValue("item"))
//			return nil
//		})
//		…
//	})
//	http.ListenAndServe(addr, http.NewCrossOriginProtection().Handler(sessions.Middleware(mux)))
//
// [Store] is the interface to where the records are, and [Memory] one in this process, for
// tests. A store that is a [UserIndex] knows whose they are: see [Manager.List],
// [Manager.Revoke] and [Manager.RevokeAll]. [Manager.RequireLogin] guards handlers. The
// package sessiontest tests stores, and gives tests of handlers a request that is
// logged in.
//
// # Which one?
//
//	Update      to change the data. Saved with the response.
//	UpdateNow   to take something that only one may get: a flash message, an OAuth state,
//	            a one-time token. Or to answer with what is stored, others' changes included.
//	            Or when the header is out: on a stream, a websocket.
//	Login       when the password, or the passkey, is right; also when it is asked for again
//	            before something sensitive, or another factor is added.
//	LoginSince  the same, when the login began in an earlier request.
//	Renew       when the session's rights have changed without that: a role was given, or
//	            RevokeAll has ended the user's other sessions.
//	Reload      on a stream, now and then: is the session still there?
//
// # Guarantees
//
// No update is lost. A save compares and swaps; if another request was faster, the
// functions given to Update are called again for what that one saved.
//
// What has ended stays so. After Destroy, Revoke, RevokeAll, Login and Renew have
// returned, a request that is still under way with the old secret changes nothing, does
// not keep the session alive, and gets no cookie. No token that a client makes up, and
// none of a session that has ended, becomes one.
//
// RevokeAll holds for logins under way: one whose credentials were read before is refused.
// It does not matter what the clocks of the processes say.
//
// No secret is stored. A cookie is a public handle, which names the record, and a secret,
// of which the record has the SHA-256. With [ManagerOptions.Keys] the data is encrypted
// too, and who can write to the database cannot make up a session, but can put back an
// earlier state of one.
//
// Redis away is never "nobody is logged in": Get returns [ErrUnavailable], RequireLogin
// and the Middleware answer 503, and the cookie stays as it is.
//
// # What it does not do
//
// A failover of Redis loses what was not replicated: a save, but also a logout or a
// revocation, so that a session may be there again. A session that RevokeAll ended and a
// failover brought back ends when its use is noted, unless the revocation was lost too.
//
// A Redis that evicts keys (maxmemory-policy allkeys-…) logs users out, and may forget
// that RevokeAll was called. Give sessions a server that does not, or volatile-ttl.
//
// An anonymous visitor has no session until something is saved. The handle of a session
// and the data that a visitor had before the login are kept by the login: do not put there
// what the user must not have been given by somebody else.
//
// It does not stop forged requests: wrap the handler into [http.CrossOriginProtection], as
// above. A thief who has a cookie has the session, until Idle, Lifetime or a revocation
// ends it. With [ManagerOptions.RenewEvery] that is noticed: once the owner has the next
// secret the old one is worth nothing, and its use is told to OnReuse, until it is
// replaced again. While the old one is good, for RenewGrace after the new one was first
// used, its thief gets the new one as well.
//
// # Settings for NIST SP 800-63B
//
//	        Lifetime         Idle                RequireLogin before what is sensitive
//	AAL1    30 days at most  off (-1)            -
//	AAL2    24 hours         1 hour at most      as the risk demands
//	AAL3    12 hours at most 15 minutes at most  as the risk demands
//
// A Login with all factors of the level begins both times anew, as revision 4 asks for.
// The default is AAL2 with 30 minutes, and meets the session management of OWASP's ASVS
// 5.0.
//
// # Cost
//
//	a request that does not call Get, or has no cookie    0 round trips
//	a request that reads                                  1, a native GET
//	  … once in TouchEvery                                1 more, or 2 at the same time
//	  … for the first time with a secret of RenewEvery    1 more
//	a save                                                1 more, and 1 if another was faster;
//	                                                      once in TouchEvery 2 at the same time
//	Login 2, Renew 1, Destroy 1 or 2 at the same time, List 2, RevokeAll 2
//
// # Keys
//
//	<prefix>:s:{<handle>}  a session; expires Idle after its last use, at its deadline at the latest
//	<prefix>:u:{<user>}    a user's sessions and last revocation; expires with the last of them
//
// There is no background job, and no key without expiry. A user's name is in the name of a
// key, and in the record, in the clear: where that matters, use an id.
//
// The user of Redis needs the commands GET, MGET (or else several are read one by one),
// SET, UNLINK, EXISTS, GETRANGE, SETRANGE, PEXPIRE, PTTL, TIME, ZADD, ZREM, ZCOUNT,
// ZSCORE, ZRANGEBYSCORE, ZREMRANGEBYRANK, ZREMRANGEBYSCORE, EVAL, EVALSHA and PING.
package session
