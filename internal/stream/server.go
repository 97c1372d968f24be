package stream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/prometheus/tsdb/fileutil"
)

// meta is what a folder was made with: the file meta.json in it.
type meta struct {
	Version    int `json:"version"`
	Partitions int `json:"partitions"`
}

// checkMeta reads the folder's meta file, or writes it where there is none, and settles the count of partitions.
func (s *Stream) checkMeta() error {
	name := filepath.Join(s.cfg.Dir, "meta.json")
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		s.cfg.Partitions = cmp.Or(s.cfg.Partitions, 64)
		if s.cfg.Partitions < 1 || s.cfg.Partitions > 1<<15 {
			return fmt.Errorf("%d partitions; 1 to %d are possible", s.cfg.Partitions, 1<<15)
		}
		text, err = json.Marshal(meta{Version: 1, Partitions: s.cfg.Partitions})
		if err != nil {
			return err
		}
		if err := os.WriteFile(name+".new", append(text, '\n'), 0o640); err != nil {
			return err
		}
		return fileutil.Replace(name+".new", name)
	}
	if err != nil {
		return err
	}
	var m meta
	if err := json.Unmarshal(text, &m); err != nil || m.Partitions < 1 {
		return fmt.Errorf("%s is damaged: %q", name, text)
	}
	if m.Version != 1 {
		return fmt.Errorf("%s: the folder is of version %d, known is 1", name, m.Version)
	}
	if s.cfg.Partitions != 0 && s.cfg.Partitions != m.Partitions {
		return fmt.Errorf("%s: the folder was made with %d partitions and can't have %d", name, m.Partitions, s.cfg.Partitions)
	}
	s.cfg.Partitions = m.Partitions
	return nil
}

// start runs the server and connects to it. On an error shutdown puts away what had been started.
func (s *Stream) start(ctx context.Context) error {
	if err := s.checkMeta(); err != nil {
		return err
	}
	s.open = make([]*gather, s.cfg.Partitions)
	srv, err := server.NewServer(&server.Options{
		ServerName:             "homeostat",
		DontListen:             true,
		NoSigs:                 true,
		JetStream:              true,
		DisableJetStreamBanner: true,
		StoreDir:               s.cfg.Dir,
		SyncInterval:           s.cfg.Sync,
		// The stream's own MaxBytes bounds what is stored. The server's bound stands above it: at that one it would give up.
		JetStreamMaxStore:  s.cfg.MaxBytes + 1<<30,
		JetStreamMaxMemory: 64 << 20,
		MaxPayload:         maxMessage + 64<<10,
		MaxPending:         64 << 20,
	})
	if err != nil {
		return fmt.Errorf("make the NATS server: %w", err)
	}
	s.server = srv
	srv.SetLoggerV2(natsLog{s.log}, false, false, false)
	srv.Start()
	wait := 30 * time.Second
	if dl, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(dl))
	}
	if !srv.ReadyForConnections(wait) || !srv.JetStreamEnabled() {
		return fmt.Errorf("the stream in %s didn't start within %s", s.cfg.Dir, wait)
	}
	s.conn, err = nats.Connect("", nats.InProcessServer(srv), nats.Name("homeostat"), nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond), nats.ReconnectBufSize(-1),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.log.Debug("nats", "err", err) }))
	if err != nil {
		return fmt.Errorf("connect to the stream: %w", err)
	}
	s.js, err = jetstream.New(s.conn, jetstream.WithPublishAsyncMaxPending(2*inFlight))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	st, err := s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:      streamName,
		Subjects:  []string{samplesSubject + "*", accessSubject + "*"},
		Retention: jetstream.LimitsPolicy,
		Discard:   jetstream.DiscardNew,
		MaxBytes:  s.cfg.MaxBytes,
		MaxMsgs:   -1,
		Storage:   jetstream.FileStorage,
		Replicas:  1,
		// Ids of messages are not used: a source repeats what it got no answer to, and readers take a repetition.
		Duplicates: 100 * time.Millisecond,
	})
	if err != nil {
		return fmt.Errorf("open the stream in %s: %w", s.cfg.Dir, err)
	}
	s.opened = st.CachedInfo().State.LastSeq
	s.last.Store(s.opened)
	s.tail.start(s.opened + 1)
	return s.checkDisk()
}

// shutdown ends what start began.
func (s *Stream) shutdown() error {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
	return s.lock.Release()
}

// natsLog hands the server's words to slog: its notices are the start's and stop's chatter, so they are debug.
type natsLog struct{ log *slog.Logger }

func (l natsLog) Noticef(f string, a ...any) { l.log.Debug("nats", "text", fmt.Sprintf(f, a...)) }
func (l natsLog) Warnf(f string, a ...any)   { l.log.Warn("nats", "text", fmt.Sprintf(f, a...)) }
func (l natsLog) Fatalf(f string, a ...any)  { l.log.Error("nats", "text", fmt.Sprintf(f, a...)) }
func (l natsLog) Errorf(f string, a ...any)  { l.log.Error("nats", "text", fmt.Sprintf(f, a...)) }
func (l natsLog) Debugf(f string, a ...any)  { l.log.Debug("nats", "text", fmt.Sprintf(f, a...)) }
func (l natsLog) Tracef(f string, a ...any)  { l.log.Debug("nats", "text", fmt.Sprintf(f, a...)) }
