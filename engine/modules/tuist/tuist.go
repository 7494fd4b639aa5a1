// Package tuist stands in for the terminal toolkit: the two types that the shell's completion names.
package tuist

type Completion struct {
	Label, Detail, Documentation, Kind, InsertText, DisplayLabel string
}

type CompletionResult struct {
	Items       []Completion
	ReplaceFrom int
}
