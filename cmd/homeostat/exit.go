package main

// exitError ends the command with this exit status: 1 when it found something wrong with what it was asked to check, 2 for a
// mistake in usage or configuration. Any other error is a 1.
type exitError struct {
	Code int
	Err  error
}

func (e *exitError) Error() string { return e.Err.Error() }

func (e *exitError) Unwrap() error { return e.Err }
