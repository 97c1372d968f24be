package cloudtrail

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"homeostat/internal/signal"
)

func record(id string, second int) string {
	return fmt.Sprintf(`{"eventID":%q,"eventName":"A","eventTime":"2026-01-02T03:%02d:%02dZ","extra":1}`, id, second/60, second%60)
}

func TestMergeBringsFilesIntoTheOrderOfTimeAndDropsWhatCameTwice(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.json":                     `{"Records":[` + record("1", 10) + "," + record("2", 5) + "," + record("3", 20) + "]}",
		"sub/b.jsonl":                record("2", 5) + "\n" + record("4", 15) + "\nbroken\n" + `{"eventID":"5","eventName":"A"}`,
		"x/CloudTrail-Digest/d.json": `{"digestStartTime":"2026-01-02T03:00:00Z"}`,
		"readme.txt":                 "no records",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files, err := Find([]string{dir, filepath.Join(dir, "a.json")})
	if err != nil {
		t.Fatal(err)
	}
	for _, spill := range []int{0, 1, 2} {
		var ids []string
		stats, err := Merge(t.Context(), files, spill, func(a *signal.Access) error {
			ids = append(ids, a.ID)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"2", "1", "4", "3"}, ids); diff != "" {
			t.Error(diff)
		}
		stats.Problems = nil
		if diff := cmp.Diff(Stats{Files: 2, Records: 6, Duplicates: 1, NoTime: 1, Broken: 1}, stats); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAnAccessComesBackFromATemporaryFileAsItWas(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want signal.Access
		s := rapid.String()
		for _, p := range texts(&want) {
			*p = s.Draw(t, "text")
		}
		want.GrantARN = s.Draw(t, "arn")
		want.Time = rapid.Int64().Draw(t, "time")
		want.NoMFA, want.ReadOnly = rapid.Bool().Draw(t, "mfa"), rapid.Bool().Draw(t, "readOnly")
		want.Resources = rapid.SliceOfN(s, 0, 8).Draw(t, "resources")
		if len(want.Resources) == 0 {
			want.Resources = nil
		}
		if rapid.Bool().Draw(t, "more") {
			want.Extra = []byte(`{"a":1}`)
		}
		b := appendAccess(nil, &want)
		_, n := binary.Uvarint(b) // the length
		var got signal.Access
		if err := decodeAccess(&got, b[n:], &Dictionary{}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}
