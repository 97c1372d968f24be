//go:build !linux

package host

import (
	"errors"
	"time"
)

// errNoProc says that this system's processes can't be told apart well enough to end one.
var errNoProc = errors.New("processes can be looked at on Linux only")

func processes() ([]Process, error) { return nil, errNoProc }

func processOf(int) (Process, error) { return Process{}, errNoProc }

func (p Process) exe() string { return "" }

func (p Process) command() string { return "" }

func (p Process) unit() string { return "" }

func (p Process) delay() time.Duration { return 0 }
