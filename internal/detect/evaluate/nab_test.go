package evaluate

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestNABByHand works a file of 100 rows out: a window from 40 to 59, one word in it, one before and one far after.
func TestNABByHand(t *testing.T) {
	f := File{Scores: make([]float64, 100), Windows: []Window{{40, 59}}}
	p := Profiles()[0]
	if got := NABAt([]File{f}, p, 1); got != 0 {
		t.Errorf("nothing said: %v, want 0", got)
	}
	f.Scores[40] = 1
	if got := NABAt([]File{f}, p, 1); math.Abs(got-100) > 1e-9 {
		t.Errorf("the first row of the window: %v, want 100", got)
	}
	f.Scores[30], f.Scores[5] = 1, 1 // one false row, and one within the probation
	if got, want := NABAt([]File{f}, p, 1), 100-100*0.11/2; math.Abs(got-want) > 1e-9 {
		t.Errorf("with a false row: %v, want %v", got, want)
	}
	f.Scores[30], f.Scores[99] = 0, 1 // 40 rows after the window of 20: twice its width, nearly all of the cost
	if got, want := NABAt([]File{f}, p, 1), 100-100*0.11/2*0.99991; math.Abs(got-want) > 1e-3 {
		t.Errorf("with a false row long after: %v, want %v", got, want)
	}
	f.Scores[40], f.Scores[50] = 0.2, 0.5
	if got, at := NAB([]File{f}, p); at != 0.2 {
		t.Errorf("best threshold %v with %v, want 0.2: being early is worth more than one false row", at, got)
	}
}

func TestAveragePrecision(t *testing.T) {
	for _, tt := range []struct {
		scores []float64
		truth  []bool
		want   float64
	}{
		{[]float64{3, 2, 1}, []bool{true, false, false}, 1},
		{[]float64{3, 2, 1}, []bool{false, false, true}, 1.0 / 3},
		{[]float64{4, 3, 2, 1}, []bool{true, false, true, false}, (1 + 2.0/3) / 2},
		{[]float64{1, 1, 1, 1}, []bool{true, false, false, false}, 0.25},
		{[]float64{1, 2}, []bool{false, false}, 0},
	} {
		if got := AveragePrecision(tt.scores, tt.truth); math.Abs(got-tt.want) > 1e-12 {
			t.Errorf("%v of %v: %v, want %v", tt.scores, tt.truth, got, tt.want)
		}
	}
}

func TestGenerateIsTheSameForTheSameSeed(t *testing.T) {
	a, b := Generate(7, 24), Generate(7, 24)
	for i := range a {
		if !slices.Equal(a[i].Values, b[i].Values) || !slices.Equal(a[i].Faults, b[i].Faults) {
			t.Fatalf("%s differs", a[i].Name)
		}
		for j, v := range a[i].Values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%s: row %d is %v", a[i].Name, j, v)
			}
		}
		last := -1
		for _, f := range a[i].Faults {
			if f.First <= last || f.Last < f.First || f.Last >= len(a[i].Values) {
				t.Errorf("%s: fault %v after row %d", a[i].Name, f, last)
			}
			last = f.Last
		}
	}
}

// loadNAB reads the benchmark's labels from data, and for each of its files the column of the scores from the file that path
// names, given category and name.
func loadNAB(data, column string, path func(category, name string) string) ([]File, error) {
	b, err := os.ReadFile(filepath.Join(data, "labels", "combined_windows.json"))
	if err != nil {
		return nil, err
	}
	var windows map[string][][2]string
	if err := json.Unmarshal(b, &windows); err != nil {
		return nil, err
	}
	var files []File
	for name, ws := range windows {
		f := File{Name: name, Category: filepath.Dir(name)}
		rows, err := readColumns(path(f.Category, filepath.Base(name)), "timestamp", column)
		if err != nil {
			return nil, err
		}
		var times []time.Time
		for _, r := range rows {
			at, err := parseTime(r[0])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			score, err := strconv.ParseFloat(r[1], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			times, f.Scores = append(times, at), append(f.Scores, score)
		}
		for _, w := range ws {
			first, err1 := parseTime(w[0])
			last, err2 := parseTime(w[1])
			i := slices.IndexFunc(times, first.Equal)
			j := slices.IndexFunc(times, last.Equal)
			if err1 != nil || err2 != nil || i < 0 || j < 0 {
				return nil, fmt.Errorf("%s: no rows of window %v", name, w)
			}
			f.Windows = append(f.Windows, Window{i, j})
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

func parseTime(s string) (time.Time, error) {
	at, err := time.Parse("2006-01-02 15:04:05.999999", s)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05.999999Z07:00", s)
	}
	return at, err
}

// readColumns returns the two columns of a CSV file with a header.
func readColumns(path, a, b string) ([][2]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	i, j := slices.Index(rows[0], a), slices.Index(rows[0], b)
	if i < 0 || j < 0 {
		return nil, fmt.Errorf("%s: want columns %s and %s", path, a, b)
	}
	out := make([][2]string, 0, len(rows)-1)
	for _, r := range rows[1:] {
		out = append(out, [2]string{r[i], r[j]})
	}
	return out, nil
}

// TestNABBoard scores the published results of detectors again, where HOMEOSTAT_NAB_BOARD names a copy of numenta/NAB.
func TestNABBoard(t *testing.T) {
	dir := os.Getenv("HOMEOSTAT_NAB_BOARD")
	if dir == "" {
		t.Skip("HOMEOSTAT_NAB_BOARD names no copy of the benchmark's repository")
	}
	b, err := os.ReadFile(filepath.Join(dir, "results", "final_results.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board map[string]map[string]float64
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	names := []string{"standard", "reward_low_FP_rate", "reward_low_FN_rate"}
	for detector, want := range board {
		files, err := loadNAB(dir, "anomaly_score", func(category, name string) string {
			return filepath.Join(dir, "results", detector, category, detector+"_"+name)
		})
		if err != nil {
			t.Logf("%s: %v", detector, err)
			continue
		}
		for i, p := range Profiles() {
			got, threshold := NAB(files, p)
			t.Logf("%-20s %-22s %7.3f, on the board %7.3f, threshold %.4f, held out %.3f", detector, p.Name, got, want[names[i]], threshold, NABHeldOut(files, p))
			if got < want[names[i]]-0.0005 { // the board's own search for the threshold misses the best one now and then
				t.Errorf("%s, %s: %.3f, want at least %.3f", detector, p.Name, got, want[names[i]])
			}
		}
	}
}

// TestNAB prints the benchmark's scores of what homeostat backtest --out has written: make bench-nab.
func TestNAB(t *testing.T) {
	data, scored := os.Getenv("HOMEOSTAT_NAB"), os.Getenv("HOMEOSTAT_NAB_SCORED")
	if data == "" || scored == "" {
		t.Skip("HOMEOSTAT_NAB and HOMEOSTAT_NAB_SCORED name no benchmark and no scored copy of its data: make bench-nab")
	}
	files, err := loadNAB(data, "anomaly_grade", func(category, name string) string {
		return filepath.Join(scored, category, name)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range Profiles() {
		best, at := NAB(files, p)
		t.Logf("%-20s %5.1f (threshold %.3f)   every grade above 0: %5.1f   held out by category: %5.1f",
			p.Name, best, at, NABAt(files, p, math.SmallestNonzeroFloat64), NABHeldOut(files, p))
	}
}
