#include "textflag.h"

// The kernels below keep what they add up in registers and read their operands where they lie. Offsets are in bytes.

// func gemm4x16(k int, a *float32, rsa, csa int, b *float32, rsb int, c *float32, rsc int)
// c[4][16] += a[4][k] b[k][16]
TEXT ·gemm4x16(SB), NOSPLIT, $0-64
	MOVQ k+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ rsa+16(FP), R8
	MOVQ csa+24(FP), R9
	MOVQ b+32(FP), DI
	MOVQ rsb+40(FP), R10
	MOVQ c+48(FP), DX
	MOVQ rsc+56(FP), R11
	LEAQ (SI)(R8*2), R12    // row 2 of a
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
loop16:
	VMOVUPS (DI), Y8
	VMOVUPS 32(DI), Y9
	VBROADCASTSS (SI), Y10
	VBROADCASTSS (SI)(R8*1), Y11
	VFMADD231PS Y8, Y10, Y0
	VFMADD231PS Y9, Y10, Y1
	VBROADCASTSS (R12), Y12
	VFMADD231PS Y8, Y11, Y2
	VFMADD231PS Y9, Y11, Y3
	VBROADCASTSS (R12)(R8*1), Y13
	VFMADD231PS Y8, Y12, Y4
	VFMADD231PS Y9, Y12, Y5
	ADDQ R9, SI
	ADDQ R9, R12
	VFMADD231PS Y8, Y13, Y6
	VFMADD231PS Y9, Y13, Y7
	ADDQ R10, DI
	DECQ CX
	JNZ  loop16
	VADDPS (DX), Y0, Y0
	VADDPS 32(DX), Y1, Y1
	VMOVUPS Y0, (DX)
	VMOVUPS Y1, 32(DX)
	ADDQ R11, DX
	VADDPS (DX), Y2, Y2
	VADDPS 32(DX), Y3, Y3
	VMOVUPS Y2, (DX)
	VMOVUPS Y3, 32(DX)
	ADDQ R11, DX
	VADDPS (DX), Y4, Y4
	VADDPS 32(DX), Y5, Y5
	VMOVUPS Y4, (DX)
	VMOVUPS Y5, 32(DX)
	ADDQ R11, DX
	VADDPS (DX), Y6, Y6
	VADDPS 32(DX), Y7, Y7
	VMOVUPS Y6, (DX)
	VMOVUPS Y7, 32(DX)
	VZEROUPPER
	RET

// func gemm4x8(k int, a *float32, rsa, csa int, b *float32, rsb int, c *float32, rsc int)
// c[4][8] += a[4][k] b[k][8]
TEXT ·gemm4x8(SB), NOSPLIT, $0-64
	MOVQ k+0(FP), CX
	MOVQ a+8(FP), SI
	MOVQ rsa+16(FP), R8
	MOVQ csa+24(FP), R9
	MOVQ b+32(FP), DI
	MOVQ rsb+40(FP), R10
	MOVQ c+48(FP), DX
	MOVQ rsc+56(FP), R11
	LEAQ (SI)(R8*2), R12
	VXORPS Y0, Y0, Y0
	VXORPS Y2, Y2, Y2
	VXORPS Y4, Y4, Y4
	VXORPS Y6, Y6, Y6
loop8:
	VMOVUPS (DI), Y8
	VBROADCASTSS (SI), Y10
	VBROADCASTSS (SI)(R8*1), Y11
	VBROADCASTSS (R12), Y12
	VBROADCASTSS (R12)(R8*1), Y13
	VFMADD231PS Y8, Y10, Y0
	VFMADD231PS Y8, Y11, Y2
	VFMADD231PS Y8, Y12, Y4
	VFMADD231PS Y8, Y13, Y6
	ADDQ R9, SI
	ADDQ R9, R12
	ADDQ R10, DI
	DECQ CX
	JNZ  loop8
	VADDPS (DX), Y0, Y0
	VMOVUPS Y0, (DX)
	ADDQ R11, DX
	VADDPS (DX), Y2, Y2
	VMOVUPS Y2, (DX)
	ADDQ R11, DX
	VADDPS (DX), Y4, Y4
	VMOVUPS Y4, (DX)
	ADDQ R11, DX
	VADDPS (DX), Y6, Y6
	VMOVUPS Y6, (DX)
	VZEROUPPER
	RET

// Constants of sigmoid, each eight times.
#define EIGHT(name, bits) \
	DATA name<>+0(SB)/4, bits \
	DATA name<>+4(SB)/4, bits \
	DATA name<>+8(SB)/4, bits \
	DATA name<>+12(SB)/4, bits \
	DATA name<>+16(SB)/4, bits \
	DATA name<>+20(SB)/4, bits \
	DATA name<>+24(SB)/4, bits \
	DATA name<>+28(SB)/4, bits \
	GLOBL name<>(SB), RODATA|NOPTR, $32

EIGHT(most, $0x42a00000)    // 80
EIGHT(least, $0xc2a00000)   // -80
EIGHT(nlog2e, $0xbfb8aa3b)  // -1/ln 2
EIGHT(one, $0x3f800000)
EIGHT(e1, $0x3f317218)      // ln2^k / k!
EIGHT(e2, $0x3e75fdf0)
EIGHT(e3, $0x3d635847)
EIGHT(e4, $0x3c1d955b)
EIGHT(e5, $0x3aaec3ff)
EIGHT(e6, $0x39218489)

// SIGMOID makes Y0 = 1/(1+exp(-Y0)). It uses Y1 and Y2; Y15 holds ones.
#define SIGMOID \
	VMINPS most<>(SB), Y0, Y0 \
	VMAXPS least<>(SB), Y0, Y0 \
	VMULPS nlog2e<>(SB), Y0, Y0 \
	VROUNDPS $0, Y0, Y1 \
	VSUBPS Y1, Y0, Y0 \
	VMOVUPS e6<>(SB), Y2 \
	VFMADD213PS e5<>(SB), Y0, Y2 \
	VFMADD213PS e4<>(SB), Y0, Y2 \
	VFMADD213PS e3<>(SB), Y0, Y2 \
	VFMADD213PS e2<>(SB), Y0, Y2 \
	VFMADD213PS e1<>(SB), Y0, Y2 \
	VFMADD213PS Y15, Y0, Y2 \
	VCVTPS2DQ Y1, Y1 \
	VPSLLD $23, Y1, Y1 \
	VPADDD Y1, Y2, Y2 \
	VADDPS Y15, Y2, Y2 \
	VDIVPS Y2, Y15, Y0

// func cellForward(rows, h int, gates, cPrev, c, tc, out *float32)
// A row of g is the four gates before their activation, in the order input, forget, output, new; activated in place.
// c = f cPrev + i n; tc = tanh c; out = o tc. Rows of the others are h long.
TEXT ·cellForward(SB), NOSPLIT, $0-56
	MOVQ rows+0(FP), R8
	MOVQ h+8(FP), R9
	SHLQ $2, R9             // bytes of a row
	MOVQ gates+16(FP), SI
	MOVQ cPrev+24(FP), R10
	MOVQ c+32(FP), R11
	MOVQ tc+40(FP), R12
	MOVQ out+48(FP), R13
	VMOVUPS one<>(SB), Y15
rowF:
	XORQ CX, CX
	LEAQ (SI)(R9*1), DI     // forget
	LEAQ (SI)(R9*2), DX     // output
	LEAQ (DX)(R9*1), BX     // new
colF:
	VMOVUPS (SI)(CX*1), Y0
	SIGMOID
	VMOVUPS Y0, (SI)(CX*1)
	VMOVAPS Y0, Y4
	VMOVUPS (DI)(CX*1), Y0
	SIGMOID
	VMOVUPS Y0, (DI)(CX*1)
	VMOVAPS Y0, Y5
	VMOVUPS (DX)(CX*1), Y0
	SIGMOID
	VMOVUPS Y0, (DX)(CX*1)
	VMOVAPS Y0, Y6
	VMOVUPS (BX)(CX*1), Y0
	VADDPS Y0, Y0, Y0
	SIGMOID
	VADDPS Y0, Y0, Y0
	VSUBPS Y15, Y0, Y0      // tanh x = 2 sigmoid 2x - 1
	VMOVUPS Y0, (BX)(CX*1)
	VMULPS Y4, Y0, Y0
	VFMADD231PS (R10)(CX*1), Y5, Y0
	VMOVUPS Y0, (R11)(CX*1)
	VADDPS Y0, Y0, Y0
	SIGMOID
	VADDPS Y0, Y0, Y0
	VSUBPS Y15, Y0, Y0
	VMOVUPS Y0, (R12)(CX*1)
	VMULPS Y6, Y0, Y0
	VMOVUPS Y0, (R13)(CX*1)
	ADDQ $32, CX
	CMPQ CX, R9
	JLT  colF
	LEAQ (BX)(R9*1), SI     // the next row of gates
	ADDQ R9, R10
	ADDQ R9, R11
	ADDQ R9, R12
	ADDQ R9, R13
	DECQ R8
	JNZ  rowF
	VZEROUPPER
	RET

// func cellBackward(rows, h int, gates, cPrev, tc, dh, dc *float32)
// From dh and dc (of the cell's c), it makes g the gradient of the gates before their activation, and dc that of cPrev.
TEXT ·cellBackward(SB), NOSPLIT, $0-56
	MOVQ rows+0(FP), R8
	MOVQ h+8(FP), R9
	SHLQ $2, R9
	MOVQ gates+16(FP), SI
	MOVQ cPrev+24(FP), R10
	MOVQ tc+32(FP), R11
	MOVQ dh+40(FP), R12
	MOVQ dc+48(FP), R13
	VMOVUPS one<>(SB), Y15
rowB:
	XORQ CX, CX
	LEAQ (SI)(R9*1), DI
	LEAQ (SI)(R9*2), DX
	LEAQ (DX)(R9*1), BX
colB:
	VMOVUPS (SI)(CX*1), Y0      // i
	VMOVUPS (DI)(CX*1), Y1      // f
	VMOVUPS (DX)(CX*1), Y2      // o
	VMOVUPS (BX)(CX*1), Y3      // n
	VMOVUPS (R11)(CX*1), Y4     // tc
	VMOVUPS (R12)(CX*1), Y5     // dh
	VMOVUPS (R13)(CX*1), Y6     // dc
	VMULPS Y2, Y5, Y7           // dh o
	VMULPS Y4, Y4, Y8
	VSUBPS Y8, Y15, Y8          // 1 - tc^2
	VFMADD231PS Y7, Y8, Y6      // dc
	VMULPS Y4, Y5, Y7           // dh tc
	VSUBPS Y2, Y15, Y8
	VMULPS Y2, Y8, Y8
	VMULPS Y7, Y8, Y8
	VMOVUPS Y8, (DX)(CX*1)
	VMULPS Y6, Y3, Y7           // dc n
	VSUBPS Y0, Y15, Y8
	VMULPS Y0, Y8, Y8
	VMULPS Y7, Y8, Y8
	VMOVUPS Y8, (SI)(CX*1)
	VMULPS (R10)(CX*1), Y6, Y7  // dc cPrev
	VSUBPS Y1, Y15, Y8
	VMULPS Y1, Y8, Y8
	VMULPS Y7, Y8, Y8
	VMOVUPS Y8, (DI)(CX*1)
	VMULPS Y6, Y0, Y7           // dc i
	VMULPS Y3, Y3, Y8
	VSUBPS Y8, Y15, Y8
	VMULPS Y7, Y8, Y8
	VMOVUPS Y8, (BX)(CX*1)
	VMULPS Y1, Y6, Y6
	VMOVUPS Y6, (R13)(CX*1)
	ADDQ $32, CX
	CMPQ CX, R9
	JLT  colB
	LEAQ (BX)(R9*1), SI
	ADDQ R9, R10
	ADDQ R9, R11
	ADDQ R9, R12
	ADDQ R9, R13
	DECQ R8
	JNZ  rowB
	VZEROUPPER
	RET
