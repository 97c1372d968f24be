package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"homeostat/internal/detect"
	"homeostat/internal/incident"
	"homeostat/internal/signal"
	"homeostat/internal/source/csvfile"
	"homeostat/internal/store"
	"homeostat/internal/stream"
)

// orders takes what people tell detectors into the stream, where detectors meet it among the samples.
type orders struct {
	detectors *detect.Runner
	incidents *incident.Incidents
	samples   *stream.Stream
	store     *store.Store
}

// give makes the order durable, and puts it on record. What it did, the detector tells by an event.
func (o *orders) give(ctx context.Context, order signal.Order, verb, subject string) (signal.Order, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second) // once begun, it is done and on record
	defer cancel()
	if err := o.samples.Append(ctx, &signal.Batch{Orders: []signal.Order{order}}); err != nil {
		return order, fmt.Errorf("%s of %s: %w", verb, subject, err)
	}
	return order, o.record(ctx, order.By, verb, subject, order.Note, order)
}

func (o *orders) record(ctx context.Context, actor, verb, subject, reason string, detail any) error {
	text, err := json.Marshal(detail)
	if err != nil {
		return err
	}
	tx, err := o.store.DB.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := o.store.Audit.Append(ctx, tx, signal.AuditEntry{Actor: actor, Verb: verb, Subject: subject, Reason: reason, Detail: text}); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// Judge implements the API's and the console's Judge, of anomalies and of findings of unusual access.
func (o *orders) Judge(ctx context.Context, anomaly string, do signal.OrderKind, by, note string) (signal.Order, error) {
	var order signal.Order
	a, err := o.incidents.Anomaly(ctx, anomaly)
	switch {
	case err == nil:
		order, err = o.detectors.Judge(a, do, by, note)
	case errors.Is(err, signal.ErrNotFound):
		f, none := o.incidents.Finding(ctx, anomaly)
		if errors.Is(none, signal.ErrNotFound) {
			return order, err
		}
		if none != nil {
			return order, none
		}
		order, err = o.detectors.JudgeAccess(f, do, by, note)
	}
	if err != nil {
		return order, err
	}
	return o.give(ctx, order, "anomaly."+string(do), anomaly)
}

// Models, Model, TrainModel and UseModel implement the API's Models.
func (o *orders) Models(context.Context) ([]signal.Model, error) { return o.detectors.Models(), nil }

func (o *orders) Model(_ context.Context, id string) (signal.Model, error) {
	return o.detectors.Model(id)
}

func (o *orders) TrainModel(ctx context.Context, t signal.Train) (signal.Model, error) {
	var rows *detect.Rows
	if t.CSV != nil {
		var err error
		if rows, err = readRows(t.CSV); err != nil {
			return signal.Model{}, fmt.Errorf("%w: %w", err, signal.ErrInvalid)
		}
	}
	m, err := o.detectors.Train(t.Detector, t.Entity, t.Series, rows)
	if err != nil {
		return m, err
	}
	return m, o.record(ctx, t.By, "model.train", m.ID, "", m)
}

func (o *orders) UseModel(ctx context.Context, id, by, note string) (signal.Order, error) {
	order, err := o.detectors.Use(id, by, note)
	if err != nil {
		return order, err
	}
	return o.give(ctx, order, "model.use", id)
}

// readRows reads CSV as backtest does: a cell that is no number is a gap, and a row whose time goes back is set aside.
func readRows(text []byte) (*detect.Rows, error) {
	in, err := csvfile.NewReader("csv", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	rows := &detect.Rows{Columns: map[string][]float64{}}
	for {
		row, err := in.Next()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return nil, err
		}
		if row.Problem != "" {
			continue
		}
		rows.Times = append(rows.Times, row.Time)
		for i, c := range in.Columns() {
			name := in.Header()[c]
			rows.Columns[name] = append(rows.Columns[name], row.Values[i])
		}
	}
}
