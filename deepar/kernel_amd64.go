package deepar

import "golang.org/x/sys/cpu"

//go:noescape
func gemm4x16(k int, a *float32, rsa, csa int, b *float32, rsb int, c *float32, rsc int)

//go:noescape
func gemm4x8(k int, a *float32, rsa, csa int, b *float32, rsb int, c *float32, rsc int)

//go:noescape
func cellForward(rows, h int, gates, cPrev, c, tc, out *float32)

//go:noescape
func cellBackward(rows, h int, gates, cPrev, tc, dh, dc *float32)

// avx2Kernel is the kernel in assembly, for processors with AVX2 and FMA.
type avx2Kernel struct{}

// fastKernel returns the fastest kernel that this processor can run.
func fastKernel() kernel {
	if cpu.X86.HasAVX2 && cpu.X86.HasFMA {
		return avx2Kernel{}
	}
	return goKernel{}
}

// blockK is how many rows of b are used at a time: so many of 160 columns stay in the second cache.
const blockK = 256

func (avx2Kernel) gemm(m, n, k int, a []float32, rsa, csa int, b []float32, rsb int, c []float32, rsc int) {
	if m == 0 || n == 0 || k == 0 {
		return
	}
	_ = a[(m-1)*rsa+(k-1)*csa]
	_ = b[(k-1)*rsb+n-1]
	_ = c[(m-1)*rsc+n-1]
	for p := 0; p < k; p += blockK {
		kk := min(blockK, k-p)
		j := 0
		for ; j+16 <= n; j += 16 {
			for i := 0; i < m; i += 4 {
				gemm4x16(kk, &a[i*rsa+p*csa], 4*rsa, 4*csa, &b[p*rsb+j], 4*rsb, &c[i*rsc+j], 4*rsc)
			}
		}
		if j < n {
			for i := 0; i < m; i += 4 {
				gemm4x8(kk, &a[i*rsa+p*csa], 4*rsa, 4*csa, &b[p*rsb+j], 4*rsb, &c[i*rsc+j], 4*rsc)
			}
		}
	}
}

func (avx2Kernel) forward(rows, h int, g, cPrev, c, tc, out []float32) {
	checkCell(rows, h, g, cPrev, c, tc, out)
	cellForward(rows, h, &g[0], &cPrev[0], &c[0], &tc[0], &out[0])
}

func (avx2Kernel) backward(rows, h int, g, cPrev, tc, dh, dc []float32) {
	checkCell(rows, h, g, cPrev, tc, dh, dc)
	cellBackward(rows, h, &g[0], &cPrev[0], &tc[0], &dh[0], &dc[0])
}
