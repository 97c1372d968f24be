package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"homeostat/automation"
)

// Bounds of a script: what Systems Manager gives to one of its own, and no more.
const (
	scriptTime   = 10 * time.Minute
	scriptMemory = 512 << 20
	scriptFiles  = 64
	scriptAnswer = 100_000 // bytes of the handler's JSON
)

// driver calls the handler of aws:executeScript as Systems Manager does, under limits of its own process, and puts its answer
// into a file, so that what the script prints can't be taken for it. Its arguments are the limits.
const driver = `import importlib.util, json, resource, sys
memory, cpu, files, handler, answer = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_NOFILE, files),
                   (resource.RLIMIT_FSIZE, memory), (resource.RLIMIT_CORE, 0)):
    resource.setrlimit(what, (most, most))
event = json.load(sys.stdin)
spec = importlib.util.spec_from_file_location("script", "script.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)
result = getattr(script, handler)(event, {})
with open(answer, "w") as f:
    json.dump(result, f)
`

// scriptAble says why a script can't be run here.
func scriptAble(c automation.Call) error {
	if r := textOf(c.Inputs["Runtime"]); !strings.HasPrefix(r, "python3") && !strings.Contains(r, "{{") {
		return fmt.Errorf("aws:executeScript: of runtimes only python3 is here, not %q", r)
	}
	if c.Inputs["Attachment"] != nil {
		return errors.New("aws:executeScript: an attachment is not at hand here")
	}
	if _, err := exec.LookPath("python3"); err != nil {
		return errors.New("aws:executeScript: there is no python3 here")
	}
	return nil
}

func textOf(v any) string {
	s, _ := v.(string)
	return s
}

// script runs the handler of aws:executeScript in a process of its own: a folder that goes with it, a small environment without
// any credentials, limits of memory, processor time and files, and the step's time-out.
func (h *Hands) script(ctx context.Context, c automation.Call) (map[string]any, error) {
	if err := scriptAble(c); err != nil {
		return nil, err
	}
	event, err := json.Marshal(c.Inputs["InputPayload"])
	if err != nil {
		return nil, fmt.Errorf("InputPayload: %w", err)
	}
	if c.Inputs["InputPayload"] == nil {
		event = []byte("{}")
	}
	dir, err := os.MkdirTemp(h.cfg.Dir, "homeostat-script-*")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "script.py"), []byte(textOf(c.Inputs["Script"])), 0o600); err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(ctx, scriptTime)
	defer stop()
	answer := filepath.Join(dir, "answer.json")
	cmd := exec.CommandContext(ctx, "python3", "-I", "-c", driver,
		strconv.Itoa(scriptMemory), strconv.Itoa(int(scriptTime.Seconds())), strconv.Itoa(scriptFiles), textOf(c.Inputs["Handler"]), answer)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + dir, "TMPDIR=" + dir}
	cmd.Stdin = strings.NewReader(string(event))
	out, errs := &bounded{max: h.cfg.MaxOutput}, &bounded{max: h.cfg.MaxOutput}
	cmd.Stdout, cmd.Stderr = out, errs
	ownGroup(cmd)
	cmd.WaitDelay = h.cfg.StopGrace
	err = cmd.Run()
	if cmd.Process != nil {
		killGroup(cmd.Process.Pid) // what the script has left behind
	}
	response := map[string]any{"Output": out.String()}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return response, fmt.Errorf("the script ended with %w: %s", err, lastLine(errs.String()))
	}
	info, err := os.Stat(answer)
	if err != nil || info.Size() > scriptAnswer {
		return response, errors.Join(fmt.Errorf("the handler's answer is more than %d bytes, or none", scriptAnswer), err)
	}
	raw, err := os.ReadFile(answer)
	if err != nil {
		return response, err
	}
	var payload any
	if err := json.Unmarshal(raw, &payload); err != nil {
		return response, fmt.Errorf("the handler's answer: %w", err)
	}
	response["Payload"] = payload
	return response, nil
}
