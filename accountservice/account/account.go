// Package account is the domain: what an account is, and nothing of HTTP or storage.
package account

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"iter"
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
	decoder := json.NewDecoder(bytes.NewReader(text))
	token := func() json.Token { t, _ := decoder.Token(); return t } // nil for what is no JSON
	if token() != json.Delim('{') || token() != "id" || token() != id || token() != "name" {
		return false
	}
	_, isText := token().(string)
	if !isText || token() != json.Delim('}') {
		return false
	}
	_, err := decoder.Token()
	return err == io.EOF
}

// Fakes calls yield with the first n fake accounts in the byte order of their
// ids ("10000", "100000", "10001", ...), until it returns false. That is the
// order in which a B+tree takes them fastest, and it needs no list to sort.
func Fakes(n int) iter.Seq[Account] {
	return func(yield func(Account) bool) { fakesUnder(0, firstID+n, yield) }
}

// fakesUnder yields the accounts whose id starts with prefix and is less than end: first
// the prefix itself, then all under its longer prefixes. It returns false when yield did.
func fakesUnder(prefix, end int, yield func(Account) bool) bool {
	if prefix >= firstID && !yield(Fake(prefix-firstID)) {
		return false
	}
	for next := max(prefix*10, 1); next < min(prefix*10+10, end); next++ {
		if !fakesUnder(next, end, yield) {
			return false
		}
	}
	return true
}
