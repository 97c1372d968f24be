package aws

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"homeostat/automation"
)

// TestAccessIsTakenAwayAndGivenBack takes each runbook for unusual access, and its way back, through an emulator of IAM: observe
// changes nothing, auto does what its words say, a second time no harm, and the way back restores what was.
func TestAccessIsTakenAwayAndGivenBack(t *testing.T) {
	w, docs := newWorld(t), builtin(t)
	cfg := w.sessions.Of("", "")
	cfg.BaseEndpoint = &emulator
	client := iam.NewFromConfig(cfg)
	if _, err := client.CreateUser(t.Context(), &iam.CreateUserInput{UserName: new("ana")}); err != nil {
		t.Fatal(err)
	}
	made, err := client.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: new("ana")})
	if err != nil {
		t.Fatal(err)
	}
	key := *made.AccessKey.AccessKeyId
	if _, err := client.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: new("Deploy"), AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":[]}`)}); err != nil {
		t.Fatal(err)
	}
	state := func() string {
		return w.pick(w.api("iam", "ListAccessKeys", map[string]any{"UserName": "ana"}), "$.AccessKeyMetadata[0].Status")
	}
	policy := func(document *string, err error) string {
		if _, none := errors.AsType[*types.NoSuchEntityException](err); none {
			return "none"
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := url.QueryUnescape(*document)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	ofUser := func() string {
		out, err := client.GetUserPolicy(t.Context(), &iam.GetUserPolicyInput{UserName: new("ana"), PolicyName: new("HomeostatDenyAll")})
		if err != nil {
			return policy(nil, err)
		}
		return policy(out.PolicyDocument, nil)
	}
	ofRole := func() string {
		out, err := client.GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{RoleName: new("Deploy"), PolicyName: new("AWSRevokeOlderSessions")})
		if err != nil {
			return policy(nil, err)
		}
		return policy(out.PolicyDocument, nil)
	}
	for _, tt := range []struct {
		name, back string
		params     map[string]any
		of         func() string
		well, done string // what of holds before and after, and is contained in it after
	}{
		{"Access-DeactivateKey", "Access-ReactivateKey", map[string]any{"UserName": "ana", "AccessKeyId": key}, state, "Active", "Inactive"},
		{"Access-DenyUser", "Access-AllowUser", map[string]any{"UserName": "ana"}, ofUser, "none", `"Effect":"Deny","Action":"*","Resource":"*"`},
		{
			"Access-RevokeRoleSessions", "Access-RestoreRoleSessions",
			map[string]any{"RoleName": "Deploy", "Before": "2026-02-14T02:19:40Z"},
			ofRole,
			"none", `"Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-02-14T02:19:40Z"}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			back := map[string]any{}
			for _, p := range docs[tt.back].Parameters {
				back[p.Name] = tt.params[p.Name]
			}
			if res, entries := w.run(automation.Observe, docs[tt.name], docs, tt.params); res.State != automation.Success || tt.of() != tt.well {
				t.Errorf("observe: %+v, %s: %s", res, steps(entries), tt.of())
			}
			for range 2 {
				if res, entries := w.run(automation.Auto, docs[tt.name], docs, tt.params); res.State != automation.Success || !strings.Contains(tt.of(), tt.done) {
					t.Errorf("auto: %+v, %s: %s", res, steps(entries), tt.of())
				}
			}
			if res, entries := w.run(automation.Auto, docs[tt.back], docs, back); res.State != automation.Success || tt.of() != tt.well {
				t.Errorf("back: %+v, %s: %s", res, steps(entries), tt.of())
			}
		})
	}
	// Whom there isn't, nothing is done to.
	if res, _ := w.run(automation.Auto, docs["Access-DenyUser"], docs, map[string]any{"UserName": "nobody"}); res.State != automation.Failed {
		t.Errorf("of nobody: %+v", res)
	}
}
