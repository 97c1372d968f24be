package access_test

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"

	"homeostat/internal/detect/access"
	"homeostat/internal/detect/access/accesstest"
	"homeostat/internal/signal"
	"homeostat/ipinsights"
)

// world1 is made once: it is the most of what these tests cost.
var world1 = sync.OnceValue(func() *accesstest.World { return accesstest.New(1) })

// detect judges a world as the loop would.
func detect(w *accesstest.World) accesstest.Figures {
	d := access.New(access.Config{})
	return w.Measure(w.Episodes(func(a *signal.Access) (float64, float64) {
		v := d.Observe(a)
		return v.Score, v.Grade
	}))
}

// rule is the best simple rule: a network that is new to the user first, and then how rare it is by the user's counts,
// smoothed with everybody's. It learns at once.
func rule(w *accesstest.World) accesstest.Figures {
	type key struct{ user, network string }
	counts, users, all, sum := map[key]float64{}, map[string]float64{}, map[string]float64{}, 0.
	judged := map[[3]any]float64{}
	return w.Measure(w.Episodes(func(a *signal.Access) (float64, float64) {
		network := a.Address
		if ip, err := netip.ParseAddr(a.Address); err == nil {
			p, _ := ip.Prefix(24)
			network = p.String()
		}
		episode := [3]any{a.User, a.Address, a.Time / 86_400_000}
		k := key{a.User, network}
		s, ok := judged[episode]
		if !ok {
			s = -math.Log((counts[k] + 2*(all[network]+.5)/(sum+100)) / (users[a.User] + 2))
			if counts[k] == 0 {
				s += 20
			}
			judged[episode] = s
		}
		counts[k]++
		users[a.User]++
		all[network]++
		sum++
		return s, 0
	}))
}

// embedding is plain IP Insights with SageMaker's settings, but for the rate of learning, which suits few pairs better.
func embedding(b testing.TB, w *accesstest.World) accesstest.Figures {
	var pairs []ipinsights.Pair
	for i := range w.Accesses {
		a := &w.Accesses[i]
		if a.Time < w.Until().UnixMilli() {
			pairs = append(pairs, ipinsights.Pair{Entity: a.User, IP: netip.MustParseAddr(a.Address)})
		}
	}
	m, err := ipinsights.Train(b.Context(), ipinsights.Config{NumEntityVectors: 2 * accesstest.Users, VectorDim: 32, Epochs: 5, MiniBatchSize: 1000, LearningRate: .005, Seed: 1}, pairs, nil)
	if err != nil {
		b.Fatal(err)
	}
	return w.Measure(w.Episodes(func(a *signal.Access) (float64, float64) {
		if a.Time < w.Until().UnixMilli() {
			return 0, 0
		}
		return -m.Score(a.User, netip.MustParseAddr(a.Address)), 0
	}))
}

// The figures of one world, held well below what BenchmarkFigures measures over several.
func TestIntrudersAreFound(t *testing.T) {
	f := detect(world1())
	if f.AUC < .93 || f.AP < .68 || f.AtFive < 24 || f.AtOne < 18 || f.HardWeek < 7 {
		t.Errorf("%+v", f)
	}
	if ordinary := f.Told; ordinary > 25 {
		t.Errorf("%.1f episodes are told a week", ordinary)
	}
}

// The same in a world of another make, and with records that hold the seed's features alone.
func TestIntrudersAreFoundInAnotherWorld(t *testing.T) {
	for _, bare := range []bool{false, true} {
		if f := detect(accesstest.Plain(1, bare)); f.AUC < .97 || f.AP < .8 || f.AtFive < 24 || f.AtOne < 21 || f.HardWeek < 7 || f.Mistold > 5 {
			t.Errorf("bare %v: %+v", bare, f)
		}
	}
}

// worlds are the simulators that WORLDS chooses among.
var worlds = map[string]func(seed uint64) *accesstest.World{
	"":      accesstest.New,
	"plain": func(seed uint64) *accesstest.World { return accesstest.Plain(seed, false) },
	"bare":  func(seed uint64) *accesstest.World { return accesstest.Plain(seed, true) },
}

// BenchmarkFigures prints the table of docs/access.md: the detector beside its peers. SEEDS=20-29 chooses the worlds, and
// WORLDS=plain or bare those of another make.
func BenchmarkFigures(b *testing.B) {
	from, to := 1, 5
	if s := os.Getenv("SEEDS"); s != "" {
		if _, err := fmt.Sscanf(s, "%d-%d", &from, &to); err != nil {
			b.Fatalf("SEEDS=%s: want 20-29", strconv.Quote(s))
		}
	}
	world := worlds[os.Getenv("WORLDS")]
	if world == nil {
		b.Fatalf("WORLDS=%s: want plain or bare", os.Getenv("WORLDS"))
	}
	peers := []struct {
		name  string
		judge func(*accesstest.World) accesstest.Figures
		sum   accesstest.Figures
	}{
		{name: "detector", judge: detect},
		{name: "simple rule", judge: rule},
		{name: "embedding", judge: func(w *accesstest.World) accesstest.Figures { return embedding(b, w) }},
	}
	for b.Loop() {
		for seed := from; seed <= to; seed++ {
			w := world(uint64(seed))
			for i := range peers {
				f := peers[i].judge(w)
				peers[i].sum.Add(f)
				if testing.Verbose() {
					fmt.Printf("seed %d, unrest %.2f, guile %.2f: %-12s %s\n", seed, w.Unrest, w.Guile, peers[i].name, f)
				}
			}
		}
	}
	for _, p := range peers {
		fmt.Printf("%-12s %s\n", p.name, p.sum.Mean(b.N*(to-from+1)))
	}
}

// BenchmarkMemory says what a detector holds of an organisation of a thousand users after 104 days.
func BenchmarkMemory(b *testing.B) {
	var rows []signal.Access
	for seed := range 13 {
		w := accesstest.New(uint64(seed) + 100)
		shift := accesstest.New(100).Begin.Sub(w.Begin).Milliseconds()
		for _, a := range w.Accesses {
			a.User, a.ID = fmt.Sprint(seed, "-", a.User), fmt.Sprint(seed, "-", a.ID)
			a.Time += shift
			rows = append(rows, a)
		}
	}
	slices.SortStableFunc(rows, func(a, b signal.Access) int { return cmp.Compare(a.Time, b.Time) })
	heap := func() float64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := heap()
		d := access.New(access.Config{})
		for i := range rows {
			d.Observe(&rows[i])
		}
		b.ReportMetric((heap()-before)/1e6, "MB")
		var state counter
		if err := d.Checkpoint(&state); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(state)/1e6, "MB-state")
	}
	b.ReportMetric(float64(len(rows)*b.N)/b.Elapsed().Seconds(), "accesses/s")
}

type counter int

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}
