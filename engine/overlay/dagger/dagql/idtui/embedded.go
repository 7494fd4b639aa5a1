package idtui

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/charmbracelet/bubbles/key"
	"github.com/dagger/dagger/dagql/dagui"
	"github.com/muesli/termenv"
	"golang.org/x/term"
)

// This build has the line-by-line front ends only. This file gives them what they took from the full-screen one.

var (
	ErrShellExited = errors.New("shell exited")
	ErrInterrupted = errors.New("interrupted")
)

// TermOutput is what the renderers write to: a writer that can style text.
type TermOutput interface {
	io.Writer
	String(...string) termenv.Style
	ColorProfile() termenv.Profile
}

func NewPretty(w io.Writer) Frontend   { return NewPlain(w) }
func NewReporter(w io.Writer) Frontend { return NewPlain(w) }
func NewDots(w io.Writer) Frontend     { return NewLogs(w) }

func KeyEnabled(enabled bool) key.BindingOpt {
	return func(b *key.Binding) { b.SetEnabled(enabled) }
}

func traceMessage(_ termenv.Profile, url string, _ string) string {
	return "Full trace at " + url
}

func handleTelemetryErrorOutput(w io.Writer, _ TermOutput, err error) {
	if err != nil {
		fmt.Fprintf(w, "WARN: progress may be incomplete: %v\n", err)
	}
}

// Vterm keeps a step's whole output.
type Vterm struct{ bytes.Buffer }

func NewVterm(termenv.Profile) *Vterm { return &Vterm{} }

func (v *Vterm) WriteMarkdown(p []byte) (int, error) { return v.Write(p) }

// TestView is the summary at the end of a run, where this build shows the whole output of what failed.
type TestView struct {
	Profile         termenv.Profile
	Logs            map[dagui.SpanID]*Vterm
	SummaryLogLines int
}

func finalTestViewHeight(*TestView) int { return 0 }

func (*TestView) renderTestSummaryLines(TermOutput, *dagui.TestView, int, int) []string { return nil }

// lendTerminal stops the progress output while cmd has the terminal to itself.
func (fe *frontendPlain) lendTerminal(cmd ExecCommand, raw bool) error {
	fe.render()
	fe.ticker.Stop()
	defer fe.ticker.Reset(50 * time.Millisecond)
	cmd.SetStdin(os.Stdin)
	cmd.SetStdout(os.Stdout)
	cmd.SetStderr(os.Stderr)
	if fd := int(os.Stdin.Fd()); raw && term.IsTerminal(fd) {
		state, err := term.MakeRaw(fd)
		if err != nil {
			return err
		}
		defer term.Restore(fd, state)
	}
	return cmd.Run()
}
