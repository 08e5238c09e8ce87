package account_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/smartystreets/goconvey/convey"

	"goblog/accountservice/account"
)

func TestFake(t *testing.T) {
	Convey("Given the indexes of some fake accounts", t, func() {
		for i, want := range map[int]account.Account{
			0:       {ID: "10000", Name: "Person_0"},
			1:       {ID: "10001", Name: "Person_1"},
			89_999:  {ID: "99999", Name: "Person_89999"},
			90_000:  {ID: "100000", Name: "Person_90000"},
			999_999: {ID: "1009999", Name: "Person_999999"},
		} {
			Convey(fmt.Sprintf("Account %d is %s with id %s", i, want.Name, want.ID), func() {
				So(account.Fake(i), ShouldResemble, want)
			})
		}
	})
}

// inByteOrder returns the first n fake accounts in byte order, by sorting them.
func inByteOrder(n int) []account.Account {
	var all []account.Account
	for i := range n {
		all = append(all, account.Account{ID: strconv.Itoa(10_000 + i), Name: "Person_" + strconv.Itoa(i)})
	}
	slices.SortFunc(all, func(a, b account.Account) int { return strings.Compare(a.ID, b.ID) })
	return all
}

func TestFakes(t *testing.T) {
	// With 90,001 accounts or more, ids have different lengths.
	for _, n := range []int{0, 1, 100, 90_000, 90_001, 123_456} {
		Convey(fmt.Sprintf("When %d fake accounts are listed, exactly these come, in the byte order of their ids", n), t, func() {
			got := slices.Collect(account.Fakes(n))
			So(len(got), ShouldEqual, n)
			So(slices.Equal(got, inByteOrder(n)), ShouldBeTrue)
		})
	}

	all := inByteOrder(123_456)
	Convey("When many fake accounts are listed, but only a few are taken", t, func() {
		// The second id is the first one with six digits. The twelfth has five digits again.
		for _, few := range []int{1, 2, 12, 5000} {
			Convey(fmt.Sprintf("Then only these %d come", few), func() {
				var got []account.Account
				for a := range account.Fakes(len(all)) {
					if got = append(got, a); len(got) == few {
						break
					}
				}
				So(slices.Equal(got, all[:few]), ShouldBeTrue)
			})
		}
	})
}

func TestIsFake(t *testing.T) {
	Convey("Given 100 fake accounts", t, func() {
		Convey("Then only their ids are recognized", func() {
			for _, id := range []string{"10000", "10042", "10099"} {
				So(account.IsFake(id, 100), ShouldBeTrue)
			}
			for _, id := range []string{"", "9999", "10100", "010000", "+10000", "-10000", "10000 ", "zoe", "99999999999999999999"} {
				So(account.IsFake(id, 100), ShouldBeFalse)
			}
			So(account.IsFake("10000", 0), ShouldBeFalse)
		})
	})
}

func TestHolds(t *testing.T) {
	Convey("The JSON of an account is recognized by its id and its name", t, func() {
		for _, text := range []string{
			`{"id":"10000","name":"Person_0"}`,
			`{"id":"10000","name":""}`,
			`{ "id": "10000", "name": "Ada \"the first\" Löf" }`,
			`{"id":"10000","name":"\\"}`,
		} {
			So(account.Holds([]byte(text), "10000"), ShouldBeTrue)
		}
	})

	Convey("Any other text is not recognized as the account", t, func() {
		for _, text := range []string{
			`{"name":"Person_0","id":"10000"}`,
			`{"id":"10000","name":"Person_0","name":"Ada"}`,
			"", "null", "secret", "[]", `"10000"`, `{}`, `{"id":"10000"}`, `{"name":"Person_0"}`,
			`{"id":"10001","name":"Person_1"}`,
			`{"id":"100000","name":"Person_90000"}`,
			`{"id":"10000","name":"Person_0","password":"x"}`,
			`{"id":"10000","name":"Person_0"`,
			`{"id":"10000","name":"Person_0"}}`,
			`{"id":"10000","name":"Person_0"}10001{"id":"10001","name":"Person_1"}`,
			`{"id":"10000","name":"Per"son_0"}`,
			"{\"id\":\"10000\",\"name\":\"Per\x00son_0\"}",
			`{"id":10000,"name":"Person_0"}`,
			`{"id":"10000","name":"Person_0",}`,
			`{"id":"10000" "name":"Person_0"}`,
			`{"id":"10000","name":{}}`,
			`{"id":"10000","name":null}`,
		} {
			So(account.Holds([]byte(text), "10000"), ShouldBeFalse)
		}
	})
}
