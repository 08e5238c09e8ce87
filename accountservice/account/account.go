// Package account defines an account. It knows nothing of HTTP or storage.
package account

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"strconv"
)

// ErrNotFound means that no account has the requested id.
var ErrNotFound = errors.New("account not found")

// firstID is the id of the first fake account.
const firstID = 10000

// Account is one account. Its JSON is stored and served:
//
//	{"id":"10000","name":"Person_0"}
type Account struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Fake returns the fake account with index i, from 0 on: id 10000+i, name Person_i.
func Fake(i int) Account {
	return Account{ID: strconv.Itoa(firstID + i), Name: "Person_" + strconv.Itoa(i)}
}

// IsFake reports whether one of the first n fake accounts has this id.
func IsFake(id string, n int) bool {
	number, err := strconv.Atoi(id)
	return err == nil && number >= firstID && number-firstID < n && strconv.Itoa(number) == id
}

// Holds reports whether text is the JSON of the account with this id: an object with an
// id, then a name, and nothing else.
func Holds(text []byte, id string) bool {
	// This runs for each request, so the usual form of an account needs no parser.
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

// plain reports whether text is ASCII that needs no escapes in JSON.
func plain(text []byte) bool {
	for _, c := range text {
		if c-' ' > '~'-' ' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// parsedHolds is Holds for JSON of another program: it may have spaces, and any name.
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
			return string(rest[i:]) == `"}` // The name ends here, and so must the account.
		}
	}
	return false
}

// Fakes yields the first n fake accounts in the byte order of their ids: "10000",
// "100000", "10001", ... A B+tree takes keys fastest in this order.
func Fakes(n int) iter.Seq[Account] {
	return func(yield func(Account) bool) { fakesUnder(0, firstID+n, yield) }
}

// fakesUnder yields the accounts whose id is less than end and starts with prefix; 0 is the
// empty prefix. It returns false when yield did.
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
