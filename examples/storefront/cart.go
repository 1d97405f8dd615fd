package main

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
)

const (
	maxCartLines = 20
	maxQuantity  = 99
)

// visit is what a session holds.
type visit struct {
	Cart     []cartLine
	CartName string // given to it when it is ordered: see postOrder
}

type cartLine struct{ Product, Quantity int64 }

var errCartFull = errors.New("the cart is full")

// add puts so many more of a product into the cart; a negative number takes some out.
// It is a change, and not the new quantity: when two tabs have one each, both
// can be made, in any order.
func (v *visit) add(product, more int64) error {
	i := slices.IndexFunc(v.Cart, func(l cartLine) bool { return l.Product == product })
	switch {
	case i < 0 && more <= 0:
		return nil
	case i < 0 && len(v.Cart) >= maxCartLines:
		return errCartFull
	case i < 0:
		i = len(v.Cart)
		v.Cart = append(v.Cart, cartLine{Product: product})
	}
	l := &v.Cart[i]
	if l.Quantity = min(l.Quantity+more, maxQuantity); l.Quantity <= 0 {
		v.Cart = slices.Delete(v.Cart, i, i+1)
	}
	return nil
}

// ordered takes out what was ordered, and leaves what another tab has put in since. What
// remains is another cart.
func (v *visit) ordered(o *Order) {
	if v.CartName != o.cart {
		return // that was done already
	}
	v.CartName = ""
	for _, l := range o.Lines {
		_ = v.add(l.Product, -l.Quantity) // fails for want of room only
	}
}

// postCart changes the cart of whoever asks, logged in or not.
func (s *shop) postCart(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Product *int64 `json:"product"`
		Add     *int64 `json:"add"`
	}
	const shape = "The body must be one JSON object of product and add (whole numbers)."
	if !readJSON(w, r, maxFormBytes, &body, shape) {
		return
	}
	switch {
	case body.Product == nil || body.Add == nil:
		problem(w, http.StatusBadRequest, shape)
		return
	case *body.Add < -maxQuantity || *body.Add > maxQuantity || *body.Add == 0:
		problem(w, http.StatusBadRequest, fmt.Sprintf("add must be from -%d to %d, and not 0.", maxQuantity, maxQuantity))
		return
	}
	if found, err := s.db.Products(r.Context(), *body.Product); err != nil {
		failed(w, r, "look for a product", err)
		return
	} else if len(found) == 0 {
		noProduct(w, *body.Product)
		return
	}
	sess, err := s.sessions.Get(r.Context())
	if err != nil {
		sessionFailed(w, r, err)
		return
	}
	// If another request changes the session at the same time, the function is
	// called again, with what that one has saved. UpdateNow, and not Update, so that
	// the answer shows the cart with the changes of both.
	err = sess.UpdateNow(r.Context(), func(v *visit) error { return v.add(*body.Product, *body.Add) })
	switch {
	case errors.Is(err, errCartFull):
		problem(w, http.StatusConflict, fmt.Sprintf("The cart holds up to %d products.", maxCartLines))
	case err != nil:
		sessionFailed(w, r, err)
	default:
		s.writeSession(w, r, sess)
	}
}

// Cart is a cart as the page shows it.
type Cart struct {
	Lines      []CartLine `json:"lines"`
	TotalCents int64      `json:"total_cents"`
}

// CartLine is one product of it, at the price of today.
type CartLine struct {
	Product  Product `json:"product"`
	Quantity int64   `json:"quantity"`
}
