package deepar

import (
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// With HOMEOSTAT_KERNEL=go a model's file and what it samples are the same bytes everywhere: these, on whichever processor this runs.
// They change with the algorithm, and then with a word in the commit.
func TestGoKernelGivesTheSameBytesEverywhere(t *testing.T) {
	const want = "model f50cffc5 paths ec64870d"
	if os.Getenv("DEEPAR_GOLDEN") != "" {
		m, series := trained(t)
		b, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		s, err := m.Sample(t.Context(), &series[1], 20, 3)
		if err != nil {
			t.Fatal(err)
		}
		sum := crc32.NewIEEE()
		for _, p := range s.Paths {
			for _, v := range p {
				fmt.Fprintf(sum, "%016x", math.Float64bits(v))
			}
		}
		fmt.Printf("golden: model %08x paths %08x\n", crc32.ChecksumIEEE(b), sum.Sum32())
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestGoKernelGivesTheSameBytesEverywhere$", "-test.v")
	cmd.Env = append(os.Environ(), "HOMEOSTAT_KERNEL=go", "DEEPAR_GOLDEN=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if got, ok := strings.CutPrefix(strings.TrimSpace(line), "golden: "); ok {
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			return
		}
	}
	t.Fatalf("no answer in %s", out)
}
