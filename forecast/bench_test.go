package forecast

import "testing"

// BenchmarkForecast is one series of 700 hourly values, 48 steps.
func BenchmarkForecast(b *testing.B) {
	y := wave(700, 24, 5, 1)
	for _, m := range []struct {
		name string
		Model
	}{{"snaive", SeasonalNaive{Season: 24}}, {"theta", Theta{Season: 24}}, {"ets", ETS{Season: 24}}} {
		b.Run(m.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Forecast(y, 48, tenths); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
