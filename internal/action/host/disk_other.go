//go:build !linux

package host

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

var errLinux = errors.New("only on Linux")

type inode struct{ dev, ino uint64 }

type stat struct {
	id      inode
	dev     uint64
	size    int64
	taken   uint64
	touched time.Time
	uid     int
	links   uint64
	mode    fs.FileMode
}

type volumes struct{}

func thisMachine() volumes { return volumes{} }

func statOf(string) (stat, error)                                { return stat{}, errLinux }
func statOpen(*os.File) (stat, error)                            { return stat{}, errLinux }
func filesystem(string) (used, of uint64, err error)             { return 0, 0, errLinux }
func openFiles() (map[inode]bool, error)                         { return nil, errLinux }
func held(*os.File) bool                                         { return true }
func syncDisks()                                                 {}
func dataFrom(*os.File) int64                                    { return 0 }
func punch(*os.File, int64, int64) error                         { return errLinux }
func (volumes) growable(string) bool                             { return false }
func (volumes) grow(context.Context, string, bool) (Done, error) { return Done{}, errLinux }
