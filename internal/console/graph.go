package console

import (
	"fmt"
	"slices"

	"homeostat/internal/signal"
)

// graph is a runbook's steps as boxes in one column, in the document's order, and the ways between them as arrows: straight
// down to the next box, else in an arc on the right, or on the left where a failure or a cancel leads there.
type graph struct {
	Width, Height int
	Nodes         []graphNode
	Edges         []graphEdge
}

type graphNode struct {
	Name, Action string
	Changing     bool
	End          bool // not a step: where the execution ends

	X, Y, W, H, TX, TY, SY int // pixels; of the box, and of the two lines of text
}

type graphEdge struct {
	Kind         string // "", choice, failure or cancel
	Path         string
	Words, Short string
	X, Y         int // of the words
}

// Sizes in pixels.
const (
	boxWidth, boxHeight, boxGap = 260, 46, 30
	arcStep                     = 14 // between two arcs
	wordsWidth                  = 190
	mostArcs                    = 12 // beside one another; more share the outermost place
)

// drawGraph lays a runbook out. A runbook without ways (of plugins) has no graph.
func drawGraph(steps []signal.RunbookStep, ways []signal.RunbookWay) graph {
	if len(ways) == 0 {
		return graph{}
	}
	at := func(name string) int {
		if name == "" {
			return len(steps)
		}
		return slices.IndexFunc(steps, func(s signal.RunbookStep) bool { return s.Name == name })
	}
	var right, left int // arcs so far on each side
	side := func(n *int) int {
		*n++
		return min(*n, mostArcs) * arcStep
	}
	for _, w := range ways {
		if w.When == "failure" || w.When == "cancel" {
			left++
		}
	}
	margin := min(left, mostArcs)*arcStep + 8
	if left > 0 {
		margin += 60
	}
	left = 0
	g := graph{Width: margin + boxWidth + mostArcs*arcStep + wordsWidth, Height: (len(steps)+1)*(boxHeight+boxGap) + 8}
	top := func(i int) int { return 4 + i*(boxHeight+boxGap) }
	for i, s := range steps {
		g.Nodes = append(g.Nodes, graphNode{
			Name: clip(s.Name, 30), Action: s.Action, Changing: s.Effect == "changing",
			X: margin, Y: top(i), W: boxWidth, H: boxHeight, TX: margin + 12, TY: top(i) + 19, SY: top(i) + 36,
		})
	}
	end := len(steps)
	g.Nodes = append(g.Nodes, graphNode{Name: "end", End: true, X: margin, Y: top(end), W: 64, H: 28, TX: margin + 12, TY: top(end) + 19})
	for _, w := range ways {
		from, to := at(w.From), at(w.To)
		if from < 0 || to < 0 {
			continue
		}
		e := graphEdge{Words: w.When, Short: clip(w.When, 28)}
		y1, y2, mid := top(from)+boxHeight/2, top(to)+14, (top(from)+top(to))/2+boxHeight/2
		switch {
		case w.When == "failure" || w.When == "cancel":
			out := margin - side(&left)
			e.Kind, e.Path = w.When, fmt.Sprintf("M%d %d H%d V%d H%d", margin, y1+8, out, y2, margin-1)
			e.X, e.Y = max(out-56, 2), y1+4
		case to == from+1:
			e.Path = fmt.Sprintf("M%d %d V%d", margin+24, top(from)+boxHeight, top(to)-1)
			e.X, e.Y = margin+32, mid+4
		default:
			edge := margin + boxWidth
			if w.To == "" {
				edge = margin + 64
			}
			out := margin + boxWidth + side(&right)
			e.Path = fmt.Sprintf("M%d %d H%d V%d H%d", margin+boxWidth, y1, out, y2, edge+1)
			e.X, e.Y = out+4, y1-4
		}
		if e.Kind == "" && w.When != "" {
			e.Kind = "choice"
		}
		g.Edges = append(g.Edges, e)
	}
	return g
}

// clip shortens a text to n characters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}
