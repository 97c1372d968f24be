package console

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"homeostat/internal/signal"
)

func (w *world) Outlooks(of signal.EntityID) []signal.Outlook {
	if of != "host:web-1" {
		return nil
	}
	return w.outlooks
}

// fillingWorld has a disk that fills, with its forecast from a moment on.
func fillingWorld(now time.Time) *world {
	w := quietWorld(now)
	o := signal.Outlook{
		Detector: "disks", Series: "disk /var", From: now.Add(-2 * time.Minute), Levels: []float64{0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98},
		Method: "ETS (loss 0.0002); left out: the last value (loss 0.004); by the last 120 steps held out",
	}
	for _, z := range []float64{-2.05, -1.28, -0.52, 0, 0.52, 1.28, 2.05} {
		row := make([]float64, 60)
		for s := range row {
			row[s] = 0.7 + 0.004*float64(s-2) + z*0.006*math.Sqrt(float64(s+1))
		}
		o.Quantiles = append(o.Quantiles, row)
	}
	w.outlooks = []signal.Outlook{o}
	return w
}

// withDisk answers for the disk of fillingWorld besides what the world knows.
func withDisk(l Loop) Loop {
	rest := l.Prometheus
	l.Prometheus = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.FormValue("query"), "homeostat_value") {
			rest.ServeHTTP(rw, r)
			return
		}
		from, _ := strconv.ParseFloat(r.FormValue("start"), 64)
		to, _ := strconv.ParseFloat(r.FormValue("end"), 64)
		step, _ := strconv.ParseFloat(r.FormValue("step"), 64)
		var values [][2]any
		for t := from; t <= to; t += step {
			values = append(values, [2]any{t, strconv.FormatFloat(0.7+(t-to)*0.004/60, 'g', 6, 64)})
		}
		_ = json.NewEncoder(rw).Encode(map[string]any{"status": "success", "data": map[string]any{"resultType": "matrix", "result": []any{
			map[string]any{"metric": map[string]string{"homeostat_entity": "host:web-1", "detector": "disks", "feature": "disk /var"}, "values": values},
		}}})
	})
	return l
}

func TestFanBeginsNow(t *testing.T) {
	w := fillingWorld(noon)
	c := newConsole(t, withDisk(w.loop()))
	for _, tt := range []struct {
		span  string
		steps int // of the 60, from two minutes ago; one ends now
	}{{"15m", 15}, {"1h", 58}, {"24h", 58}, {"7d", 0}} {
		set, err := c.chartSet(t.Context(), w.entities[0], tt.span, noon)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(set.Charts, func(c chart) bool { return c.Label == "Fullest disk" }) {
			t.Errorf("%s: the only disk has two charts", tt.span)
		}
		ch := set.Charts[len(set.Charts)-1]
		if ch.Name != "disk /var" || ch.Unit != "ratio" {
			t.Fatalf("%s: the last chart is %s in %s", tt.span, ch.Name, ch.Unit)
		}
		if tt.steps == 0 {
			if ch.Fan != nil {
				t.Errorf("%s: a fan", tt.span)
			}
			continue
		}
		if ch.Fan == nil || len(ch.Fan.Times) != tt.steps || ch.Fan.Times[0] != set.To+60 || len(ch.Fan.Pairs) != 2 || len(ch.Fan.Pairs[0][1]) != tt.steps {
			t.Errorf("%s: fan %+v", tt.span, ch.Fan)
		}
		for _, other := range set.Charts[:len(set.Charts)-1] {
			if other.Fan != nil {
				t.Errorf("%s has the fan of another", other.Name)
			}
		}
	}
	set, err := c.chartSet(t.Context(), w.entities[0], "1h", noon)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(set.Charts[len(set.Charts)-1].Fan, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "fan", string(text)+"\n")
	golden(t, "pages/entity-filling", body(c, get(t, acting(c, somebody), "/entities/host:web-1")))
}

// TestFanIsDrawn looks at the fan in light and dark, and points at it. With -artifacts it leaves the pictures.
func TestFanIsDrawn(t *testing.T) {
	w := fillingWorld(time.Now())
	ctx, address := browseLoop(t, withDisk(w.loop()), somebody)
	for _, scheme := range []string{"light", "dark"} {
		if _, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}); err != nil {
			t.Fatal(err)
		}
		if err := chromedp.Do(ctx, chromedp.EmulateViewport(1360, 860), chromedp.Navigate(address+"/entities/host:web-1"), chromedp.WaitVisible(chromedp.CSS(".chart canvas"))); err != nil {
			t.Fatal(err)
		}
		if err := settle(ctx); err != nil {
			t.Fatal(err)
		}
		// The mouse goes over the right end of the last chart, which is the future.
		said, cancel := context.WithTimeout(ctx, 10*time.Second)
		_, err := chromedp.Run(said, chromedp.Poll[bool](`(() => {
			const chart = [...document.querySelectorAll(".chart")].at(-1);
			const over = chart.querySelector(".u-over");
			const r = over.getBoundingClientRect();
			for (const kind of ["mouseenter", "mousemove"]) over.dispatchEvent(new MouseEvent(kind, { clientX: r.right - 20, clientY: r.top + 20, bubbles: true }));
			return chart.querySelector(".chart-note").textContent.includes("forecast, ");
		})()`))
		cancel()
		if err != nil {
			t.Errorf("%s: over the future it says nothing of the forecast: %v", scheme, err)
		}
		untroubled(t, ctx, scheme)
		shoot(t, ctx, "fan-"+scheme)
	}
}

func TestBreachIsLaidOut(t *testing.T) {
	b := signal.Breach{
		Head: signal.Head{ID: "fo-1", Entity: "host:web-1", Severity: signal.Warning}, Detector: "disks", Series: "disk /var", Limit: 0.85, Rule: "DiskSpace",
		Value: 0.79, Probability: 0.97, Made: noon, At: noon.Add(40 * time.Minute), Earliest: noon.Add(30 * time.Minute), Method: "ETS",
	}
	lay := func() *findingView {
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		return newFinding(kindBreach, text)
	}
	v := lay()
	want := []pair{
		{"Detector", "disks"},
		{"Limit", "85 %"},
		{"Value then", "79 %"},
		{"Crossed", "12:40 UTC, 12:30 UTC to later than in an hour"},
		{"Probability", "97 %"},
		{"Rule", "DiskSpace"},
		{"Forecast by", "ETS"},
	}
	if d := cmp.Diff(want, v.Facts); d != "" || v.Entity != "host:web-1" || !v.Began.Equal(noon) {
		t.Errorf("%s, %+v", d, v)
	}
	b.Rule, b.Objective = "", "/var of host:*"
	want[5] = pair{"Objective of", "/var of host:*"}
	if d := cmp.Diff(want, lay().Facts); d != "" {
		t.Errorf("of an objective: %s", d)
	}
}
