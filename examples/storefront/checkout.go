package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/freshet-go/freshet/session"
)

// orderRef is what a page may name an order.
var orderRef = regexp.MustCompile(`^[A-Za-z0-9_-]{16,64}$`)

// postOrder orders what is in the cart, for those who are logged in: see routes.
//
// The order is in the database and the cart in Redis, and nothing changes both at once.
// So the cart gets a name before it is ordered, and the database takes only one order of
// a cart by that name, whichever tabs, devices and processes ask for it. The cart is
// emptied afterwards. If that fails, nothing is lost and nothing can be ordered twice:
// whoever tries finds that it was ordered, and empties it then.
func (s *shop) postOrder(w http.ResponseWriter, r *http.Request) {
	var body struct {
		ID    string `json:"id"`
		Total *int64 `json:"total_cents"`
	}
	const shape = "The body must be one JSON object of id (16 to 64 letters, digits, - and _, made for this order) and total_cents (a whole number)."
	if !readJSON(w, r, maxFormBytes, &body, shape) {
		return
	}
	if !orderRef.MatchString(body.ID) || body.Total == nil {
		problem(w, http.StatusBadRequest, shape)
		return
	}
	sess, err := s.sessions.Get(r.Context())
	if err == nil && len(sess.Data().Cart) > 0 && sess.Data().CartName == "" {
		// If another tab is faster, the function is called again, and finds its name.
		err = sess.UpdateNow(r.Context(), func(v *visit) error {
			if v.CartName == "" && len(v.Cart) > 0 {
				v.CartName = rand.Text()
			}
			return nil
		})
	}
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	visit := sess.Data()
	// From here on the customer's leaving must not stop us halfway.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Second)
	defer cancel()
	order, placed, err := s.db.placeOrder(ctx, purchase{
		user: sess.User(), ref: body.ID, cart: visit.CartName, lines: visit.Cart, total: *body.Total,
	})
	if err != nil {
		s.orderFailed(ctx, w, r, sess, visit.Cart, err)
		return
	}
	answer := struct {
		Order   *Order `json:"order"`
		Warning string `json:"warning,omitempty"`
	}{Order: order}
	var products []cartLine
	for _, l := range order.Lines {
		products = append(products, cartLine{l.Product, l.Quantity})
	}
	if err := s.pages.Delete(ctx, pageKeys(products)...); err != nil {
		// As in putProduct. What is left in stock only looks as if it were more.
		slog.Warn("ordered, but not deleted from the cache", "order", order.Number, "request", requestID(ctx), "err", err)
	}
	if err := s.emptyCart(ctx, sess, order); err != nil {
		slog.Warn("ordered, but the cart was not emptied", "order", order.Number, "request", requestID(ctx), "err", err)
		answer.Warning = "Your order is placed. The cart could not be emptied just now, but it cannot be ordered again."
	}
	if err := s.boards.ordered(ctx); err != nil {
		slog.Warn("ordered, but not counted yet", "order", order.Number, "request", requestID(ctx), "err", err)
	}
	if err := s.tell(ctx, sess.User(), order); err != nil {
		slog.Warn("ordered, but not told to browsers", "order", order.Number, "request", requestID(ctx), "err", err)
	}
	status := http.StatusOK // it was placed before, and the answer got lost
	if placed {
		status = http.StatusCreated
	}
	writeJSON(w, status, answer)
}

// emptyCart takes an order out of the cart, unless that was done.
func (s *shop) emptyCart(ctx context.Context, sess *session.Session[visit], o *Order) error {
	return sess.UpdateNow(ctx, func(v *visit) error {
		v.ordered(o)
		return nil
	})
}

// orderFailed says why an order was not placed.
func (s *shop) orderFailed(ctx context.Context, w http.ResponseWriter, r *http.Request, sess *session.Session[visit], cart []cartLine, err error) {
	if short, ok := errors.AsType[shortage](err); ok {
		var all []string
		for _, x := range short {
			all = append(all, fmt.Sprintf("Of “%s” there are %d left, and not %d.", x.name, x.stock, x.wanted))
		}
		problem(w, http.StatusConflict, strings.Join(all, " "))
		return
	}
	if ordered, ok := errors.AsType[*cartOrderedError](err); ok {
		if err := s.emptyCart(ctx, sess, ordered.by); err != nil {
			sessionFailed(w, r, err)
			return
		}
		problem(w, http.StatusConflict, fmt.Sprintf("This cart has been ordered already, as order %d. Look at what is in it now.", ordered.by.Number))
		return
	}
	if changed, ok := errors.AsType[*totalChangedError](err); ok {
		problem(w, http.StatusConflict, fmt.Sprintf("The cart costs %d.%02d now. Look at it again before you order.", changed.now/100, changed.now%100))
		return
	}
	switch {
	case errors.Is(err, errEmptyCart):
		problem(w, http.StatusConflict, "The cart is empty. Was it ordered in another tab?")
	case errors.Is(err, errRefTaken):
		problem(w, http.StatusConflict, "There is another order of this id.")
	default:
		// A commit that failed may still have happened. The page asks again with the same id.
		if err := s.pages.Delete(ctx, pageKeys(cart)...); err != nil {
			slog.Warn("delete after a failed order", "request", requestID(ctx), "err", err)
		}
		failed(w, r, "place an order", err)
	}
}

// pageKeys are the pages on which an order shows: stock, sales, and what is bought together.
func pageKeys(lines []cartLine) []string {
	keys := make([]string, len(lines))
	for i, l := range lines {
		keys[i] = strconv.FormatInt(l.Product, 10)
	}
	return keys
}
