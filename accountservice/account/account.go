// Package account is the domain: what an account is, and nothing of HTTP or storage.
package account

import (
	"errors"
	"strconv"
)

// ErrNotFound says that no account has the id asked for.
var ErrNotFound = errors.New("account not found")

// firstID is the id of the first fake account.
const firstID = 10000

// Account is one account as it is stored and served:
//
//	{"id":"10000","name":"Person_0"}
type Account struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Fake returns the i-th fake account, i from 0: id 10000+i, name Person_i.
func Fake(i int) Account {
	return Account{ID: strconv.Itoa(firstID + i), Name: "Person_" + strconv.Itoa(i)}
}

// Fakes calls yield with the first n fake accounts in the byte order of their
// ids ("10000", "100000", "10001", ...), until it returns false. That is the
// order in which a B+tree takes them fastest, and it needs no list to sort.
func Fakes(n int) func(yield func(Account) bool) {
	return func(yield func(Account) bool) {
		for digit := 1; digit <= 9; digit++ {
			if !fakesUnder(digit, firstID, firstID+n, yield) {
				return
			}
		}
	}
}

// fakesUnder yields the accounts whose id starts with prefix and lies in [low, high):
// first the prefix itself, then everything under its ten longer prefixes.
func fakesUnder(prefix, low, high int, yield func(Account) bool) bool {
	if prefix >= high {
		return true
	}
	if prefix >= low && !yield(Fake(prefix-firstID)) {
		return false
	}
	for digit := range 10 {
		if !fakesUnder(prefix*10+digit, low, high, yield) {
			return false
		}
	}
	return true
}
