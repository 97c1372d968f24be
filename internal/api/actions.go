package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"homeostat/internal/signal"
)

// noted is a decision with a person's words.
type noted struct {
	ByID
	Body *struct {
		Note string `json:"note,omitempty" maxLength:"2000" doc:"Why, for the record."`
	}
}

func (n *noted) note() string {
	if n.Body == nil {
		return ""
	}
	return n.Body.Note
}

// actions registers what changes something.
func (s *Server) actions(d huma.API) {
	post := func(id, path, tag, summary, description string, least signal.Role) operation {
		return operation{id: id, method: http.MethodPost, path: path, tag: tag, summary: summary, description: description, least: least}
	}

	handle(d, post("resolve-incident", "/api/incidents/{id}/resolve", "incidents", "Resolve an incident",
		"Ends it on a person's word, whatever its anomalies do. Answers the incident as it is then.", signal.Operator), s.loop.Incidents,
		func(ctx context.Context, in *noted) (*one[signal.Incident], error) {
			if err := s.loop.Incidents.Resolve(ctx, in.ID, signal.ActorOf(ctx).Name, in.note()); err != nil {
				return nil, err
			}
			return newOne(s.loop.Incidents.Get(ctx, in.ID))
		})

	decide := func(verb, summary, description string, least signal.Role, f func(ctx context.Context, id, by, note string) error) {
		handle(d, post(verb+"-execution", "/api/executions/{id}/"+verb, "executions", summary, description+" Answers the execution as it is then.", least), s.loop.Decisions,
			func(ctx context.Context, in *noted) (*one[signal.Execution], error) {
				if err := f(ctx, in.ID, signal.ActorOf(ctx).Name, in.note()); err != nil {
					return nil, err
				}
				if s.loop.Executions == nil {
					return newOne(signal.Execution{Head: signal.Head{ID: in.ID, Cause: []string{}}}, nil)
				}
				return newOne(s.loop.Executions.Execution(ctx, in.ID))
			})
	}
	decide("approve", "Approve an execution", "Lets one that waits for approval go on.", signal.Approver,
		func(ctx context.Context, id, by, note string) error {
			return s.loop.Decisions.Approve(ctx, id, by, note)
		})
	decide("reject", "Reject an execution", "Ends one that waits for approval.", signal.Approver,
		func(ctx context.Context, id, by, note string) error {
			return s.loop.Decisions.Reject(ctx, id, by, note)
		})
	type goOn struct {
		ByID
		Body *struct {
			Note  string `json:"note,omitempty" maxLength:"2000" doc:"Why, for the record."`
			Retry bool   `json:"retry,omitempty" doc:"Of a change that was cut off: do it again, instead of taking it as done."`
		}
	}
	handle(d, post("continue-execution", "/api/executions/{id}/continue", "executions", "Continue an execution",
		"Lets one go on that is paused, or that asks what came of a change that was cut off. Answers the execution as it is then.", signal.Approver), s.loop.Decisions,
		func(ctx context.Context, in *goOn) (*one[signal.Execution], error) {
			note, retry := "", false
			if in.Body != nil {
				note, retry = in.Body.Note, in.Body.Retry
			}
			if err := s.loop.Decisions.Continue(ctx, in.ID, signal.ActorOf(ctx).Name, note, retry); err != nil {
				return nil, err
			}
			if s.loop.Executions == nil {
				return newOne(signal.Execution{Head: signal.Head{ID: in.ID, Cause: []string{}}}, nil)
			}
			return newOne(s.loop.Executions.Execution(ctx, in.ID))
		})
	type resetIn struct {
		Name string `path:"name" maxLength:"200"`
		Body struct {
			Entity string `json:"entity" minLength:"1" maxLength:"500" doc:"Where it failed verification."`
			Note   string `json:"note,omitempty" maxLength:"2000" doc:"Why, for the record."`
		}
	}
	handle(d, post("reset-runbook", "/api/runbooks/{name}/reset", "runbooks", "Reset a runbook on an entity",
		"Lets a runbook that failed verification twice on an entity act there again as its route says. Answers the runbook as it is then.", signal.Approver), s.loop.Decisions,
		func(ctx context.Context, in *resetIn) (*one[signal.Runbook], error) {
			err := s.loop.Decisions.Reset(ctx, in.Name, signal.EntityID(in.Body.Entity), signal.ActorOf(ctx).Name, in.Body.Note)
			if err != nil {
				return nil, err
			}
			if s.loop.Runbooks == nil {
				return newOne(signal.Runbook{Name: in.Name}, nil)
			}
			return newOne(s.loop.Runbooks.Runbook(ctx, in.Name))
		})
	decide("cancel", "Cancel an execution", "Ends one: the step that it is at is stopped, and the document's cancel path runs.", signal.Operator,
		func(ctx context.Context, id, by, note string) error {
			return s.loop.Decisions.Cancel(ctx, id, by, note)
		})

	judge := func(do signal.OrderKind, summary, description string) {
		handle(d, post(string(do)+"-anomaly", "/api/anomalies/{id}/"+string(do), "anomalies", summary, description+" Answers the order, which the detector carries out "+
			"when it meets it in the stream, within a second; the event Anomaly Judged tells what it did.", signal.Operator), s.loop.Judge,
			func(ctx context.Context, in *noted) (*one[signal.Order], error) {
				return newOne(s.loop.Judge.Judge(ctx, in.ID, do, signal.ActorOf(ctx).Name, in.note()))
			})
	}
	judge(signal.Mute, "Mute an anomaly", "Says that it wasn't worth an event: the threshold of the model that found it rises so far that the same again is none. A finding of unusual access ends, and is learnt as ordinary.")
	judge(signal.Confirm, "Confirm an anomaly", "Says that it was worth an event: the threshold of the model that found it falls by a tenth, and what muting has added by half. A finding of unusual access is never learnt, nor what comes from its address later.")

	type startIn struct {
		Name string `path:"name" maxLength:"200"`
		Body *struct {
			Entity     string         `json:"entity,omitempty" maxLength:"500" doc:"On which entity. Where the runbook declares the parameter Entity, this host when left out."`
			Mode       signal.Mode    `json:"mode,omitempty" enum:"observe,approve,auto" doc:"observe when left out. The configuration's mode is the highest."`
			Parameters map[string]any `json:"parameters,omitempty"`
			Reason     string         `json:"reason,omitempty" maxLength:"2000"`

			Rate *signal.RateControl `json:"rate,omitempty" doc:"Runs it once for each of several targets; once when left out."`
		}
	}
	handle(d, post("run-runbook", "/api/runbooks/{name}/run", "runbooks", "Run a runbook",
		"Starts an execution behind the same guards as a route's, and answers it. A mode above observe needs the role approver.", signal.Operator), s.loop.Starter,
		func(ctx context.Context, in *startIn) (*one[signal.Execution], error) {
			a := signal.ActorOf(ctx)
			st := signal.Start{Runbook: in.Name, Mode: signal.Observe, By: a.Name}
			if b := in.Body; b != nil {
				st.Entity, st.Parameters, st.Reason, st.Rate = signal.EntityID(b.Entity), b.Parameters, b.Reason, b.Rate
				if b.Mode != "" {
					st.Mode = b.Mode
				}
			}
			if st.Mode != signal.Observe && !a.Role.Allows(signal.Approver) {
				return nil, huma.Error403Forbidden(roleText(a, signal.Approver))
			}
			id, err := s.loop.Starter.StartRunbook(ctx, st)
			if err != nil {
				return nil, err
			}
			if s.loop.Executions == nil {
				return newOne(signal.Execution{Head: signal.Head{ID: id, Cause: []string{}}, Runbook: in.Name}, nil)
			}
			return newOne(s.loop.Executions.Execution(ctx, id))
		})

	s.models(d)
	type rehearseIn struct {
		Body struct {
			Days float64 `json:"days" minimum:"0.01" maximum:"400" doc:"How far back what is stored is played."`
		}
	}
	handle(d, post("rehearse", "/api/rehearse", "runbooks", "Rehearse",
		"Plays what is stored through today's rules, detectors, routes and guards, and answers what would have been done. It changes nothing, and takes processor time: minutes for a month of many hosts.", signal.Operator), s.loop.Rehearser,
		func(ctx context.Context, in *rehearseIn) (*one[signal.Rehearsal], error) {
			return newOne(s.loop.Rehearser.Rehearse(ctx, in.Body.Days))
		})

	type reasoned struct {
		Body *struct {
			Reason string `json:"reason,omitempty" maxLength:"2000" doc:"Why, for the record."`
		}
	}
	flip := func(verb, summary, description string, least signal.Role, f func(ctx context.Context, by, reason string) error) {
		handle(d, post(verb, "/api/"+verb, "status", summary, description, least), s.loop.Switch,
			func(ctx context.Context, in *reasoned) (*one[signal.Switch], error) {
				reason := ""
				if in.Body != nil {
					reason = in.Body.Reason
				}
				if err := f(ctx, signal.ActorOf(ctx).Name, reason); err != nil {
					return nil, err
				}
				return newOne(s.loop.Switch.Paused(ctx))
			})
	}
	flip("pause", "Pause", "The kill switch: no automatic action is taken until resume. Everything else goes on.", signal.Operator,
		func(ctx context.Context, by, reason string) error { return s.loop.Switch.Pause(ctx, by, reason) })
	flip("resume", "Resume", "Lets automatic actions be taken again.", signal.Approver,
		func(ctx context.Context, by, reason string) error { return s.loop.Switch.Resume(ctx, by, reason) })
}
