package aws

import (
	"encoding/json"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"homeostat/automation"
	"homeostat/internal/action/aws/awstest"
	"homeostat/runbooks"
)

// library is the built-in documents.
type library map[string]*automation.Document

func (l library) Document(name, _ string) (*automation.Document, error) {
	if d, ok := l[name]; ok {
		return d, nil
	}
	return nil, automation.ErrNoDocument
}

func builtin(t *testing.T) library {
	t.Helper()
	names, err := fs.Glob(runbooks.Files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	l := library{}
	for _, name := range names {
		text, err := runbooks.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := automation.Parse(name, text)
		if err != nil {
			t.Fatal(err)
		}
		l[d.Name] = d
	}
	return l
}

// run runs a document, a waiting step being looked at again until it has ended.
func (w *world) run(mode automation.Mode, doc *automation.Document, docs automation.Documents, params map[string]any) (automation.Result, []automation.Entry) {
	w.t.Helper()
	bound, err := doc.Bind(params)
	if err != nil {
		w.t.Fatal(err)
	}
	var j automation.MemoryJournal
	for end := time.Now().Add(30 * time.Second); ; {
		res, err := automation.Run(w.t.Context(), doc, automation.Execution{ID: "ex-1", Parameters: bound, Mode: mode, Began: time.Now()},
			automation.World{Hands: w.Hands, Journal: &j, Documents: docs})
		if err != nil {
			w.t.Fatal(err)
		}
		if res.State != automation.Waiting {
			for _, e := range j.Entries() {
				w.t.Logf("%-22s %-8s %-8s would=%q note=%q error=%q", e.Path, e.Effect, e.State, e.Would, e.Note, e.Error)
			}
			return res, j.Entries()
		}
		if time.Now().After(end) {
			w.t.Fatalf("it waits still: %+v", res)
		}
		select {
		case <-w.t.Context().Done():
		case <-time.After(time.Until(res.Until)):
		}
	}
}

// steps are those of a journal that have begun, with their states.
func steps(entries []automation.Entry) string {
	var out []string
	for _, e := range entries {
		if !strings.Contains(e.Path, "/") {
			out = append(out, e.Path+"="+e.State)
		}
	}
	return strings.Join(out, " ")
}

func (w *world) typeOf(id string) string {
	return w.pick(w.api("ec2", "DescribeInstances", map[string]any{"InstanceIds": []any{id}}), "$.Reservations[0].Instances[0].InstanceType")
}

func TestHighCPUScalesUp(t *testing.T) {
	w, docs := newWorld(t), builtin(t)
	id := w.instance(nil)
	given := map[string]any{"InstanceId": id, "Cpu": "0.97"}

	res, entries := w.run(automation.Observe, docs["HighCPU-EC2"], docs, given)
	if w.typeOf(id) != "m5.large" {
		t.Fatal("observe changed the instance")
	}
	if res.State != automation.Success || !strings.Contains(steps(entries), "resize=Success") {
		t.Errorf("observe: %+v", res)
	}
	res, entries = w.run(automation.Auto, docs["HighCPU-EC2"], docs, given)
	if res.State != automation.Success || w.typeOf(id) != "m5.xlarge" {
		t.Errorf("%+v %s: %s", res, w.typeOf(id), steps(entries))
	}
	told := w.api("logs", "GetLogEvents", map[string]any{"logGroupName": "/homeostat/remediation", "logStreamName": "ex-1"})
	if got := w.pick(told, "$.events[0].message"); !strings.Contains(got, "scale "+id+" from m5.large (2 vCPUs) to m5.xlarge (4)") {
		t.Errorf("told %s", got)
	}
	// moto's server doesn't take the protocol that the SDK speaks to CloudWatch: the request is held to the published model.
	for _, e := range entries {
		if e.Path != "metric" {
			continue
		}
		raw, err := json.Marshal(request(automation.Call{Inputs: e.Inputs}))
		var in any
		if err := errors.Join(err, json.Unmarshal(raw, &in)); err != nil {
			t.Fatal(err)
		}
		if err := awstest.LoadModel(t, "cloudwatch").Check("PutMetricDataInput", in, "PutMetricData"); err != nil {
			t.Error(err)
		}
	}
}

func TestHighCPUBelowNinetyEndsProcesses(t *testing.T) {
	w, docs := newWorld(t), builtin(t)
	id := w.instance(nil)
	res, entries := w.run(automation.Auto, docs["HighCPU-EC2"], docs, map[string]any{"InstanceId": id, "Cpu": "0.85"})
	if res.State != automation.Success || w.typeOf(id) != "m5.large" || !strings.Contains(steps(entries), "end_busy=Success") {
		t.Errorf("%+v: %s", res, steps(entries))
	}
}

// TestScaleUpIsOnlyProposed goes through what must not be scaled.
func TestScaleUpIsOnlyProposed(t *testing.T) {
	w := newWorld(t)
	id := w.instance(nil)
	plan := func(in map[string]any) map[string]any { return w.api("homeostat", "PlanScaleUp", in) }
	if out := plan(map[string]any{"InstanceId": id}); out["Verdict"] != "do" || out["To"] != "m5.xlarge" {
		t.Errorf("%v", out)
	}
	if out := plan(map[string]any{"InstanceId": id, "MaxVCpus": "2"}); out["Verdict"] != "propose" || !strings.Contains(text(out["Reason"]), "2 are the most") {
		t.Errorf("%v", out)
	}
	big := w.instance(map[string]any{"InstanceType": "m5.16xlarge", "ClientToken": "big" + t.Name()})
	if out := plan(map[string]any{"InstanceId": big, "MaxVCpus": "96"}); out["Verdict"] != "propose" || !strings.Contains(text(out["Reason"]), "over the quota of 30") {
		t.Errorf("%v", out)
	}
	top := w.instance(map[string]any{"InstanceType": "m5.24xlarge", "ClientToken": "top" + t.Name()})
	if out := plan(map[string]any{"InstanceId": top}); out["Verdict"] != "propose" || !strings.Contains(text(out["Reason"]), "largest size") {
		t.Errorf("%v", out)
	}
	member := w.member()
	if out := plan(map[string]any{"InstanceId": member}); out["Verdict"] != "propose" || !strings.Contains(text(out["Reason"]), "Auto Scaling group web") {
		t.Errorf("%v", out)
	}
	for _, i := range []string{big, top} {
		w.api("ec2", "TerminateInstances", map[string]any{"InstanceIds": []any{i}})
	}
}

func TestDiskIsExtendedOnceInSixHours(t *testing.T) {
	w, docs := newWorld(t), builtin(t)
	id := w.instance(nil)
	volume := w.pick(w.api("ec2", "DescribeInstances", map[string]any{"InstanceIds": []any{id}}), "$.Reservations[0].Instances[0].BlockDeviceMappings[0].Ebs.VolumeId")
	size := func() string {
		return w.pick(w.api("ec2", "DescribeVolumes", map[string]any{"VolumeIds": []any{volume}}), "$.Volumes[0].Size")
	}
	was := size()
	given := map[string]any{"InstanceId": id, "Used": "0.97"}
	res, entries := w.run(automation.Auto, docs["DiskSpace-EC2"], docs, given)
	if res.State != automation.Success || size() == was || !strings.Contains(steps(entries), "grow=Success") {
		t.Errorf("%+v, %s GiB: %s", res, size(), steps(entries))
	}
	now := size()
	res, entries = w.run(automation.Auto, docs["DiskSpace-EC2"], docs, given)
	if res.State != automation.Success || size() != now || !strings.Contains(steps(entries), "clean=Success") {
		t.Errorf("again, too soon: %+v, %s GiB: %s", res, size(), steps(entries))
	}
	if res, _ = w.run(automation.Auto, docs["MemoryLeak-EC2"], docs, map[string]any{"InstanceId": id}); res.State != automation.Success {
		t.Errorf("memory: %+v", res)
	}
}

// TestPolicyOfTheRunbooks: each can be given a role that can do nothing else.
func TestPolicyOfTheRunbooks(t *testing.T) {
	docs := builtin(t)
	find := func(name string) (*automation.Document, error) { return docs.Document(name, "") }
	p, err := New(nil, HandsConfig{}).Policy([]*automation.Document{docs["HighCPU-EC2"]}, find)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(p.Statement[0].Action, " ")
	for _, want := range []string{"ec2:ModifyInstanceAttribute", "ec2:StopInstances", "ssm:SendCommand", "servicequotas:GetServiceQuota", "logs:PutLogEvents"} {
		if !strings.Contains(all, want) {
			t.Errorf("%s is missing in %s", want, all)
		}
	}
	if strings.Contains(all, "ec2:ModifyVolume") || strings.Contains(all, "ec2:TerminateInstances") || len(p.Statement) != 1 {
		t.Errorf("more than is needed: %+v", p)
	}
	if p, err = New(nil, HandsConfig{}).Policy([]*automation.Document{docs["HighCPU-Host"]}, find); err != nil || len(p.Statement) != 0 {
		t.Errorf("a host's runbook needs nothing of AWS: %+v %v", p, err)
	}
}
