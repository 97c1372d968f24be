package detect

import (
	"strconv"
	"testing"
	"time"
)

// spikes feeds noise with an equal spike each day and returns the anomalies' peaks, by the day; judge is called after each.
func spikes(t *testing.T, days int, judge func(m *Model, began time.Time, peak float64)) (found []int) {
	t.Helper()
	m := newModel(t, alone())
	r := newRand(5)
	for i := range days * 288 {
		x := r.NormFloat64()
		if i%288 == 200 && i > 288 {
			x = 12
		}
		if v := m.Observe(int64(i)*300_000, []float64{x}); v.Change == Began && i%288 == 200 {
			found = append(found, i/288)
			judge(m, time.UnixMilli(int64(i)*300_000), v.Score)
		}
	}
	return found
}

func TestMutedIsNotToldAgain(t *testing.T) {
	t.Parallel()
	without := spikes(t, 8, func(*Model, time.Time, float64) {})
	muted := spikes(t, 8, func(m *Model, began time.Time, peak float64) {
		a := Adjustment{Anomaly: "an-1", Judgement: Muted, By: "ana", Began: began, Score: peak}
		first, err := m.Feedback(a)
		if err != nil || !(first.After > first.Before) {
			t.Errorf("%+v, %v: want a higher threshold", first, err)
		}
		if again, err := m.Feedback(a); err != nil || again != first || len(m.Adjustments()) != 1 {
			t.Errorf("a second time: %+v, %v, and %d on record; want the first record alone", again, err, len(m.Adjustments()))
		}
	})
	if len(muted) != 1 || len(without) < 2 {
		t.Errorf("events on days %v, muted after the first %v; want one, and more without", without, muted)
	}
}

func TestConfirmedLowersTheThreshold(t *testing.T) {
	m := newModel(t, plain(1))
	r := newRand(6)
	for i := range 600 {
		m.Observe(int64(i)*60_000, []float64{r.NormFloat64()})
	}
	before := m.Observe(600*60_000, []float64{0}).Threshold
	for i := range 20 {
		if _, err := m.Feedback(Adjustment{Anomaly: strconv.Itoa(i), Judgement: Confirmed, Score: 2}); err != nil {
			t.Fatal(err)
		}
	}
	after := m.Observe(601*60_000, []float64{0}).Threshold
	if !(after < before && after > ordinary) {
		t.Errorf("threshold %v, then %v: want lower, and above what is ordinary", before, after)
	}
	if _, err := m.Feedback(Adjustment{Judgement: "ignored"}); err == nil {
		t.Error("an unknown judgement was taken")
	}
}
