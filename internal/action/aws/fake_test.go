package aws

import (
	"errors"
	"testing"
	"time"

	"homeostat/internal/action/aws/awstest"
)

// TestChangeCalendar: a calendar is asked by its ARN, in its own region; a moment of the past by its time.
func TestChangeCalendar(t *testing.T) {
	const arn = "arn:aws:ssm:eu-central-1:123456789012:document/Change"
	for state, want := range map[string]string{"OPEN": "", "CLOSED": "Change is closed until 2026-12-24T00:00:00Z"} {
		f := awstest.Serve(t, "ssm", map[string]any{"GetCalendarState": map[string]any{"State": state, "NextTransitionTime": "2026-12-24T00:00:00Z"}})
		s, err := Open(t.Context(), Config{Region: "eu-west-1", Endpoint: f.URL})
		if err != nil {
			t.Fatal(err)
		}
		h := New(s, HandsConfig{})
		for _, at := range []time.Time{time.Now(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} {
			if why, err := h.Closed(t.Context(), arn, at); why != want || err != nil {
				t.Errorf("%s: %q %v", state, why, err)
			}
		}
		calls := f.Calls()
		if len(calls) != 2 || calls[0].Input["AtTime"] != nil || calls[1].Input["AtTime"] != "2026-01-02T03:04:05Z" {
			t.Errorf("%+v", calls)
		}
	}
	if _, err := New(nil, HandsConfig{}).Closed(t.Context(), arn, time.Now()); !errors.Is(err, ErrNotConfigured) {
		t.Errorf("without AWS: %v", err)
	}
}

// TestWhatNoEmulatorDoes calls services against fakes that hold request and answer to the published model of the API: the
// emulator has no Inspector2 findings, no Image Builder pipelines, and none of Systems Manager's automations.
func TestWhatNoEmulatorDoes(t *testing.T) {
	const pipeline = "arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/golden"
	for _, tt := range []struct {
		service, api string
		in, answer   map[string]any
		selector     string
		want         string
		token        string // the member that must carry the call's client token
	}{
		{
			"inspector2", "ListFindings",
			map[string]any{"maxResults": int64(5), "filterCriteria": map[string]any{"severity": []any{map[string]any{"comparison": "EQUALS", "value": "CRITICAL"}}}},
			map[string]any{"findings": []any{}, "nextToken": "more"},
			"$.nextToken", "more", "",
		},
		{
			"imagebuilder", "StartImagePipelineExecution",
			map[string]any{"imagePipelineArn": pipeline},
			map[string]any{"requestId": "r-1", "clientToken": "c", "imageBuildVersionArn": "arn:aws:imagebuilder:eu-west-1:123456789012:image/golden/1.0.0/1"},
			"$.imageBuildVersionArn", "arn:aws:imagebuilder:eu-west-1:123456789012:image/golden/1.0.0/1", "clientToken",
		},
		{
			"ssm", "StartAutomationExecution",
			map[string]any{"DocumentName": "AWS-StopEC2Instance", "Parameters": map[string]any{"InstanceId": []any{"i-0123456789abcdef0"}}},
			map[string]any{"AutomationExecutionId": "73c8eef8-f4ee-4a05-820c-e354fad0b4a1"},
			"$.AutomationExecutionId", "73c8eef8-f4ee-4a05-820c-e354fad0b4a1", "ClientToken",
		},
	} {
		t.Run(tt.service, func(t *testing.T) {
			f := awstest.Serve(t, tt.service, map[string]any{tt.api: any(tt.answer)})
			s, err := Open(t.Context(), Config{Region: "eu-west-1", Endpoint: f.URL})
			if err != nil {
				t.Fatal(err)
			}
			w := &world{New(s, HandsConfig{}), t}
			out := w.api(tt.service, tt.api, tt.in)
			if got := w.pick(out, tt.selector); got != tt.want {
				t.Errorf("%s is %s", tt.selector, got)
			}
			calls := f.Calls()
			if len(calls) != 1 || calls[0].Operation != tt.api {
				t.Fatalf("%+v", calls)
			}
			if want := uuid("5555555555555555555555555555555555555555555555555555555555555555"); tt.token != "" && calls[0].Input[tt.token] != want {
				t.Errorf("client token %v, want %s", calls[0].Input[tt.token], want)
			}
		})
	}
	// The action of Automation for it: begun, and looked at until it has ended.
	f := awstest.Serve(t, "ssm", map[string]any{
		"StartAutomationExecution": map[string]any{"AutomationExecutionId": "73c8eef8-f4ee-4a05-820c-e354fad0b4a1"},
		"GetAutomationExecution":   map[string]any{"AutomationExecution": map[string]any{"AutomationExecutionStatus": "Success"}},
	})
	s, err := Open(t.Context(), Config{Region: "eu-west-1", Endpoint: f.URL})
	if err != nil {
		t.Fatal(err)
	}
	c := call("aws:executeAutomation", "DocumentName", "AWS-StopEC2Instance", "RuntimeParameters", map[string]any{"InstanceId": []any{"i-0123456789abcdef0"}})
	c.Token = "abababababababababababababababab"
	for _, first := range []string{"done", "looked up"} {
		do := New(s, HandsConfig{}).Do
		if first == "looked up" {
			do = New(s, HandsConfig{}).LookUp
		}
		if out, err := do(t.Context(), c); err != nil || out["Status"] != "Success" {
			t.Errorf("%s: %v %v", first, out, err)
		}
	}
	if calls := f.Calls(); len(calls) != 4 || calls[0].Input["ClientToken"] != calls[2].Input["ClientToken"] {
		t.Errorf("%+v", calls)
	}
}
