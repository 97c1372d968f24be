package signal

import (
	"encoding/json"
	"time"
)

// Event is an EventBridge envelope: everything that happens is one, and whatever routes reads nothing else.
//
// Source: "AWS service event metadata", Amazon EventBridge user guide.
type Event struct {
	Version    string          `json:"version"` // "0"
	ID         string          `json:"id"`
	DetailType string          `json:"detail-type"`
	Source     string          `json:"source"` // homeostat.STAGE for our own
	Account    string          `json:"account"`
	Time       time.Time       `json:"time"` // UTC, whole seconds in AWS's own; ours keep milliseconds
	Region     string          `json:"region"`
	Resources  []string        `json:"resources"`
	Detail     json.RawMessage `json:"detail"` // an object
}

// The detail-types of our own events. docs/events.md describes each.
const (
	AnomalyDetected             = "Anomaly Detected"
	AnomalyEnded                = "Anomaly Ended"
	AnomalyJudged               = "Anomaly Judged"
	ModelChanged                = "Model Changed"
	UnusualAccess               = "Unusual Access"
	ForecastBreach              = "Forecast Breach"
	AlertFiring                 = "Alert Firing"
	AlertResolved               = "Alert Resolved"
	IncidentOpened              = "Incident Opened"
	IncidentUpdated             = "Incident Updated"
	IncidentResolved            = "Incident Resolved"
	ExecutionStarted            = "Execution Started"
	ExecutionWaitingForApproval = "Execution Waiting For Approval"
	ExecutionSucceeded          = "Execution Succeeded"
	ExecutionFailed             = "Execution Failed"
	ExecutionRefused            = "Execution Refused"
	ActionTaken                 = "Action Taken"
)

// Outside AWS an event's account and region are these.
const (
	LocalAccount = "000000000000"
	LocalRegion  = "local"
)

// Head is what every detail of ours begins with.
type Head struct {
	ID       string   `json:"id"` // of the thing that the event tells of, not of the event
	Entity   EntityID `json:"entity"`
	Cause    []string `json:"cause"` // ids of what brought it about; never null
	Severity Severity `json:"severity"`
	Incident string   `json:"incident,omitempty"`
}

// NewEvent wraps detail, which is marshalled, in an envelope. The id follows from what it tells: the same type, subject and
// time give the same id. Source is the stage's name without "homeostat.".
func NewEvent(stage, detailType, subject string, at time.Time, detail any) (Event, error) {
	text, err := json.Marshal(detail)
	if err != nil {
		return Event{}, err
	}
	at = at.UTC().Truncate(time.Millisecond)
	return Event{
		Version:    "0",
		ID:         MakeID(KindEvent, detailType, subject, at.Format(time.RFC3339Nano)),
		DetailType: detailType,
		Source:     "homeostat." + stage,
		Account:    LocalAccount,
		Time:       at,
		Region:     LocalRegion,
		Resources:  []string{},
		Detail:     text,
	}, nil
}

// Anomaly is what a detector found: the detail of "Anomaly Detected" and, with Ended set, of "Anomaly Ended". Maps are keyed
// by the names in Series.
type Anomaly struct {
	Head
	Detector    string             `json:"detector"`
	Series      []string           `json:"series"`
	Began       time.Time          `json:"began"`
	Ended       time.Time          `json:"ended,omitzero"`
	Score       float64            `json:"score"`
	Threshold   float64            `json:"threshold"`
	Grade       float64            `json:"grade"` // 0 to 1, how far above the threshold; at the peak once it has ended
	Values      map[string]float64 `json:"values"`
	Expected    map[string]float64 `json:"expected"`
	Lower       map[string]float64 `json:"lower"`
	Upper       map[string]float64 `json:"upper"`
	Attribution map[string]float64 `json:"attribution"` // adds up to 1
	Confidence  float64            `json:"confidence"`  // 0 to 1, how much the model has seen
	Reason      string             `json:"reason"`      // a sentence
	Processes   []Process          `json:"processes,omitempty"`
}

// Breach is a limit that a forecast crosses: the detail of "Forecast Breach", which is told again with Ended once it is so no more.
// Expected, Lower and Upper are the forecast by the minute, from Made on: the median and the band of 80 %.
type Breach struct {
	Head
	Detector    string    `json:"detector"`
	Series      string    `json:"series"`
	Limit       float64   `json:"limit"`
	Rule        string    `json:"rule,omitempty"`      // whose limit it is; "" of the configuration's
	Objective   string    `json:"objective,omitempty"` // of what the configuration sets it: an endpoint, an entity; "" of all
	Value       float64   `json:"value"`               // when it was made
	Probability float64   `json:"probability"`         // that the limit is crossed within the hour, at least
	Made        time.Time `json:"made"`
	Ended       time.Time `json:"ended,omitzero"`
	At          time.Time `json:"at"`                // when it is crossed as likely as not
	Earliest    time.Time `json:"earliest,omitzero"` // crossed by then with a chance of a tenth
	Latest      time.Time `json:"latest,omitzero"`   // crossed by then with a chance of nine tenths; absent when that is beyond the hour
	Expected    []float64 `json:"expected"`
	Lower       []float64 `json:"lower"`
	Upper       []float64 `json:"upper"`
	Method      string    `json:"method"` // where the forecast comes from, and why
	Reason      string    `json:"reason"` // a sentence
}

// Alert is a threshold rule that holds for one set of labels: the detail of "Alert Firing" and "Alert Resolved".
type Alert struct {
	Head
	Rule      string            `json:"rule"`
	Labels    map[string]string `json:"labels"`
	Value     float64           `json:"value"`
	Began     time.Time         `json:"began"`
	Ended     time.Time         `json:"ended,omitzero"`
	Reason    string            `json:"reason"` // the rule's summary annotation
	Runbook   string            `json:"runbook_url,omitempty"`
	Processes []Process         `json:"processes,omitempty"`
}

// Process is one process of a host at one moment.
type Process struct {
	PID        int32     `json:"pid"`
	Name       string    `json:"name"`
	User       string    `json:"user,omitempty"`
	Command    string    `json:"command,omitempty"` // cut to 200 bytes
	Began      time.Time `json:"began,omitzero"`
	CPU        float64   `json:"cpu"`        // cores, over the interval since the scan before
	CPUSeconds float64   `json:"cpuSeconds"` // since it began
	RSS        uint64    `json:"rss"`        // bytes
}

// Rule is an alerting rule as far as its limit goes.
type Rule struct {
	Name     string
	Expr     string // PromQL
	Severity Severity
}

// Outlook is what a series is expected to do: the forecast that is in force.
type Outlook struct {
	Detector  string
	Series    string
	From      time.Time // of the first step; the others follow minute by minute
	Levels    []float64 // ascending
	Quantiles [][]float64
	Method    string // where the forecast comes from, and why
}
