// Package account is the domain: what an account is, and nothing of HTTP or storage.
package account

import (
	"bytes"
	"encoding/json"
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

// IsFake tells whether one of the first n fake accounts has this id.
func IsFake(id string, n int) bool {
	number, err := strconv.Atoi(id)
	return err == nil && number >= firstID && number-firstID < n && strconv.Itoa(number) == id
}

// Holds tells whether text is the JSON of the account with this id: an object of an id
// and then a name, and nothing else.
func Holds(text []byte, id string) bool {
	// Each answer is checked, so what Fake makes is told without a parser.
	const beforeID, beforeName, end = `{"id":"`, `","name":"`, `"}`
	idEnd := len(beforeID) + len(id)
	nameStart, nameEnd := idEnd+len(beforeName), len(text)-len(end)
	if nameEnd >= nameStart &&
		string(text[:len(beforeID)]) == beforeID && string(text[len(beforeID):idEnd]) == id &&
		string(text[idEnd:nameStart]) == beforeName && string(text[nameEnd:]) == end &&
		plain(text[len(beforeID):idEnd]) && plain(text[nameStart:nameEnd]) {
		return true
	}
	return parsedHolds(text, id)
}

// plain tells whether text stands in JSON as it is.
func plain(text []byte) bool {
	for _, c := range text {
		if c-' ' > '~'-' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// parsedHolds is for what somebody else wrote: there may be spaces, and any name.
func parsedHolds(text []byte, id string) bool {
	compact := new(bytes.Buffer)
	quotedID, err := json.Marshal(id)
	if err != nil || json.Compact(compact, text) != nil {
		return false
	}
	rest, ok := bytes.CutPrefix(compact.Bytes(), []byte(`{"id":`+string(quotedID)+`,"name":"`))
	for i := 0; ok && i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return string(rest[i:]) == `"}` // The name is at its end, and so is the account.
		}
	}
	return false
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
