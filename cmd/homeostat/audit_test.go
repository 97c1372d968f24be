package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestAuditVerifyTellsADamagedLogFromNone(t *testing.T) {
	for name, test := range map[string]struct {
		text string
		want int
	}{"damaged": {"hello, this is no database", 1}, "none": {"", 2}} {
		dir := t.TempDir()
		if test.text != "" {
			if err := os.WriteFile(filepath.Join(dir, "homeostat.db"), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		cmd := auditVerify()
		cmd.SetArgs([]string{"--data", dir})
		err := cmd.ExecuteContext(t.Context())
		if e, ok := errors.AsType[*exitError](err); !ok || e.Code != test.want {
			t.Errorf("%s: %v, want status %d", name, err, test.want)
		}
	}
}
