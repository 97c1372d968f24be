package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestDataDirHasOneOwner(t *testing.T) {
	dir := t.TempDir() + "/data"
	d, err := openDataDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openDataDir(dir); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(process %d)", os.Getpid())) {
		t.Errorf("the second owner: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d, err = openDataDir(dir)
	if err != nil {
		t.Fatalf("after the first let go: %v", err)
	}
	d.Close()
}

func TestDefaultDataDir(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "/state")
	if d, err := defaultDataDir(); err != nil || d != "/state/homeostat" {
		t.Errorf("%q, %v", d, err)
	}
	t.Setenv("XDG_STATE_HOME", "relative")
	t.Setenv("HOME", "/home/x")
	if d, err := defaultDataDir(); err != nil || d != "/home/x/.local/state/homeostat" {
		t.Errorf("%q, %v", d, err)
	}
}
