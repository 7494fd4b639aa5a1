// Package midterm stands in for the terminal emulator: the one value that core's log scrubber names.
package midterm

type format struct{}

// Reset is the sequence that ends all formatting.
var Reset format

func (format) Render() string { return "\x1b[0m" }
