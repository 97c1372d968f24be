package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"homeostat/eventpattern"
	"homeostat/internal/action/aws"
	"homeostat/internal/api"
	"homeostat/internal/bus"
	"homeostat/internal/config"
	"homeostat/internal/detect"
	"homeostat/internal/history"
	"homeostat/internal/incident"
	"homeostat/internal/notify"
	"homeostat/internal/runbook"
	"homeostat/internal/signal"
	"homeostat/internal/source/cloudtrail"
	"homeostat/internal/source/host"
	"homeostat/internal/source/otlp"
	"homeostat/internal/source/remotewrite"
	"homeostat/routes"
	"homeostat/rules"
	"homeostat/runbooks"
)

// Config is the configuration file. Each stage's part is documented where the stage is.
type Config struct {
	// The highest mode that any route may use: observe (say what would be done), approve (ask a person), auto (do it).
	Mode signal.Mode `yaml:"mode"`
	// Where the data lies, and how long it is kept.
	Data DataConfig `yaml:"data"`
	// The server: where it listens, and who may use it.
	api.Config `yaml:",inline"`
	// What flows in.
	Sources SourcesConfig `yaml:"sources"`
	// The durable log of samples inside the process.
	Stream StreamConfig `yaml:"stream"`
	// What learns, over which series. One over every host's cpu, memory, network and disk when there is no list.
	Detectors []detect.Config `yaml:"detectors"`
	// Prometheus rule files, besides the built-in ones; * and ? as in file names.
	Rules []string `yaml:"rules"`
	// Time between two evaluations of rules whose group doesn't say.
	RulesInterval time.Duration `yaml:"rules_interval"`
	// Whether the built-in rules and routes are used.
	Builtin bool `yaml:"builtin"`
	// Event patterns and what they start, besides the built-in ones; one of the same name takes a built-in one's place.
	Routes []bus.Route `yaml:"routes"`
	// SSM documents.
	Runbooks RunbooksConfig `yaml:"runbooks"`
	// AWS, as far as runbooks act on it; nothing of it is called without a region.
	AWS aws.Config `yaml:"aws"`
	// What must hold before a step that changes something may run.
	Guards signal.Guards `yaml:"guards"`
	// When an incident resolves by itself.
	Incidents incident.Config `yaml:"incidents"`
	// Names and shoutrrr URLs of who is told; routes name them.
	Notify map[string]string `yaml:"notify"`
	// Address under which people reach the console, for the links in notifications; http:// and listen when empty.
	BaseURL string `yaml:"base_url"`
}

// DataConfig says where the data lies.
type DataConfig struct {
	// The data folder; $XDG_STATE_HOME/homeostat when empty. --data wins.
	Dir string `yaml:"dir"`
	// How long samples, events, incidents and executions are kept.
	Keep time.Duration `yaml:"keep"`
}

// SourcesConfig says what flows in.
type SourcesConfig struct {
	// This machine.
	Host host.Config `yaml:"host"`
	// Prometheus remote write at /api/v1/write.
	RemoteWrite remotewrite.Config `yaml:"remotewrite"`
	// OpenTelemetry metrics over HTTP at /v1/metrics.
	OTLP otlp.Config `yaml:"otlp"`
	// CloudTrail's log files, for unusual access.
	CloudTrail cloudtrail.Config `yaml:"cloudtrail"`
}

// StreamConfig bounds the stream.
type StreamConfig struct {
	// What a power cut may cost at most; a kill costs nothing.
	Sync time.Duration `yaml:"sync"`
	// Bytes that are stored at most; full, it refuses the new and keeps the old.
	MaxBytes int64 `yaml:"max_bytes"`
	// Bytes of the disk that are left free; below, ingestion stops until there is room again.
	Reserve int64 `yaml:"reserve"`
}

// RunbooksConfig says which documents there are besides the built-in ones.
type RunbooksConfig struct {
	// Folders of SSM documents, *.yaml, *.yml and *.json. A name that two of them have, or that is built in, is a mistake.
	Dirs []string `yaml:"dirs"`
	// Names of processes that are never ended; * and ? as in file names.
	Protect []string `yaml:"protect"`
	// Names and addresses of the webhooks that documents may invoke (aws:invokeWebhook); what is sent is JSON by POST.
	Webhooks map[string]string `yaml:"webhooks"`
	// How long a person may take to approve.
	ApprovalExpiry time.Duration `yaml:"approval_expiry"`
	// How long the condition may take to go, after a runbook, before verify fails.
	VerifyTimeout time.Duration `yaml:"verify_timeout"`
	// How long the condition must stay away before verify passes.
	VerifySettle time.Duration `yaml:"verify_settle"`
}

// defaultConfig is what holds where the file says nothing.
func defaultConfig() Config {
	return Config{
		Mode:          signal.Observe,
		Data:          DataConfig{Keep: 30 * 24 * time.Hour},
		Config:        api.Config{Listen: api.DefaultListen},
		Sources:       SourcesConfig{Host: host.Config{Interval: host.DefaultInterval}, CloudTrail: cloudtrail.Config{Interval: cloudtrail.DefaultInterval}},
		Stream:        StreamConfig{Sync: time.Second, MaxBytes: 2 << 30, Reserve: 256 << 20},
		RulesInterval: 15 * time.Second,
		Builtin:       true,
		Runbooks:      RunbooksConfig{ApprovalExpiry: time.Hour, VerifyTimeout: 5 * time.Minute, VerifySettle: 15 * time.Second},
		Guards:        runbook.DefaultGuards(),
		Incidents:     incident.Config{Quiet: 5 * time.Minute},
	}
}

// parts is what the configuration names and the stages are handed: read, parsed and checked.
type parts struct {
	rules   []history.RuleFile
	routes  []bus.Route
	catalog *runbook.Catalog
}

// loadConfig reads a configuration, the empty name being none, and checks all that can be checked without running. All
// mistakes come at once, each with its place.
func loadConfig(name string) (Config, *parts, error) {
	c := defaultConfig()
	file := &config.File{}
	var mistakes error // of kind; what the rest means is looked at all the same
	if name != "" {
		if file, mistakes = config.Read(name, &c); file == nil {
			return c, nil, mistakes
		}
	}
	p, err := c.check(file)
	errs := append(flatten(mistakes), flatten(err)...)
	slices.SortStableFunc(errs, byPlace)
	return c, p, errors.Join(errs...)
}

// check looks at what the kinds of the values alone don't hold.
func (c *Config) check(f *config.File) (*parts, error) {
	var errs []error
	fail := func(path, format string, args ...any) {
		if !f.Wrong(path) {
			errs = append(errs, f.Errorf(path, format, args...))
		}
	}
	positive := func(path string, d, least time.Duration) {
		if d < least {
			fail(path, "want at least %v, not %v", least, d)
		}
	}
	if signal.Least(c.Mode, signal.Auto) != c.Mode {
		fail("mode", "want observe, approve or auto, not %q", c.Mode)
	}
	positive("data.keep", c.Data.Keep, time.Hour)
	positive("stream.sync", c.Stream.Sync, 10*time.Millisecond)
	positive("rules_interval", c.RulesInterval, 100*time.Millisecond)
	positive("incidents.quiet", c.Incidents.Quiet, 0)
	positive("runbooks.verify_timeout", c.Runbooks.VerifyTimeout, time.Second)
	if c.Stream.MaxBytes < 16<<20 {
		fail("stream.max_bytes", "want at least %d (16 MiB), not %d", 16<<20, c.Stream.MaxBytes)
	}
	checkGuards("guards", signal.Guards{}, c.Guards, fail)
	if c.Sources.Host.Interval != 0 {
		positive("sources.host.interval", c.Sources.Host.Interval, 100*time.Millisecond)
	}
	if c.Sources.CloudTrail.Interval != 0 {
		positive("sources.cloudtrail.interval", c.Sources.CloudTrail.Interval, time.Second)
	}
	if c.Sources.CloudTrail.Dir != "" && c.Sources.CloudTrail.Bucket != "" {
		fail("sources.cloudtrail.bucket", "dir and bucket: want one of them")
	}
	if c.Sources.CloudTrail.Bucket != "" && c.Sources.CloudTrail.Region == "" && c.AWS.Region == "" {
		fail("sources.cloudtrail.bucket", "a bucket needs its region, here or in aws.region")
	}
	for _, err := range split(c.Config.Check()) {
		path, msg, ok := strings.Cut(err.Error(), ": ")
		if !ok {
			path, msg = "", err.Error()
		}
		fail(path, "%s", msg)
	}
	for _, m := range detect.Check(c.Detectors) {
		fail("detectors"+m.Path, "%w", m.Err)
	}
	for _, n := range slices.Sorted(maps.Keys(c.Notify)) {
		if err := notify.Check(c.Notify[n]); err != nil {
			fail("notify."+n, "%w", err)
		}
	}
	for _, err := range c.AWS.Check() {
		path, msg, _ := strings.Cut(err.Error(), ": ")
		fail("aws."+path, "%s", msg)
	}
	for _, n := range slices.Sorted(maps.Keys(c.Runbooks.Webhooks)) {
		if u, err := url.Parse(c.Runbooks.Webhooks[n]); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			fail("runbooks.webhooks."+n, "want an address that begins with https://")
		}
	}
	for i, t := range c.Tokens {
		for _, n := range t.Notify {
			if _, ok := c.Notify[n]; !ok {
				fail(fmt.Sprintf("tokens[%d].notify", i), "notify has no target %q", n)
			}
		}
	}
	p := c.load(fail)
	slices.SortStableFunc(errs, byPlace)
	return p, errors.Join(errs...)
}

// checkGuards reports what is wrong with guards, each at its key.
func checkGuards(path string, everywhere, own signal.Guards, fail func(path, format string, args ...any)) {
	for _, err := range split(runbook.CheckGuards(everywhere, own)) {
		key, what, _ := strings.Cut(err.Error(), ": ")
		fail(path+"."+key, "%s", what)
	}
}

// byPlace orders mistakes as a reader of the file meets them.
func byPlace(a, b error) int {
	pa, oka := errors.AsType[*config.PlaceError](a)
	pb, okb := errors.AsType[*config.PlaceError](b)
	if !oka || !okb {
		return 0
	}
	return cmp.Or(cmp.Compare(pa.Pos.Line, pb.Pos.Line), cmp.Compare(pa.Pos.Column, pb.Pos.Column))
}

// load reads the texts that the configuration names.
func (c *Config) load(fail func(path, format string, args ...any)) *parts {
	p := &parts{}
	if c.Builtin {
		builtin, err := builtinRules()
		if err != nil {
			fail("", "%w", err)
		}
		p.rules = builtin
		if p.routes, err = bus.ReadRoutes(routes.Files); err != nil {
			fail("", "%w", err)
		}
	}
	own, err := history.ReadRuleFiles(c.Rules)
	if err != nil {
		fail("rules", "%w", err)
	}
	p.rules = append(p.rules, own...)
	if err := history.CheckRules(p.rules); err != nil {
		fail("rules", "%w", err)
	}
	if p.catalog, err = runbook.LoadCatalog(runbooks.Files, c.Runbooks.Dirs); err != nil {
		fail("runbooks.dirs", "%w", err)
	}
	for i, r := range c.Routes {
		path := fmt.Sprintf("routes[%d]", i)
		if err := r.Check(); err != nil {
			for _, e := range flatten(err) {
				if pe, ok := errors.AsType[*eventpattern.PlaceError](e); ok {
					// The field that it names is a key of the file; the place within the pattern's own text is of no use.
					field, what, named := strings.Cut(pe.Err.Error(), ": ")
					if named {
						fail(path+".pattern."+field, "%s", what)
					} else {
						fail(path+".pattern", "%w", pe.Err)
					}
					continue
				}
				fail(path, "%w", e)
			}
		}
		for j, t := range r.Targets {
			at := fmt.Sprintf("%s.targets[%d]", path, j)
			if t.Runbook != "" && p.catalog != nil {
				if _, err := p.catalog.Document(t.Runbook, ""); err != nil {
					fail(at+".runbook", "%w%s", err, config.Nearest(t.Runbook, p.catalog.Names()))
				}
			}
			if runbook.CheckGuards(signal.Guards{}, c.Guards) == nil { // what is wrong there is said there
				checkGuards(at+".guards", c.Guards, t.Guards, fail)
			}
			if _, ok := c.Notify[t.Notify]; t.Notify != "" && t.Notify != "*" && !ok {
				fail(at+".notify", "notify has no target %q%s", t.Notify, config.Nearest(t.Notify, slices.Collect(maps.Keys(c.Notify))))
			}
		}
	}
	p.routes = bus.Merge(p.routes, c.Routes)
	return p
}

// builtinRules returns the rule files in the binary.
func builtinRules() ([]history.RuleFile, error) {
	entries, err := rules.Files.ReadDir(".")
	if err != nil {
		return nil, err
	}
	var out []history.RuleFile
	for _, e := range entries {
		text, err := rules.Files.ReadFile(e.Name())
		if err != nil {
			return nil, err
		}
		out = append(out, history.RuleFile{Name: "built-in " + e.Name(), Text: text})
	}
	return out, nil
}

// split takes a join of errors apart.
func split(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		return j.Unwrap()
	}
	return []error{err}
}

// linksTo is whom each notify target reaches alone, by the token's name.
func (c *Config) linksTo() map[string]string {
	out := map[string]string{}
	for _, t := range c.Tokens {
		for _, n := range t.Notify {
			out[n] = t.Name
		}
	}
	return out
}
