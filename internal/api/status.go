package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"homeostat/internal/signal"
)

// Status is the answer of /api/status.
type Status struct {
	Version string         `json:"version"`
	Mode    signal.Mode    `json:"mode" doc:"The highest mode that any route may use."`
	Began   time.Time      `json:"began"`
	Ready   bool           `json:"ready"`
	Switch  signal.Switch  `json:"switch" doc:"The kill switch."`
	Stages  []signal.Stage `json:"stages" nullable:"false"`
	Counts  Counts         `json:"counts"`
	Actor   signal.Actor   `json:"actor" doc:"Who asks."`
}

// Counts are what an operator asks first. Each stops at 1,000.
type Counts struct {
	Entities      int `json:"entities"`
	OpenIncidents int `json:"openIncidents"`
	Running       int `json:"running" doc:"Executions in progress."`
	Waiting       int `json:"waiting" doc:"Executions that wait for approval or a person."`
}

// status registers the operations about the loop itself.
func (s *Server) status(d huma.API) {
	handle(d, operation{
		id: "status", method: http.MethodGet, path: "/api/status", tag: "status", least: signal.Viewer, summary: "Status",
		description: "Mode, kill switch, stages, and how much is open.",
	}, s, func(ctx context.Context, _ *struct{}) (*one[Status], error) {
		return newOne(s.current(ctx))
	})

	type whyOut struct {
		ID    string        `json:"id"`
		Items []signal.Link `json:"items" nullable:"false" doc:"Causes and effects of the asked one, itself among them, oldest first."`
	}
	handle(d, operation{
		id: "why", method: http.MethodGet, path: "/api/why/{id}", tag: "status", least: signal.Viewer, summary: "Why",
		description: "The causal chain of anything that has an id: batch, anomaly, alert, event, incident, execution, step, verify, notice.",
	}, s.loop.Chain, func(ctx context.Context, in *ByID) (*one[whyOut], error) {
		links, err := s.loop.Chain.Walk(ctx, in.ID)
		if err != nil {
			return nil, err
		}
		if len(links) == 0 {
			return nil, huma.Error404NotFound("nothing has the id " + in.ID)
		}
		return newOne(whyOut{in.ID, links}, nil)
	})

	type processesIn struct {
		Entity string    `query:"entity" required:"true" maxLength:"500" doc:"Of this host, such as host:web-1."`
		At     time.Time `query:"at" doc:"As the last scan at or before this moment saw them; now when left out."`
	}
	handle(d, operation{
		id: "list-processes", method: http.MethodGet, path: "/api/processes", tag: "entities", least: signal.Viewer, summary: "Processes of a host",
		description: "The top processes by CPU and memory, as the last scan saw them. One page, the biggest first.",
	}, s.loop.Processes, func(ctx context.Context, in *processesIn) (*page[signal.Process], error) {
		ps, err := s.loop.Processes.Processes(ctx, signal.EntityID(in.Entity), in.At)
		return newPage(ps, "", err)
	})
}

func (s *Server) current(ctx context.Context) (Status, error) {
	st := Status{
		Version: s.loop.Version, Mode: s.loop.Mode, Began: s.loop.Began, Ready: true,
		Stages: s.stages(), Actor: signal.ActorOf(ctx),
	}
	for _, g := range st.Stages {
		st.Ready = st.Ready && g.Ready
	}
	var err error
	if s.loop.Switch != nil {
		if st.Switch, err = s.loop.Switch.Paused(ctx); err != nil {
			return st, err
		}
	}
	if s.loop.Entities != nil {
		es, err := s.loop.Entities.Entities(ctx)
		if err != nil {
			return st, err
		}
		st.Counts.Entities = len(es)
	}
	if s.loop.Incidents != nil {
		is, _, err := s.loop.Incidents.List(ctx, signal.Query{State: "open", Limit: 1000})
		if err != nil {
			return st, err
		}
		st.Counts.OpenIncidents = len(is)
	}
	if s.loop.Executions != nil {
		for state, n := range map[string]*int{signal.InProgress: &st.Counts.Running, signal.Waiting: &st.Counts.Waiting} {
			xs, _, err := s.loop.Executions.Executions(ctx, signal.Query{State: state, Limit: 1000})
			if err != nil {
				return st, err
			}
			*n = len(xs)
		}
	}
	return st, nil
}

func (s *Server) stages() []signal.Stage {
	if s.loop.Stages == nil {
		return []signal.Stage{}
	}
	return s.loop.Stages.Stages()
}

// healthz says that the process answers, and nothing more: restarting cures what makes this fail.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// readyz says whether all stages are ready, and of those that aren't, why.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	type stage struct {
		Name  string `json:"name"`
		State string `json:"state"`
	}
	out := struct {
		Ready    bool    `json:"ready"`
		NotReady []stage `json:"notReady,omitempty"`
	}{Ready: true}
	for _, g := range s.stages() {
		if !g.Ready {
			out.Ready = false
			out.NotReady = append(out.NotReady, stage{g.Name, g.State})
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if !out.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(out)
}
