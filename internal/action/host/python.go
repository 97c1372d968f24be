package host

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

	scriptUnpacked = 64 << 20 // bytes of an attachment's files
)

// driver calls the handler of aws:executeScript as Systems Manager does, under limits of its own process, and puts its answer
// into a file, so that what the script prints can't be taken for it. Its arguments are the limits.
const driver = `import importlib, json, resource, sys
memory, cpu, files, handler, answer = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]
for what, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_CPU, cpu), (resource.RLIMIT_NOFILE, files),
                   (resource.RLIMIT_FSIZE, memory), (resource.RLIMIT_CORE, 0)):
    resource.setrlimit(what, (most, most))
event = json.load(sys.stdin)
sys.path.insert(0, ".")
module, _, function = handler.rpartition(".")
script = importlib.import_module(module or "script")
result = getattr(script, function)(event, {})
with open(answer, "w") as f:
    json.dump(result, f)
`

// scriptAble says why a script can't be run here.
func (h *Hands) scriptAble(c automation.Call) error {
	if r := textOf(c.Inputs["Runtime"]); !strings.HasPrefix(r, "python3") && !strings.Contains(r, "{{") {
		return fmt.Errorf("aws:executeScript: of runtimes only python3 is here, not %q", r)
	}
	if name := textOf(c.Inputs["Attachment"]); name != "" && !strings.Contains(name, "{{") {
		if _, err := h.attachment(c); err != nil {
			return fmt.Errorf("aws:executeScript: %w", err)
		}
	}
	if _, err := exec.LookPath("python3"); err != nil {
		return errors.New("aws:executeScript: there is no python3 here")
	}
	return nil
}

// attachment is the file with the script, as the document declares it.
func (h *Hands) attachment(c automation.Call) ([]byte, error) {
	if h.cfg.Attachment == nil {
		return nil, errors.New("attachments are not at hand here")
	}
	return h.cfg.Attachment(c.Document, c.Version, textOf(c.Inputs["Attachment"]))
}

// lay puts the script into a folder: its text, or its attachment, unpacked where it is an archive.
func (h *Hands) lay(c automation.Call, dir string) error {
	name := textOf(c.Inputs["Attachment"])
	if name == "" {
		return os.WriteFile(filepath.Join(dir, "script.py"), []byte(textOf(c.Inputs["Script"])), 0o600)
	}
	text, err := h.attachment(c)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir) // no name leads out of it
	if err != nil {
		return err
	}
	defer root.Close()
	if !strings.HasSuffix(name, ".zip") {
		return root.WriteFile(filepath.Base(name), text, 0o600)
	}
	archive, err := zip.NewReader(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		return fmt.Errorf("attachment %s: %w", name, err)
	}
	left := int64(scriptUnpacked)
	for _, f := range archive.File {
		if f.FileInfo().IsDir() {
			continue
		}
		if err := unpack(root, f, &left); err != nil {
			return fmt.Errorf("attachment %s: %s: %w", name, f.Name, err)
		}
	}
	return nil
}

// unpack writes one file of an archive, and takes its bytes from what may still be unpacked.
func unpack(root *os.Root, f *zip.File, left *int64) error {
	from, err := f.Open()
	if err != nil {
		return err
	}
	defer from.Close()
	if err := root.MkdirAll(filepath.Dir(filepath.FromSlash(f.Name)), 0o700); err != nil {
		return err
	}
	to, err := root.OpenFile(filepath.FromSlash(f.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	n, err := io.Copy(to, io.LimitReader(from, *left+1))
	if *left -= n; err == nil && *left < 0 {
		err = fmt.Errorf("all files together are more than %d bytes", scriptUnpacked)
	}
	return errors.Join(err, to.Close())
}

func textOf(v any) string {
	s, _ := v.(string)
	return s
}

// script runs the handler of aws:executeScript in a process of its own: a folder that goes with it, a small environment without
// any credentials, limits of memory, processor time and files, and the step's time-out.
func (h *Hands) script(ctx context.Context, c automation.Call) (map[string]any, error) {
	if err := h.scriptAble(c); err != nil {
		return nil, err
	}
	event, err := json.Marshal(c.Inputs["InputPayload"])
	if err != nil {
		return nil, fmt.Errorf("InputPayload: %w", err)
	}
	if c.Inputs["InputPayload"] == nil {
		event = []byte("{}")
	}
	folder, err := h.newFolder()
	if err != nil {
		return nil, err
	}
	defer folder.remove()
	dir := folder.path
	if err := h.lay(c, dir); err != nil {
		return nil, err
	}
	ctx, stop := context.WithTimeout(ctx, scriptTime)
	defer stop()
	answer := filepath.Join(dir, "answer.json")
	cmd := exec.CommandContext(ctx, "python3", "-I", "-c", driver,
		strconv.Itoa(scriptMemory), strconv.Itoa(int(scriptTime.Seconds())), strconv.Itoa(scriptFiles), textOf(c.Inputs["Handler"]), answer)
	cmd.Dir = dir
	folder.hold(cmd)
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
		err = fmt.Errorf("the script ended with %w", err)
		if last := lastLine(errs.String()); last != "" {
			err = fmt.Errorf("%s (%w)", last, err)
		}
		return response, err
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
