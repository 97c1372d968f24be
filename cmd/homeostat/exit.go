package main

// exitError carries the exit status that an error asks for: 1 found something wrong with what was to be checked, 2 usage or
// configuration. Err may be nil where all has been said on standard error already.
type exitError struct {
	Code int
	Err  error
}

func (e exitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e exitError) Unwrap() error { return e.Err }
