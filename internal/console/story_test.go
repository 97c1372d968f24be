package console

import (
	"encoding/json"
	"time"

	"homeostat/internal/signal"
)

// The worlds: quiet, where nothing is wrong; troubled, where a process runs away on web-1 and a person is needed.

var stages = []signal.Stage{
	{Name: "source", Ready: true, State: "ok", Rate: 14.2},
	{Name: "stream", Ready: true, State: "ok", Rate: 14.2},
	{Name: "history", Ready: true, State: "ok", Rate: 14.2, Lag: 0.02},
	{Name: "detect", Ready: true, State: "ok, training 1 of its models", Rate: 0.1},
	{Name: "bus", Ready: true, State: "ok"},
	{Name: "runbook", Ready: true, State: "ok"},
	{Name: "notify", Ready: true, State: "ok"},
}

var highCPU = signal.Runbook{
	Name: "HighCPU-Host", Version: "6a1b2c3d", Kind: "automation", Origin: "built-in",
	Description: "Reports the top processes, then ends the one that runs away.",
	Parameters: []signal.RunbookParameter{
		{Name: "Entity", Type: "String", Description: "The host.", Required: true},
		{Name: "MinCores", Type: "String", Description: "A process below this many cores is left alone.", Default: "0.5"},
	},
	Steps: []signal.RunbookStep{
		{Name: "report", Action: "aws:runCommand", Effect: "reading"},
		{Name: "choose", Action: "aws:branch", Effect: "reading"},
		{Name: "ask", Action: "aws:approve", Effect: "reading"},
		{Name: "end", Action: "aws:runCommand", Effect: "changing"},
	},
	Ways: []signal.RunbookWay{
		{From: "report", To: "choose"},
		{From: "choose", To: "ask", When: "{{ report.Output }} contains worker"},
		{From: "choose", When: "otherwise"},
		{From: "ask", To: "end"},
		{From: "ask", To: "report", When: "failure"},
		{From: "end"},
		{From: "end", To: "report", When: "cancel"},
	},
	Held:   []signal.Hold{{Runbook: "HighCPU-Host", Entity: "host:db-1", Failed: 2, Execution: "ex-1111111111aaaaaaaaaa", Since: time.Date(2026, 11, 22, 11, 0, 0, 0, time.UTC)}},
	Routes: []string{"high-cpu"},
	Text:   "schemaVersion: \"0.3\"\ndescription: Reports the top processes, then ends the one that runs away.\nmainSteps:\n  - name: report\n    action: aws:runCommand\n",
}

func quietWorld(noon time.Time) *world {
	return &world{
		began:    noon.Add(-3 * time.Hour),
		entities: []signal.Entity{{ID: "host:web-1", Labels: map[string]string{"host_name": "web-1", "host_id": "4c4c", "os_type": "linux"}, Series: 64, LastSeen: noon}},
		stages:   stages,
		learning: []signal.Learning{{Detector: "host", Kind: "rcf", Entity: "host:web-1", Confidence: 0.03, Since: noon.Add(-3 * time.Hour), Note: "learning"}},
		runbooks: []signal.Runbook{highCPU},
		processes: []signal.Process{
			{PID: 4242, Name: "worker", User: "app", Command: "/usr/bin/worker --queue=<all> & more", Began: noon.Add(-9 * time.Minute), CPU: 1.94, CPUSeconds: 481, RSS: 312e6},
			{PID: 812, Name: "postgres", User: "postgres", Command: "postgres: checkpointer", Began: noon.Add(-400 * time.Hour), CPU: 0.11, CPUSeconds: 9120, RSS: 1.4e9},
		},
	}
}

const hostile = `<script>alert("x")</script> & "quotes" 'n' </textarea><img src=x onerror=alert(1)>`

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func troubledWorld(noon time.Time) *world {
	w := quietWorld(noon)
	w.high = true
	w.entities = append(w.entities, signal.Entity{ID: "host:db-1", Labels: map[string]string{"host_name": "db-1"}, Series: 58, LastSeen: noon.Add(-8 * time.Second)})
	w.learning[0].Confidence, w.learning[0].Note = 1, "watching"
	began := noon.Add(-6 * time.Minute)
	an := signal.Anomaly{
		Head:     signal.Head{ID: "an-0a1b2c3d4e5f60718293", Entity: "host:web-1", Cause: []string{"ba-17-4711"}, Severity: signal.Warning, Incident: "in-77aa88bb99cc00dd11ee"},
		Detector: "host", Series: []string{"cpu", "memory", "network", "disk"}, Began: began, Score: 3.21, Threshold: 1.9, Grade: 0.83,
		Values: map[string]float64{"cpu": 0.97, "memory": 0.43, "network": 312e3, "disk": 2.3e6}, Expected: map[string]float64{"cpu": 0.18, "memory": 0.42, "network": 310e3, "disk": 2.4e6},
		Lower: map[string]float64{"cpu": 0.13, "memory": 0.31, "network": 230e3, "disk": 1.8e6}, Upper: map[string]float64{"cpu": 0.23, "memory": 0.54, "network": 396e3, "disk": 3.1e6},
		Attribution: map[string]float64{"cpu": 0.86, "memory": 0.06, "network": 0.05, "disk": 0.03}, Confidence: 1,
		Reason: "CPU is 97 %, and 13 to 23 % was expected", Processes: w.processes,
	}
	al := signal.Alert{
		Head: signal.Head{ID: "al-5566778899aabbccddee", Entity: "host:web-1", Cause: []string{"ba-17-4790"}, Severity: signal.Critical, Incident: an.Incident},
		Rule: "HighCPU", Labels: map[string]string{"host_name": "web-1"}, Value: 0.968, Began: began.Add(5 * time.Minute), Reason: "CPU above 80 % for 5 minutes",
		Runbook: "https://wiki.example.com/runbooks/HighCPU-Host",
	}
	in := signal.Incident{
		Head:  signal.Head{ID: an.Incident, Entity: "host:web-1", Cause: []string{an.ID}, Severity: signal.Critical, Incident: an.Incident},
		State: "open", Title: "CPU of web-1 is at 97 %, far above the expected 13 to 23 %", Opened: began, Updated: al.Began,
		Members: []signal.Member{
			{ID: an.ID, Kind: "anomaly", Title: an.Reason, Severity: an.Severity, Began: an.Began, Detail: must(json.Marshal(an))},
			{ID: al.ID, Kind: "alert", Title: al.Reason, Severity: al.Severity, Began: al.Began, Detail: must(json.Marshal(al))},
		},
	}
	old := signal.Incident{
		Head:  signal.Head{ID: "in-00112233445566778899", Entity: "host:db-1", Cause: []string{"al-1"}, Severity: signal.Warning},
		State: "resolved", Title: "Disk of db-1 above 85 %", Opened: noon.Add(-26 * time.Hour), Updated: noon.Add(-25 * time.Hour), Resolved: noon.Add(-25 * time.Hour), Note: "all in it ended, verify passed",
	}
	w.incidents = []signal.Incident{old, in}
	ev := func(stage, kind, subject string, at time.Time, detail any) signal.Event {
		return must(signal.NewEvent(stage, kind, subject, at, detail))
	}
	alert := ev("history", signal.AlertFiring, al.ID, al.Began, al)
	done := signal.Execution{
		Head:    signal.Head{ID: "ex-1111111111aaaaaaaaaa", Entity: "host:db-1", Cause: []string{"ev-9"}, Severity: signal.Warning, Incident: old.ID},
		Runbook: "HighCPU-Host", Version: highCPU.Version, Mode: signal.Auto, Route: "high-cpu", By: "route high-cpu", State: signal.Success, Verify: "passed",
		Began: noon.Add(-25*time.Hour - 20*time.Minute), Ended: noon.Add(-25*time.Hour - 19*time.Minute), Outcome: "ended worker (4711)",
		Steps: []signal.Step{{ID: "st-1", Name: "report", Action: "aws:runCommand", Effect: "reading", State: signal.Success, Attempt: 1, Began: noon.Add(-25*time.Hour - 20*time.Minute), Ended: noon.Add(-25*time.Hour - 20*time.Minute + 800*time.Millisecond), Outputs: map[string]any{"Output": "4711 worker 1.9"}}},
	}
	waiting := signal.Execution{
		Head:    signal.Head{ID: "ex-2222222222bbbbbbbbbb", Entity: "host:web-1", Cause: []string{alert.ID}, Severity: signal.Critical, Incident: in.ID},
		Runbook: "HighCPU-Host", Version: highCPU.Version, Mode: signal.Approve, Route: "high-cpu", Event: alert.ID, By: "route high-cpu", State: signal.Waiting, Step: "end",
		Parameters: map[string]any{"Entity": "host:web-1", "MinCores": "0.5"}, Began: noon.Add(-50 * time.Second),
		Approval: &signal.Approval{Step: "end", Message: "End process 4242 (worker, user app): it has used 1.94 cores for 9 minutes.", Needed: 1, Expires: noon.Add(7 * 24 * time.Hour)},
		Steps: []signal.Step{
			{ID: "st-aaaa", Name: "report", Action: "aws:runCommand", Effect: "reading", State: signal.Success, Attempt: 1, Began: noon.Add(-50 * time.Second), Ended: noon.Add(-49 * time.Second), Inputs: map[string]any{"DocumentName": "Homeostat-TopProcesses"}, Outputs: map[string]any{"Output": "4242 worker 1.94\n812 postgres 0.11"}},
			{ID: "st-bbbb", Name: "choose", Action: "aws:branch", Effect: "reading", State: signal.Success, Attempt: 1, Began: noon.Add(-49 * time.Second), Ended: noon.Add(-49 * time.Second)},
			{ID: "st-cccc", Name: "end", Action: "aws:runCommand", Effect: "changing", State: signal.Waiting, Attempt: 0, Began: noon.Add(-49 * time.Second), Would: "kill -TERM 4242, then -KILL after 10 s"},
		},
	}
	w.executions = []signal.Execution{done, waiting}
	w.events = []signal.Event{
		ev("detect", signal.AnomalyDetected, an.ID, an.Began, an),
		ev("incident", signal.IncidentOpened, in.ID, in.Opened, in),
		alert,
		ev("incident", signal.IncidentUpdated, in.ID, in.Updated, in),
		ev("runbook", signal.ExecutionStarted, waiting.ID, waiting.Began, waiting),
		ev("runbook", signal.ExecutionWaitingForApproval, waiting.ID, waiting.Began.Add(time.Second), waiting),
		{Version: "0", ID: "ev-outside", DetailType: hostile, Source: "shop." + hostile, Account: signal.LocalAccount, Time: noon.Add(-10 * time.Second), Region: signal.LocalRegion, Resources: []string{hostile}, Detail: must(json.Marshal(map[string]any{"entity": "host:" + hostile, "reason": hostile, "severity": "critical"}))},
	}
	w.chain = []signal.Link{
		{ID: "ba-17-4711", Kind: "batch", Time: began, Text: "62 samples of host:web-1 came in.", Cause: []string{}},
		{ID: an.ID, Kind: "anomaly", Time: began, Text: "The detector host found that CPU is 97 %, and 13 to 23 % was expected.", Cause: []string{"ba-17-4711"}},
		{ID: w.events[0].ID, Kind: "event", Time: began, Text: "It was told as Anomaly Detected.", Cause: []string{an.ID}},
		{ID: in.ID, Kind: "incident", Time: began, Text: "An incident was opened for host:web-1.", Cause: []string{an.ID, al.ID}},
		{ID: al.ID, Kind: "alert", Time: al.Began, Text: "The rule HighCPU fired: CPU above 80 % for 5 minutes.", Cause: []string{}},
		{ID: alert.ID, Kind: "event", Time: al.Began, Text: "It was told as Alert Firing.", Cause: []string{al.ID}},
		{ID: waiting.ID, Kind: "execution", Time: waiting.Began, Text: "Route high-cpu started HighCPU-Host in mode approve.", Cause: []string{alert.ID}},
		{ID: "st-aaaa", Kind: "step", Time: waiting.Began, Text: "Step report read the top processes.", Cause: []string{waiting.ID}},
	}
	w.stages = append([]signal.Stage(nil), stages...)
	return w
}

// stolenWorld is where a key was stolen: a user's incident with unusual access, and a finding that was muted.
func stolenWorld(noon time.Time) *world {
	w := quietWorld(noon)
	began := noon.Add(-31 * time.Minute)
	call := func(service, api string, n, refused int, address string) signal.Call {
		return signal.Call{Service: service + ".amazonaws.com", API: api, Region: "us-east-1", Count: n, Refused: refused, First: began, Last: began.Add(9 * time.Minute), Address: address, Event: "d3b0c0e2"}
	}
	f := signal.Finding{
		Head:     signal.Head{ID: "an-3d1c0f0c8a5b2f7e6d90", Entity: "user:ana", Cause: []string{"ba-7-311"}, Severity: signal.Critical, Incident: "in-7a0b5c0e1f4d2c3b9a88"},
		Detector: "access", Organisation: "111122223333", User: "ana", Identity: "arn:aws:iam::111122223333:user/ana", Name: "ana", Key: "AKIAIOSFODNN7EXAMPLE", Address: "203.0.113.9", Day: "2026-11-23",
		Began: began, Updated: began.Add(9 * time.Minute), Score: 11.8, Threshold: 5.2, Grade: 0.89, Confidence: 1,
		Attribution: map[string]float64{"network": 0.41, "gravity": 0.22, "novelty": 0.2, "hours": 0.09, "agent": 0.08},
		Reason:      "ana from 203.0.113.9: a network that nobody in the organisation has used; changes who may do what, hides or destroys",
		Evidence:    []string{"a network that nobody in the organisation has used", "changes who may do what, hides or destroys", "calls that are new for it (iam:CreateUser, iam:CreateAccessKey)"},
		Because: map[string]string{
			"network": "a network that nobody in the organisation has used", "gravity": "changes who may do what, hides or destroys",
			"novelty": "calls that are new for it (iam:CreateUser, iam:CreateAccessKey)", "hours": "2 hours of the day at which it is hardly ever there", "agent": "a program that nobody has used",
		},
		Techniques: []signal.Technique{{ID: "T1136.003", Name: "Create Account: Cloud Account"}, {ID: "T1087.004", Name: "Account Discovery: Cloud Account"}},
		Keys:       []string{"AKIAIOSFODNN7EXAMPLE"}, Accesses: 23, Refused: 2,
		Calls:     []signal.Call{call("iam", "CreateUser", 1, 0, ""), call("iam", "ListUsers", 20, 2, "")},
		Resources: []string{"userName=mallory", "i-0abc12345678"}, Entities: []signal.EntityID{"host:i-0abc12345678", "host:web-1"},
		Since: []signal.Call{call("s3", "ListBuckets", 3, 0, "198.51.100.3")},
	}
	in := signal.Incident{
		Head:  signal.Head{ID: f.Incident, Entity: "user:ana", Cause: []string{f.ID}, Severity: signal.Critical},
		State: "open", Title: "Unusual access: " + f.Reason, Opened: began.Add(time.Minute), Updated: f.Updated,
		Members: []signal.Member{{ID: f.ID, Kind: "access", Title: "Unusual access: " + f.Reason, Severity: signal.Critical, Began: began, Detail: must(json.Marshal(f))}},
	}
	w.incidents = []signal.Incident{in}
	w.learning = append(w.learning, signal.Learning{Detector: "access", Kind: "access", Entity: "organisation:111122223333", Confidence: 1, Since: noon.AddDate(0, 0, -90), Note: "watching"})
	w.models = []signal.Model{
		{ID: "mo-aaaaaaaaaaaaaaaaaaaa", Detector: "host", Entity: "host:web-1", Series: "all", State: "in use", Source: "live"},
		{ID: "mo-bbbbbbbbbbbbbbbbbbbb", Detector: "host", Entity: "host:web-1", Series: "all", State: "ready", Source: "history", Made: noon.Add(-time.Hour), Points: 43_100, Quality: &signal.Quality{Points: 8620, PerWeek: 0.6}},
		{ID: "mo-cccccccccccccccccccc", Detector: "host", Entity: "host:db-1", Series: "all", State: "in use", Source: "live"},
	}
	muted := signal.Judgement{
		Head:     signal.Head{ID: "or-c4fd7952dd139f9e9a39", Entity: "user:ana", Cause: []string{f.ID, "ba-9-4"}, Severity: signal.Info},
		Detector: "access", Anomaly: f.ID, Judgement: "confirmed", By: "otto", At: noon, Before: 5.2, After: 4.7, Reason: f.ID + " was confirmed by otto",
	}
	w.events = []signal.Event{
		must(signal.NewEvent("detect", signal.UnusualAccess, f.ID, began, f)),
		must(signal.NewEvent("incident", signal.IncidentOpened, in.ID, in.Opened, in)),
		must(signal.NewEvent("detect", signal.AnomalyJudged, muted.ID, noon, muted)),
	}
	return w
}

// stolenPages are the addresses of what differs in a world with unusual access.
func stolenPages(w *world) map[string]string {
	return map[string]string{
		"access-incident": "/incidents/" + w.incidents[0].ID, "access-event": "/events/" + w.events[0].ID, "access-user": "/entities/user:ana", "access-host": "/entities/host:web-1",
	}
}
