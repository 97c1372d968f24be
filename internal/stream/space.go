package stream

import (
	"fmt"
	"time"

	"github.com/shirou/gopsutil/v4/disk"
)

// diskFree returns the bytes that are free for us on the disk under dir.
func diskFree(dir string) (uint64, error) {
	u, err := disk.Usage(dir)
	if err != nil {
		return 0, err
	}
	return u.Free, nil
}

// watchDisk looks at the disk every quarter of a second, so that JetStream never meets a full one: it would switch itself off
// for good. The reserve covers what can be written between two looks.
func (s *Stream) watchDisk() {
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	quiet := 0
	for {
		select {
		case <-s.stop:
			return
		case <-tick.C:
		}
		// With nothing written by us, every fourth look is enough.
		if quiet++; s.spent.Swap(0) == 0 && quiet%4 != 0 {
			continue
		}
		if err := s.checkDisk(); err != nil {
			s.log.Warn("free space of the stream's disk is unknown", "err", err)
		}
	}
}

// checkDisk sets or clears the state of being full. It ends at a tenth more than the reserve, so as not to flutter.
func (s *Stream) checkDisk() error {
	if s.cfg.Reserve == 0 {
		return nil
	}
	free, err := s.cfg.Free(s.cfg.Dir)
	if err != nil {
		return err
	}
	s.metrics.free.Set(float64(free))
	reserve := uint64(s.cfg.Reserve)
	switch was := s.full.Load(); {
	case free < reserve:
		why := fmt.Sprintf("the disk is full: %d MB free under %s, %d MB are kept in reserve", free>>20, s.cfg.Dir, reserve>>20)
		s.full.Store(&why)
		if was == nil {
			s.log.Error("ingestion stops: the disk is full", "free", free, "reserve", reserve)
		}
	case was != nil && free >= reserve+reserve/10:
		s.full.Store(nil)
		s.log.Info("ingestion goes on: the disk has room again", "free", free)
	}
	return nil
}
