package console

import (
	"strings"
	"testing"
	"time"
)

func TestNothingLooksAlarmingWhileItLearns(t *testing.T) {
	from := time.Unix(1_700_000_000, 0)
	at := []int64{from.UnixMilli(), from.Add(time.Minute).UnixMilli()}
	l := line{Times: at, Values: []float64{0.2, 0.5}}
	b := band{Lower: line{Times: at, Values: []float64{0.1, 0.1}}, Upper: line{Times: at, Values: []float64{0.3, 0.3}}}
	for _, unsure := range []bool{false, true} {
		s := drawSpark(features[0], l, b, unsure, from, from.Add(time.Minute))
		if s.Outside == unsure || strings.Contains(s.Text, "still learning") != unsure || !strings.Contains(string(s.Picture), "band") {
			t.Errorf("unsure %v: %+v", unsure, s)
		}
	}
}
