package signal

import (
	"fmt"
	"time"
)

// Order is what a person tells a detector. It travels in the stream among the samples of its entity, so that whoever reads the
// stream again meets it at the same place.
type Order struct {
	ID       string    `json:"id"` // MakeOrder makes it
	Do       OrderKind `json:"do"`
	Detector string    `json:"detector"`
	Entity   EntityID  `json:"entity"`
	Series   string    `json:"series"`            // "all", or the one series of a model that watches no other
	Anomaly  string    `json:"anomaly,omitempty"` // id: of mute and confirm
	Score    float64   `json:"score,omitempty"`   // the anomaly's, as it was told last
	Episode  *Episode  `json:"episode,omitempty"` // of mute and confirm, where the anomaly is a finding of unusual access
	Model    string    `json:"model,omitempty"`   // id: of use
	By       string    `json:"by"`
	Note     string    `json:"note,omitempty"`
	At       time.Time `json:"at"`
}

// Episode is what a finding of unusual access is about: one user at one address on one day.
type Episode struct {
	Organisation string `json:"organisation"`
	User         string `json:"user"`
	Address      string `json:"address"`
	Day          string `json:"day"` // UTC, 2006-01-02
}

// Partition names what an order is partitioned by: the entity, as its samples are, or the organisation, as accesses are.
func (o *Order) Partition() EntityID {
	if o.Episode != nil {
		return EntityID(o.Episode.Organisation)
	}
	return o.Entity
}

// OrderKind says what an order is about.
type OrderKind string

// The orders.
const (
	Mute    OrderKind = "mute"    // the anomaly wasn't worth an event
	Confirm OrderKind = "confirm" // it was
	Use     OrderKind = "use"     // go on with another model
)

// MakeOrder completes an order with its id. The same order of the same moment is the same.
func MakeOrder(o Order) Order {
	o.At = o.At.UTC().Truncate(time.Millisecond)
	o.ID = MakeID(KindOrder, string(o.Do), o.Detector, string(o.Entity), o.Series, o.Anomaly, o.Model, o.By, o.At.Format(time.RFC3339Nano))
	return o
}

// Judgement is the detail of "Anomaly Judged": what a person said of an anomaly, and what that did to the threshold of the
// model that found it. ID is the order's; the anomaly is among its causes.
type Judgement struct {
	Head
	Detector  string    `json:"detector"`
	Anomaly   string    `json:"anomaly"`
	Judgement string    `json:"judgement"` // muted, confirmed
	By        string    `json:"by"`
	At        time.Time `json:"at"`
	Before    float64   `json:"before"` // the model's threshold
	After     float64   `json:"after"`
	Reason    string    `json:"reason"` // a sentence
}

// ModelChange is the detail of "Model Changed": a detector goes on with another model. ID is the order's.
type ModelChange struct {
	Head
	Detector string    `json:"detector"`
	Series   string    `json:"series"`
	Model    string    `json:"model"`  // in use from now on
	Before   string    `json:"before"` // kept: the one before as it was at that moment
	By       string    `json:"by"`
	At       time.Time `json:"at"`
	Reason   string    `json:"reason"`
}

// Model is a version of what a detector has learnt of an entity, kept to be used or returned to.
type Model struct {
	ID       string    `json:"id"`
	Detector string    `json:"detector"`
	Entity   EntityID  `json:"entity"`
	Series   string    `json:"series"`
	State    string    `json:"state"`            // training, ready, in use, failed
	Source   string    `json:"source"`           // history, csv, live: what it has learnt from
	Made     time.Time `json:"made"`             // when
	From     time.Time `json:"from,omitzero"`    // its data's range
	To       time.Time `json:"to,omitzero"`      //
	Points   int       `json:"points"`           // learnt
	Bytes    int       `json:"bytes,omitempty"`  // of its file
	Quality  *Quality  `json:"quality,omitzero"` // of one that was trained
	Reason   string    `json:"reason,omitempty"` // why it failed
}

// Quality is how well a model did on the last fifth of its data, each point foretold before it was learnt.
type Quality struct {
	Points    int                `json:"points"`
	Anomalies int                `json:"anomalies"` // that it would have told
	PerWeek   float64            `json:"anomalies_per_week"`
	Coverage  map[string]float64 `json:"coverage"` // of each series: the share of points within its band
	Error     map[string]float64 `json:"error"`    // of each series: the mean distance from what was expected, in its unit
}

// Train asks for a new version of a model.
type Train struct {
	Detector string
	Entity   EntityID
	Series   string // "" where the detector has one model for all
	CSV      []byte // with columns timestamp and one for each series; nil: from history
	By       string
}

// Check says what an order lacks. It guards the stream against one that nobody could carry out.
func (o *Order) Check() error {
	switch {
	case o.ID == "" || o.Detector == "" || o.Entity == "" || o.Series == "":
		return fmt.Errorf("an order without id, detector, entity or series: %w", ErrInvalid)
	case (o.Do == Mute || o.Do == Confirm) && o.Anomaly != "", o.Do == Use && o.Model != "":
		return nil
	}
	return fmt.Errorf("an order to %q of anomaly %q, model %q: %w", o.Do, o.Anomaly, o.Model, ErrInvalid)
}
