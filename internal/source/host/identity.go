package host

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/shirou/gopsutil/v4/host"

	"homeostat/internal/signal"
)

// Identity says which machine this is, by OpenTelemetry's resource attributes.
type Identity struct {
	ID   string // host.id, the same after a restart
	Name string // host.name
	OS   string // os.type
	Arch string // host.arch
}

// Entity is what the machine is called as an entity.
func (i Identity) Entity() signal.EntityID { return signal.EntityID("host:" + i.Name) }

// Identify finds out which machine this is. The id is the first that there is of: the configuration's, machine-id (of the
// host, where HOST_ETC says so), what the firmware or boot says, and last a hash of the name, so that it is never empty.
func Identify(c Config) (Identity, error) {
	i := Identity{ID: c.ID, Name: c.Name, OS: runtime.GOOS, Arch: runtime.GOARCH}
	if i.Name == "" {
		name, err := os.Hostname()
		if err != nil && i.ID == "" {
			return i, errors.New("this machine has no name: " + err.Error())
		}
		i.Name = name
	}
	if i.ID == "" {
		etc := os.Getenv("HOST_ETC")
		if etc == "" {
			etc = "/etc"
		}
		for _, f := range []string{filepath.Join(etc, "machine-id"), "/var/lib/dbus/machine-id"} {
			if text, err := os.ReadFile(f); err == nil {
				if id := strings.TrimSpace(string(text)); id != "" && id != "uninitialized" {
					i.ID = id
					break
				}
			}
		}
	}
	if i.ID == "" && runtime.GOOS != "linux" { // on Linux gopsutil would fall back to the boot's id, which changes
		if id, err := host.HostID(); err == nil {
			i.ID = strings.TrimSpace(id)
		}
	}
	if i.ID == "" {
		if i.Name == "" {
			return i, errors.New("this machine has neither a name nor an id")
		}
		_, i.ID, _ = strings.Cut(signal.MakeID("ho", i.Name), "-")
	}
	if i.Name == "" {
		i.Name = i.ID
	}
	return i, nil
}
