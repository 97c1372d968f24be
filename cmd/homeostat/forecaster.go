package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"homeostat/deepar"
	"homeostat/forecast"
)

// forecaster makes the forecasts of one call.
type forecaster struct {
	freq      deepar.Freq
	horizon   int
	seed      uint64
	train     []deepar.Series // what is learned from
	histories []deepar.Series // what is forecast
	progress  *progress
	training  time.Duration
}

// forecast returns a forecast for each history, and the sentence that says where it came from.
func (m *forecaster) forecast(ctx context.Context, model string) ([]*forecast.Forecast, []string, error) {
	c := deepar.Config{Freq: m.freq, PredictionLength: m.horizon, Epochs: 1}
	if err := deepar.CheckSeries(m.train, c); err != nil {
		return nil, nil, &exitError{2, err} // whichever the model: a mistake is told, not forecast around
	}
	if err := deepar.CheckHistories(m.train, m.histories, c); err != nil {
		return nil, nil, &exitError{2, err}
	}
	began := time.Now()
	windows := m.windows()
	var cands []forecast.Candidate
	note := ""
	switch model {
	case "theta", "ets", "snaive":
		cands = []forecast.Candidate{m.local(model, m.model(model))}
	case "deepar":
		d, err := m.trainDeep(ctx, windows)
		if err != nil {
			return nil, nil, err
		}
		cands = []forecast.Candidate{d.candidate(ctx)}
	case "auto":
		cands = m.candidates()
		if _, err := m.enough(windows); err != nil {
			note = "; deepar not tried: " + err.Error()
			break
		}
		d, err := m.trainDeep(ctx, windows)
		switch {
		case errors.Is(err, deepar.ErrDiverged):
			note = "; deepar left out: " + err.Error()
		case err != nil:
			return nil, nil, err
		default:
			cands = append(cands, d.candidate(ctx))
		}
	default:
		return nil, nil, &exitError{2, fmt.Errorf("--model %s: want auto, deepar, theta, ets or snaive", model)}
	}
	targets := make([][]float64, len(m.histories))
	for i, s := range m.histories {
		targets[i] = s.Target
	}
	choices, err := forecast.Choose(ctx, cands, targets, m.horizon, forecastLevels, forecast.ChooseConfig{Windows: windows})
	if err != nil {
		return nil, nil, m.named(err)
	}
	out := make([]*forecast.Forecast, len(m.histories))
	reasons := make([]string, len(m.histories))
	for i, c := range choices {
		out[i], reasons[i] = c.Forecast, c.Reason+note
	}
	m.training = time.Since(began)
	return out, reasons, nil
}

// named names the series of an error by where it was read.
func (m *forecaster) named(err error) error {
	if e, ok := errors.AsType[*forecast.SeriesError](err); ok {
		return &exitError{1, fmt.Errorf("%s: %w", m.histories[e.Series].Place, e.Err)}
	}
	return err
}

// local is the candidate that forecasts each history by itself.
func (m *forecaster) local(name string, model forecast.Model) forecast.Candidate {
	return forecast.Candidate{Name: name, Forecast: func(i, n int) (*forecast.Forecast, error) {
		return model.Forecast(m.histories[i].Target[:n], m.horizon, forecastLevels)
	}}
}

// model is the local model of a name, with the usual season of the frequency.
func (m *forecaster) model(name string) forecast.Model {
	season := firstOr(m.freq.Seasons(), 1)
	switch name {
	case "theta":
		return forecast.Theta{Season: season}
	case "ets":
		return forecast.ETS{Season: season}
	}
	return forecast.SeasonalNaive{Season: season}
}

// longestTheta bounds the season of a theta: its test costs the season times the values.
const longestTheta = 2048

// candidates are what auto chooses from: theta and the seasonal naive with each season that the frequency may have, and the last
// value as it is.
func (m *forecaster) candidates() []forecast.Candidate {
	seasons := m.freq.Seasons()
	cands := []forecast.Candidate{m.local("theta", m.model("theta")), m.local("snaive", m.model("snaive"))}
	for _, s := range seasons[min(1, len(seasons)):] {
		cands = append(cands, m.local(fmt.Sprintf("snaive(%d)", s), forecast.SeasonalNaive{Season: s}))
		if s <= longestTheta {
			cands = append(cands, m.local(fmt.Sprintf("theta(%d)", s), forecast.Theta{Season: s}))
		}
	}
	if len(seasons) > 0 {
		cands = append(cands, m.local("naive", forecast.SeasonalNaive{}))
	}
	return cands
}

// windows is how many ends are held out to judge the candidates: more where the series are long, and where they are few.
func (m *forecaster) windows() int {
	most := min(max(heldOutForecasts/len(m.histories), 2), 10)
	return min(max(m.shortest()/(5*m.horizon), 1), most)
}

// heldOutForecasts is about how many forecasts of held-out ends are worth their time.
const heldOutForecasts = 1200

// shortest is how many values the shortest history has.
func (m *forecaster) shortest() int {
	n := len(m.histories[0].Target)
	for _, s := range m.histories {
		n = min(n, len(s.Target))
	}
	return n
}
