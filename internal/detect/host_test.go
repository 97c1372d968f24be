package detect

import (
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"homeostat/internal/signal"
)

// fakeHost makes the samples that source host would send of a machine with a daily and weekly load.
type fakeHost struct {
	r      *rand.Rand
	dict   []signal.Series
	net    float64 // counters
	disk   float64
	calm   float64
	every  time.Duration
	at     time.Time
	seq    uint64
	faults func(at time.Time, h *load)
}

// load is what the host does at a moment.
type load struct{ cpu, memory, net, disk float64 }

func newHost(seed uint64, name string, at time.Time, every time.Duration) *fakeHost {
	h := &fakeHost{r: rand.New(rand.NewPCG(seed, 7)), every: every, at: at}
	series := func(metric string, kv ...string) {
		m := map[string]string{signal.MetricName: metric, "host_name": name, "host_id": "id-" + name}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		h.dict = append(h.dict, signal.MakeSeries(signal.MakeLabels(m)))
	}
	for _, mode := range []string{"user", "system", "idle", "iowait"} {
		series("system_cpu_utilization_ratio", "cpu_mode", mode)
	}
	series("system_memory_utilization_ratio", "system_memory_state", "used")
	for _, dev := range []string{"eth0", "lo"} {
		series("system_network_io_bytes_total", "network_interface_name", dev, "network_io_direction", "receive")
	}
	series("system_disk_io_bytes_total", "system_device", "sda", "disk_io_direction", "write")
	return h
}

// next returns the next batch.
func (h *fakeHost) next() (uint64, *signal.Batch) {
	h.seq++
	at := h.at
	h.at = at.Add(h.every)
	hour := float64(at.Unix()%86400) / 3600
	busy := 0.5 - 0.5*math.Cos(2*math.Pi*(hour-2)/24)
	if day := at.Unix() / 86400 % 7; day == 2 || day == 3 { // 1970-01-03 was a Saturday
		busy *= 0.5
	}
	h.calm += 0.05 * (h.r.NormFloat64()*0.1 - h.calm)
	l := load{
		cpu:    0.1 + 0.3*busy + 0.03*h.calm + 0.02*math.Abs(h.r.NormFloat64()),
		memory: 0.4 + 0.1*busy + 0.002*h.r.NormFloat64(),
		net:    2e5 + 3e6*busy*(1+0.3*h.r.NormFloat64()),
		disk:   1e5 + 5e5*busy*math.Exp(0.5*h.r.NormFloat64()),
	}
	if h.r.Float64() < 0.002 { // a cron job
		l.cpu += 0.1
		l.disk += 5e6
	}
	if h.faults != nil {
		h.faults(at, &l)
	}
	l.cpu = min(max(l.cpu, 0), 1)
	h.net += max(l.net, 0) * h.every.Seconds()
	h.disk += max(l.disk, 0) * h.every.Seconds()
	b := &signal.Batch{ID: fmt.Sprintf("ba-0-%d", h.seq), Dict: h.dict}
	for i, v := range []float64{l.cpu * 0.7, l.cpu * 0.3, 1 - l.cpu - 0.01, 0.01, l.memory, h.net, 5 * h.net, h.disk} {
		b.Add(int32(i), at.UnixMilli(), v)
	}
	return h.seq, b
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 3)) }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
