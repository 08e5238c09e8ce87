package boltstore_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"goblog/accountservice/account"
	"goblog/accountservice/boltstore"
)

// BenchmarkAccount reads one random account each time.
func BenchmarkAccount(b *testing.B) {
	for _, n := range []int{100, 1_000_000} {
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) {
			store, _, err := boltstore.Open(filepath.Join(b.TempDir(), "accounts.db"), n, patience)
			if err != nil {
				b.Fatal(err)
			}
			defer store.Close()
			ids := make([]string, 4096) // Made before, so that only the reads are measured.
			for i := range ids {
				ids[i] = account.Fake(rand.N(n)).ID
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := store.Account(ids[i%len(ids)]); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
