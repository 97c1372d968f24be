package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"

	"github.com/spf13/cobra"

	"homeostat/internal/detect"
	"homeostat/internal/signal"
)

// detectorCommand is homeostat detector.
func detectorCommand() *cobra.Command {
	return group(&cobra.Command{Use: "detector", Short: "What detectors cost"}, detectorQuote())
}

// quoteOut is what detector quote prints with --json.
type quoteOut struct {
	Detectors []detect.Quote `json:"detectors"`
	Bytes     int64          `json:"bytes"`          // of all models
	Resident  int64          `json:"resident_bytes"` // of the process, with the garbage collector's room
}

func detectorQuote() *cobra.Command {
	var f clientFlags
	var file string
	var entities, series int
	cmd := &cobra.Command{
		Use: "quote", Short: "Tell the memory that detectors will hold, before it is spent",
		Long: `Tells the memory that the detectors of a configuration will hold once their models have seen enough. For how many entities:
--entities says, else the running loop is asked which entities it knows.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, _, err := loadConfig(file)
			if err != nil {
				return &exitError{2, err}
			}
			known := map[string]int{}
			if entities < 0 {
				return &exitError{2, errors.New("--entities: want 0 or more")}
			}
			if !cmd.Flags().Changed("entities") {
				c, err := f.client()
				if err != nil {
					return err
				}
				es, err := list[signal.Entity](cmd.Context(), c, "/api/entities", url.Values{}, 0)
				if err != nil {
					return fmt.Errorf("%w; or say how many with --entities", err)
				}
				for _, e := range es {
					known[e.ID.Kind()]++
				}
			}
			detectors := cfg.Detectors
			if len(detectors) == 0 {
				detectors = detect.Defaults()
			}
			out := quoteOut{Detectors: []detect.Quote{}}
			for _, d := range detectors {
				if d.Kind == "access" { // it holds what people do, and no series
					continue
				}
				n := entities
				if !cmd.Flags().Changed("entities") {
					n = known[cmp.Or(d.Entity, "host")]
				}
				q, err := d.Quote(n, series)
				if err != nil {
					return &exitError{2, err}
				}
				out.Detectors = append(out.Detectors, q)
				out.Bytes += q.Bytes
			}
			out.Resident = aimFor(out.Bytes) + memoryAim
			if f.asJSON {
				return printJSON(cmd.OutOrStdout(), out)
			}
			p := newPaint(cmd.OutOrStdout())
			t := &table{head: []string{"DETECTOR", "ENTITIES", "SERIES", "MODELS", "A MODEL", "ALL", "POINTS/S"}}
			for _, q := range out.Detectors {
				t.row(q.Detector, fmt.Sprint(q.Entities), fmt.Sprint(q.Series), fmt.Sprint(q.Models), size(int64(q.PerModel)), size(q.Bytes), fmt.Sprintf("%.3g", q.Points))
			}
			t.print(cmd.OutOrStdout(), p)
			fmt.Fprintf(cmd.OutOrStdout(), "\nThe process will have about %s resident.\n", size(out.Resident))
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&file, "config", "", "configuration `FILE`; none means the detectors that run without one")
	cmd.Flags().IntVar(&entities, "entities", 0, "for `N` entities of each detector")
	cmd.Flags().IntVar(&series, "series", 0, "for `N` series of each entity, where a detector has a model for each; one for each selector when 0")
	return cmd
}

// size writes bytes as people read them.
func size(b int64) string {
	switch {
	case b >= 1<<30:
		return fmt.Sprintf("%.2f GiB", float64(b)/(1<<30))
	case b >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(b)/(1<<20))
	}
	return fmt.Sprintf("%.0f KiB", float64(b)/(1<<10))
}
