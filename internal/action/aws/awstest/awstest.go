// Package awstest gives tests an AWS to talk to, on loopback: an emulator (moto) for what it really does, and a [Fake] that
// checks requests against the published models of the services' APIs for what no emulator does.
//
// Both need .venv, which make test sets up (deploy/test-needs.sh).
package awstest

import (
	"bufio"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

//go:embed emulator.py
var emulator string

// Root is the module's folder.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working folder")
		}
		dir = parent
	}
}

func venv() (string, error) {
	root, err := Root()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, ".venv")
	if _, err := os.Stat(filepath.Join(dir, "installed.txt")); err != nil {
		return "", fmt.Errorf("%w: run deploy/test-needs.sh, as make test does", err)
	}
	return dir, nil
}

// Run starts an emulator and returns its address, and what ends it. It ends with the process too, however that ends. The
// environment gets credentials that mean nothing, so that no real ones are looked for: Run is for TestMain.
func Run() (url string, stop func(), err error) {
	dir, err := venv()
	if err != nil {
		return "", nil, err
	}
	for k, v := range credentials {
		if err := os.Setenv(k, v); err != nil {
			return "", nil, err
		}
	}
	cmd := exec.Command(filepath.Join(dir, "bin", "python"), "-c", emulator)
	cmd.Stderr = os.Stderr
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_PROFILE=") })
	life, err := cmd.StdinPipe() // its end is the emulator's
	if err != nil {
		return "", nil, err
	}
	says, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := cmd.Start(); err != nil {
		return "", nil, err
	}
	stop = func() {
		_ = life.Close()
		_ = cmd.Wait()
	}
	port, err := bufio.NewReader(says).ReadString('\n')
	if err != nil {
		stop()
		return "", nil, fmt.Errorf("the emulator has not begun: %w", err)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port), stop, nil
}

// Credentials gives a test credentials that mean nothing, as Run does for all of a package's.
func Credentials(tb testing.TB) {
	tb.Helper()
	for k, v := range credentials {
		tb.Setenv(k, v)
	}
}

// credentials mean nothing, and keep the SDK from looking for others.
var credentials = map[string]string{
	"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
	"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
}
