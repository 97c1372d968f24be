package runbook

import (
	"context"
	"database/sql"
	"strings"

	"homeostat/automation"
	"homeostat/internal/signal"
)

// rollbackName is what the document is called that takes back what another one did.
func rollbackName(runbook string) string { return runbook + "-Rollback" }

// rollBack begins the rollback of an execution that verification failed, where the catalog has one: the document NAME-Rollback,
// with those of the execution's parameters, and of its outputs by their own names, that it declares. It is an execution like
// any other, behind the same guards and in the same mode; only to take back what just failed is no second attempt.
func (r *Runbooks) rollBack(ctx context.Context, tx *sql.Tx, x *execution) error {
	name := rollbackName(x.Runbook)
	doc, err := r.need.Catalog.Document(name, "")
	if err != nil || doc.Type != automation.TypeAutomation {
		return nil //nolint:nilerr // most runbooks have no rollback
	}
	back := &execution{repeat: true}
	back.Head = signal.Head{
		ID: signal.MakeID(signal.KindExecution, x.ID, "rollback"), Entity: x.Entity, Cause: []string{x.ID}, Severity: x.Severity, Incident: x.Incident,
	}
	back.Runbook, back.Route, back.By, back.Mode = name, x.Route, "rollback of "+x.Runbook, x.Mode
	back.Reason = "verification of " + x.ID + " failed"
	back.Parameters = map[string]any{}
	for _, p := range doc.Parameters {
		if v, ok := x.Parameters[p.Name]; ok {
			back.Parameters[p.Name] = v
		}
		for out, v := range x.Outputs {
			if _, short, _ := strings.Cut(out, "."); short == p.Name {
				back.Parameters[p.Name] = v
			}
		}
	}
	return r.begin(ctx, tx, back)
}
