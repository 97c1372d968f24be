#include "textflag.h"

// func axpyAVX(y, x *float32, n int, a float32)
TEXT ·axpyAVX(SB), NOSPLIT, $0-28
	MOVQ         y+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         n+16(FP), CX
	VBROADCASTSS a+24(FP), Y0

axpy32:
	CMPQ    CX, $32
	JLT     axpy8
	VMULPS  (SI), Y0, Y1
	VMULPS  32(SI), Y0, Y2
	VMULPS  64(SI), Y0, Y3
	VMULPS  96(SI), Y0, Y4
	VADDPS  (DI), Y1, Y1
	VADDPS  32(DI), Y2, Y2
	VADDPS  64(DI), Y3, Y3
	VADDPS  96(DI), Y4, Y4
	VMOVUPS Y1, (DI)
	VMOVUPS Y2, 32(DI)
	VMOVUPS Y3, 64(DI)
	VMOVUPS Y4, 96(DI)
	ADDQ    $128, SI
	ADDQ    $128, DI
	SUBQ    $32, CX
	JMP     axpy32

axpy8:
	CMPQ    CX, $8
	JLT     axpyend
	VMULPS  (SI), Y0, Y1
	VADDPS  (DI), Y1, Y1
	VMOVUPS Y1, (DI)
	ADDQ    $32, SI
	ADDQ    $32, DI
	SUBQ    $8, CX
	JMP     axpy8

axpyend:
	VZEROUPPER
	RET

// func dotAVX(lanes *[8]float32, x, y *float32, n int)
TEXT ·dotAVX(SB), NOSPLIT, $0-32
	MOVQ   lanes+0(FP), DX
	MOVQ   x+8(FP), SI
	MOVQ   y+16(FP), DI
	MOVQ   n+24(FP), CX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3

dot32:
	CMPQ    CX, $32
	JLT     dot8
	VMOVUPS (SI), Y4
	VMOVUPS 32(SI), Y5
	VMOVUPS 64(SI), Y6
	VMOVUPS 96(SI), Y7
	VMULPS  (DI), Y4, Y4
	VMULPS  32(DI), Y5, Y5
	VMULPS  64(DI), Y6, Y6
	VMULPS  96(DI), Y7, Y7
	VADDPS  Y4, Y0, Y0
	VADDPS  Y5, Y1, Y1
	VADDPS  Y6, Y2, Y2
	VADDPS  Y7, Y3, Y3
	ADDQ    $128, SI
	ADDQ    $128, DI
	SUBQ    $32, CX
	JMP     dot32

dot8:
	CMPQ    CX, $8
	JLT     dotend
	VMOVUPS (SI), Y4
	VMULPS  (DI), Y4, Y4
	VADDPS  Y4, Y0, Y0
	ADDQ    $32, SI
	ADDQ    $32, DI
	SUBQ    $8, CX
	JMP     dot8

dotend:
	VADDPS  Y1, Y0, Y0
	VADDPS  Y3, Y2, Y2
	VADDPS  Y2, Y0, Y0
	VMOVUPS Y0, (DX)
	VZEROUPPER
	RET

// func axpy4AVX(y *float32, x *[4]*float32, a *[4]float32, n int)
TEXT ·axpy4AVX(SB), NOSPLIT, $0-32
	MOVQ         y+0(FP), DI
	MOVQ         x+8(FP), SI
	MOVQ         a+16(FP), DX
	MOVQ         n+24(FP), CX
	MOVQ         (SI), R8
	MOVQ         8(SI), R9
	MOVQ         16(SI), R10
	MOVQ         24(SI), R11
	VBROADCASTSS (DX), Y0
	VBROADCASTSS 4(DX), Y1
	VBROADCASTSS 8(DX), Y2
	VBROADCASTSS 12(DX), Y3
	XORQ         BX, BX

four16:
	CMPQ    CX, $16
	JLT     four8
	VMOVUPS (DI)(BX*1), Y4
	VMOVUPS 32(DI)(BX*1), Y5
	VMULPS  (R8)(BX*1), Y0, Y6
	VMULPS  32(R8)(BX*1), Y0, Y7
	VMULPS  (R9)(BX*1), Y1, Y8
	VMULPS  32(R9)(BX*1), Y1, Y9
	VMULPS  (R10)(BX*1), Y2, Y10
	VMULPS  32(R10)(BX*1), Y2, Y11
	VMULPS  (R11)(BX*1), Y3, Y12
	VMULPS  32(R11)(BX*1), Y3, Y13
	VADDPS  Y6, Y4, Y4
	VADDPS  Y7, Y5, Y5
	VADDPS  Y8, Y4, Y4
	VADDPS  Y9, Y5, Y5
	VADDPS  Y10, Y4, Y4
	VADDPS  Y11, Y5, Y5
	VADDPS  Y12, Y4, Y4
	VADDPS  Y13, Y5, Y5
	VMOVUPS Y4, (DI)(BX*1)
	VMOVUPS Y5, 32(DI)(BX*1)
	ADDQ    $64, BX
	SUBQ    $16, CX
	JMP     four16

four8:
	CMPQ    CX, $8
	JLT     fourend
	VMOVUPS (DI)(BX*1), Y4
	VMULPS  (R8)(BX*1), Y0, Y6
	VMULPS  (R9)(BX*1), Y1, Y8
	VMULPS  (R10)(BX*1), Y2, Y10
	VMULPS  (R11)(BX*1), Y3, Y12
	VADDPS  Y6, Y4, Y4
	VADDPS  Y8, Y4, Y4
	VADDPS  Y10, Y4, Y4
	VADDPS  Y12, Y4, Y4
	VMOVUPS Y4, (DI)(BX*1)

fourend:
	VZEROUPPER
	RET
