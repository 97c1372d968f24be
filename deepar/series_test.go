package deepar

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFreqNamesSeasonsAndLags(t *testing.T) {
	for _, tt := range []struct {
		in, want string
		seasons  []int
	}{
		{"H", "1H", []int{24, 168}},
		{"5min", "5min", []int{288, 12, 2016}},
		{"10s", "10s", []int{360, 6, 8640}},
		{"D", "1D", []int{7}},
		{"7H", "7H", []int{24}},
		{"M", "1M", []int{12}},
	} {
		f, err := ParseFreq(tt.in)
		if err != nil {
			t.Fatal(err)
		}
		if f.String() != tt.want || cmp.Diff(tt.seasons, f.Seasons()) != "" {
			t.Errorf("%s: %v, seasons %v", tt.in, f, f.Seasons())
		}
	}
	for _, bad := range []string{"", "0H", "H1", "fortnight", "-1D", "1.5H", "99999999999999999999D"} {
		if f, err := ParseFreq(bad); err == nil {
			t.Errorf("%q is taken as %v", bad, f)
		}
	}
	hour, _ := ParseFreq("1H")
	lags := hour.Lags(1200)
	if len(lags) != 40 || lags[39] != 721 || lags[7] != 23 {
		t.Errorf("lags of an hour: %v, want GluonTS's 40 up to 721", lags)
	}
	month, _ := ParseFreq("1M")
	if got := month.Add(time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), 3); got.Month() != time.February {
		t.Errorf("three months after November: %v", got)
	}
}

func TestReadJSONLines(t *testing.T) {
	const text = `{"item_id":"a","start":"2026-03-01 01:02:03","target":[1,null,"NaN",2.5e0],"cat":[0,3],"dynamic_feat":[[1,2,3,4]],"more":{}}

{"start":"2026-03-01","target":[],"cat":2}`
	got, err := ReadJSONLines("x", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Series{
		{
			ItemID: "a", Place: "x:1", Start: time.Date(2026, 3, 1, 1, 2, 3, 0, time.UTC), Target: []float64{1, math.NaN(), math.NaN(), 2.5},
			Cat: []int{0, 3}, DynamicFeat: [][]float64{{1, 2, 3, 4}},
		},
		{Place: "x:3", Start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Target: []float64{}, Cat: []int{2}},
	}
	nan := cmp.Comparer(func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) })
	if d := cmp.Diff(want, got, nan); d != "" {
		t.Error(d)
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"start":"2026-03-01","target":[1,null],"cat":[1],"dynamic_feat":[[1,2]]}`))
	f.Add([]byte(`{"start":"2026-03-01","target":[1e999]}`))
	f.Add([]byte(`{"start":1,"target":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := ParseRecord(text)
		if err != nil {
			return
		}
		for _, v := range s.Target {
			if math.IsInf(v, 0) || math.Abs(v) > maxAbs {
				t.Fatalf("took %v", v)
			}
		}
	})
}
