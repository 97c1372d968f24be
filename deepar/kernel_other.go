//go:build !amd64

package deepar

// fastKernel returns the fastest kernel that this processor can run.
func fastKernel() kernel { return goKernel{} }
