package console

import (
	"context"
	"net/http"
	"time"
)

// healthView is how the loop itself is doing.
type healthView struct {
	Stages   []stageRow
	Ill      int // stages that don't work
	Says     int // those that work, and have something to say
	Learning []learningRow
	Began    time.Time
	Version  string
	Mode     string
}

func (healthView) title() string { return "Health" }

func (c *Console) health(ctx context.Context, _ *http.Request) (titled, error) {
	v := healthView{Stages: c.stageRows(), Learning: c.learningRows(""), Began: c.loop.Began, Version: c.loop.Version, Mode: c.switchView(ctx).Mode}
	for _, s := range v.Stages {
		switch {
		case !s.Ready:
			v.Ill++
		case s.Says:
			v.Says++
		}
	}
	return v, nil
}
