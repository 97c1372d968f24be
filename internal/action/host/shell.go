package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"homeostat/automation"
)

// run writes the script into a folder of its own and runs it to its end. The response is there whenever the script began.
func (h *Hands) run(ctx context.Context, c automation.Call, script string) (map[string]any, error) {
	folder, err := h.newFolder()
	if err != nil {
		return nil, err
	}
	defer folder.remove()
	dir := folder.path
	file := filepath.Join(dir, "_script.sh")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return nil, err
	}
	argv := append(interpreter(script), file)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	folder.hold(cmd)
	if wd, ok := c.Inputs["workingDirectory"].(string); ok && wd != "" {
		cmd.Dir = wd
	}
	cmd.Env = h.environment(c, dir)
	out, errs := &bounded{max: h.cfg.MaxOutput}, &bounded{max: h.cfg.MaxOutput}
	cmd.Stdout, cmd.Stderr = out, errs
	ownGroup(cmd)
	cmd.WaitDelay = h.cfg.StopGrace
	err = cmd.Run()
	if cmd.Process == nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	if ctx.Err() != nil {
		killGroup(cmd.Process.Pid) // what the script has left behind
	} else if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // it ended well; something it started keeps its output open, which is the script's business
	}
	code := cmd.ProcessState.ExitCode() // -1 when a signal ended it
	response := map[string]any{"Output": out.String(), "StandardError": errs.String(), "ResponseCode": int64(code), "Status": "Success"}
	switch {
	case ctx.Err() != nil:
		response["Status"] = "TimedOut"
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			response["Status"] = "Cancelled"
		}
		return response, fmt.Errorf("the script was stopped: %w", context.Cause(ctx))
	case err != nil:
		response["Status"] = "Failed"
		if _, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("the script ended with %v", cmd.ProcessState)
		}
		// What the script says comes first: this sentence is what people are woken with. Our own verbs begin theirs with the
		// program's name.
		if last := strings.TrimPrefix(lastLine(errs.String()), "homeostat: "); last != "" {
			err = fmt.Errorf("%s (%w)", last, err)
		}
		return response, err
	}
	return response, nil
}

// interpreter is what runs a script: what its first line names, as the kernel reads it, with the rest of the line as one argument;
// else the shell. The kernel isn't asked, as it refuses to on a file system that is mounted noexec.
func interpreter(script string) []string {
	line, _, _ := strings.Cut(script, "\n")
	named, ok := strings.CutPrefix(line, "#!")
	const blank = " \t\r"
	named = strings.Trim(named, blank)
	if !ok || named == "" {
		return []string{"/bin/sh"}
	}
	end := strings.IndexAny(named, blank)
	if end < 0 {
		return []string{named}
	}
	return []string{named[:end], strings.Trim(named[end:], blank)}
}

// environment is all that a script gets to see of ours.
func (h *Hands) environment(c automation.Call, dir string) []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + os.Getenv("HOME"),
		"LANG=C.UTF-8",
		"TMPDIR=" + dir,
		"HOMEOSTAT_BIN=" + h.cfg.Bin,
		"HOMEOSTAT_PROTECT=" + strings.Join(h.cfg.Protect, "\n"),
		"HOMEOSTAT_EXECUTION=" + c.Execution,
		"HOMEOSTAT_STEP=" + c.Step,
		"HOMEOSTAT_TOKEN=" + c.Token, // the same at each attempt, for scripts that want to notice a second time
	}
	if h.cfg.Growth != nil {
		if text, err := json.Marshal(h.cfg.Growth()); err == nil {
			env = append(env, "HOMEOSTAT_GROWTH="+string(text))
		}
	}
	for name, value := range c.Environment {
		if strings.HasPrefix(name, "SSM_") && !strings.ContainsAny(name+value, "\x00") {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// bounded keeps the first max bytes and counts the rest.
type bounded struct {
	max  int
	text []byte
	cut  int
}

func (b *bounded) Write(p []byte) (int, error) {
	n := min(len(p), b.max-len(b.text))
	b.text = append(b.text, p[:n]...)
	b.cut += len(p) - n
	return len(p), nil
}

func (b *bounded) String() string {
	s := strings.ToValidUTF8(string(b.text), "\uFFFD")
	if b.cut > 0 {
		s += fmt.Sprintf("\n--- %d bytes more ---", b.cut)
	}
	return s
}

// lastLine returns the last line of a text that isn't empty, at most 300 bytes of it.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	s = s[strings.LastIndexByte(s, '\n')+1:]
	return strings.ToValidUTF8(s[:min(len(s), 300)], "")
}

// killGroup ends whatever is left of a process group. An error means that nothing is.
func killGroup(pgid int) { _ = syscall.Kill(-pgid, syscall.SIGKILL) }

// ownGroup gives the command a process group of its own, which hears TERM as one when the context ends.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
}
