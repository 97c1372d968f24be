package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"homeostat/internal/signal"
)

// models registers what detectors have learnt: versions, trained and used.
func (s *Server) models(d huma.API) {
	op := func(method, id, path, summary, description string, least signal.Role) operation {
		return operation{id: id, method: method, path: path, tag: "models", summary: summary, description: description, least: least}
	}

	type modelsIn struct {
		Paging
		Detector string `query:"detector" maxLength:"200" doc:"Only of this detector, by name."`
		Entity   string `query:"entity" maxLength:"500" doc:"Only of this entity, such as host:web-1."`
	}
	handle(d, op(http.MethodGet, "list-models", "/api/models", "Models",
		"Versions of what detectors have learnt: the one in use, those that were before, those that were trained on request.", signal.Viewer), s.loop.Models,
		func(ctx context.Context, in *modelsIn) (*page[signal.Model], error) {
			all, err := s.loop.Models.Models(ctx)
			kept := all[:0]
			for _, m := range all {
				if (in.Detector == "" || m.Detector == in.Detector) && (in.Entity == "" || string(m.Entity) == in.Entity) {
					kept = append(kept, m)
				}
			}
			items, next := cut(kept, in.Paging, func(m signal.Model) string { return m.Made.UTC().Format("20060102T150405.000") + " " + m.ID })
			return newPage(items, next, err)
		})
	handle(d, op(http.MethodGet, "get-model", "/api/models/{id}", "One model", "With its quality on the last fifth of its data.", signal.Viewer), s.loop.Models,
		func(ctx context.Context, in *ByID) (*one[signal.Model], error) {
			return newOne(s.loop.Models.Model(ctx, in.ID))
		})

	type trainIn struct {
		Body struct {
			Detector string `json:"detector" minLength:"1" maxLength:"200"`
			Entity   string `json:"entity" minLength:"1" maxLength:"500"`
			Series   string `json:"series,omitempty" maxLength:"2000" doc:"Which one, where the detector has a model for each series."`
			CSV      string `json:"csv,omitempty" doc:"Columns timestamp and one for each of the detector's series, in place of the last 30 days of history."`
		}
	}
	train := op(http.MethodPost, "train-model", "/api/models", "Train a model",
		"Has a version trained beside the loop, within its share of a core, and answers it as it is then: in training. It is not used until it is asked for.", signal.Operator)
	train.maxBody = maxTrain
	handle(d, train, s.loop.Models,
		func(ctx context.Context, in *trainIn) (*one[signal.Model], error) {
			b := &in.Body
			t := signal.Train{Detector: b.Detector, Entity: signal.EntityID(b.Entity), Series: b.Series, By: signal.ActorOf(ctx).Name}
			if b.CSV != "" {
				t.CSV = []byte(b.CSV)
			}
			return newOne(s.loop.Models.TrainModel(ctx, t))
		})
	handle(d, op(http.MethodPost, "use-model", "/api/models/{id}/use", "Use a model",
		"Has the detector go on with this version; the one in use is kept as it is at that moment. Answers the order, which the detector carries out when it meets it in "+
			"the stream, within a second; the event Model Changed tells of it.", signal.Operator), s.loop.Models,
		func(ctx context.Context, in *noted) (*one[signal.Order], error) {
			return newOne(s.loop.Models.UseModel(ctx, in.ID, signal.ActorOf(ctx).Name, in.note()))
		})
}
