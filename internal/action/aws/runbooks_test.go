package aws

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"homeostat/automation"
	"homeostat/runbooks"
)

// builtin is the documents in the binary.
type builtin struct{ t *testing.T }

func (b builtin) Document(name, _ string) (*automation.Document, error) {
	text, err := runbooks.Files.ReadFile(name + ".yaml")
	if err != nil {
		return nil, automation.ErrNoDocument
	}
	return automation.Parse(name+".yaml", text)
}

// run runs a built-in runbook and returns what came of it.
func (w *world) run(name string, mode automation.Mode, given map[string]any) automation.Result {
	w.t.Helper()
	d, err := builtin{w.t}.Document(name, "")
	if err != nil {
		w.t.Fatal(err)
	}
	params, err := d.Bind(given)
	if err != nil {
		w.t.Fatal(err)
	}
	var j automation.MemoryJournal
	res, err := automation.Run(w.t.Context(), d, automation.Execution{ID: "ex-" + name, Parameters: params, Mode: mode, Began: time.Now()},
		automation.World{Hands: w.Hands, Journal: &j, Documents: builtin{w.t}})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range j.Entries() {
		w.t.Logf("%-12s %-9s %-8s would=%q error=%q", e.Path, e.Effect, e.State, e.Would, e.Error)
	}
	return res
}

// TestAccessRunbooksTakePowerAwayAndGiveItBack takes each of the answers to unusual access there and back, and says first what
// mode observe does: nothing.
func TestAccessRunbooksTakePowerAwayAndGiveItBack(t *testing.T) {
	w := newWorld(t)
	api := iam.NewFromConfig(w.Hands.sessions.Of("", ""))
	user, role := new("mallory"), new("deploy")
	if _, err := api.CreateUser(t.Context(), &iam.CreateUserInput{UserName: user, Path: new("/team/")}); err != nil {
		t.Fatal(err)
	}
	if _, err := api.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: user}); err != nil {
		t.Fatal(err)
	}
	made, err := api.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: user})
	if err != nil {
		t.Fatal(err)
	}
	key := *made.AccessKey.AccessKeyId
	_, err = api.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: role, AssumeRolePolicyDocument: new(`{"Version":"2012-10-17","Statement":[]}`)})
	if err != nil {
		t.Fatal(err)
	}
	status := func() string {
		out := w.api("iam", "ListAccessKeys", map[string]any{"UserName": *user})
		return w.pick(out, "$.AccessKeyMetadata[?(@.AccessKeyId == '"+key+"')].Status")
	}
	policies := func(operation, member, name string) string {
		return w.pick(w.api("iam", operation, map[string]any{member: name}), "$.PolicyNames.length()")
	}
	const before = "2026-02-14T02:19:40Z"
	for _, tt := range []struct {
		there, back string
		given       map[string]any
		state       func() string
		was, then   string
	}{
		{"Access-DeactivateKey", "Access-ReactivateKey", map[string]any{"UserName": *user, "AccessKeyId": key}, status, `["Active"]`, `["Inactive"]`},
		{"Access-DenyUser", "Access-AllowUser", map[string]any{"UserName": *user}, func() string { return policies("ListUserPolicies", "UserName", *user) }, "0", "1"},
		{"Access-RevokeRoleSessions", "Access-RestoreRoleSessions", map[string]any{"RoleName": *role, "Before": before}, func() string { return policies("ListRolePolicies", "RoleName", *role) }, "0", "1"},
	} {
		t.Run(tt.there, func(t *testing.T) {
			w := &world{w.Hands, t}
			step := func(name string, mode automation.Mode, want string) {
				t.Helper()
				given := map[string]any{}
				for k, v := range tt.given {
					if k != "Before" || name == tt.there {
						given[k] = v
					}
				}
				if res := w.run(name, mode, given); res.State != automation.Success {
					t.Fatalf("%s: %+v", name, res)
				}
				if got := tt.state(); got != want {
					t.Fatalf("%s in mode %v: %s, want %s", name, mode, got, want)
				}
			}
			step(tt.there, automation.Observe, tt.was)
			step(tt.there, automation.Auto, tt.then)
			step(tt.there, automation.Auto, tt.then) // a second time changes nothing more
			step(tt.back, automation.Auto, tt.was)
		})
	}
	d, err := builtin{t}.Document("Access-RevokeRoleSessions", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Bind(map[string]any{"RoleName": "r", "Before": `x"}}]}`}); err == nil {
		t.Error("a moment that is none is taken into a policy")
	}
}
