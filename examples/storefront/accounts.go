package main

import (
	"context"
	"database/sql"
	"errors"

	"golang.org/x/crypto/bcrypt"
)

// Account is a customer who can log in.
type Account struct {
	User string `json:"user"`
	Name string `json:"name"`
	City string `json:"city"`
}

// demoAccount is one whose password everybody knows: the page shows it.
type demoAccount struct {
	Account
	Password string `json:"password"`
}

var demoAccounts = []demoAccount{
	{Account{"ada", "Ada Byron", "London"}, "difference engine"},
	{Account{"grace", "Grace Murray", "New York"}, "nanoseconds of wire"},
}

// maxPassword is how many bytes of a password bcrypt looks at.
const maxPassword = 72

// nobodysHash is compared where there is no account, so that the time of an
// answer does not tell which users there are. No password fits it.
const nobodysHash = "$2a$10$ICOI/G1p71mPdYCC0r87VOrWR7rDNV6B118PHzUt1XlwoL7vNLFVO"

var errCredentials = errors.New("no such user, or another password")

// authenticate returns the account with these credentials.
func (s *store) authenticate(ctx context.Context, user, password string) (*Account, error) {
	var a Account
	hash := nobodysHash
	err := s.db.QueryRowContext(ctx, `
		SELECT a.user, c.name, c.city, a.password_hash FROM accounts a JOIN customers c ON c.id = a.customer_id WHERE a.user = ?`, user).
		Scan(&a.User, &a.Name, &a.City, &hash)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	wrong := bcrypt.CompareHashAndPassword([]byte(hash), []byte(password))
	switch {
	case err != nil, errors.Is(wrong, bcrypt.ErrMismatchedHashAndPassword), len(password) > maxPassword:
		return nil, errCredentials
	case wrong != nil:
		return nil, wrong
	}
	return &a, nil
}

// account returns the account of a user who has logged in.
func (s *store) account(ctx context.Context, user string) (*Account, error) {
	var a Account
	err := s.db.QueryRowContext(ctx, `
		SELECT a.user, c.name, c.city FROM accounts a JOIN customers c ON c.id = a.customer_id WHERE a.user = ?`, user).
		Scan(&a.User, &a.Name, &a.City)
	return &a, err
}

// addAccounts is the part of seed that makes the demo accounts, of customers who have
// not bought anything yet.
func addAccounts(ins *inserter) error {
	for i, a := range demoAccounts {
		ins.add("customers (id, name, city)", customerCount+1+i, a.Name, a.City)
	}
	for i, a := range demoAccounts {
		hash, err := bcrypt.GenerateFromPassword([]byte(a.Password), bcrypt.DefaultCost)
		if err != nil {
			return err
		}
		ins.add("accounts (user, customer_id, password_hash)", a.User, customerCount+1+i, string(hash))
	}
	return nil
}
