#include "go_asm.h"
#include "textflag.h"

// How far p (Y0, weights Y1) lies outside the box Y2, Y3, and the extent of the box with p, both summed over the lanes as
// sum does it, to the next of parts (R11). Y15 is 0.
#define PARTING \
	VSUBPS Y0, Y2, Y4           \
	VSUBPS Y3, Y0, Y5           \
	VMAXPS Y5, Y4, Y4           \
	VMAXPS Y15, Y4, Y4          \
	VSUBPS Y2, Y3, Y5           \
	VADDPS Y4, Y5, Y5           \
	VMULPS Y1, Y4, Y4           \
	VMULPS Y1, Y5, Y5           \
	VHADDPS Y5, Y4, Y6          \
	VEXTRACTF128 $1, Y6, X7     \
	VADDPS X7, X6, X6           \
	VHADDPS X6, X6, X6          \
	VMOVSD X6, (R11)

// func climbAVX2(s *scratch, points, boxes, weights *float32, dim, width, n, count int)
TEXT ·climbAVX2(SB), NOSPLIT, $0-64
	MOVQ s+0(FP), DI
	MOVQ points+8(FP), SI
	MOVQ boxes+16(FP), DX
	MOVQ weights+24(FP), BX
	MOVQ dim+32(FP), R12
	MOVQ width+40(FP), R8
	MOVQ n+48(FP), R9
	MOVQ count+56(FP), R10
	SHLQ $2, R8
	SHLQ $2, R12
	VMOVUPS scratch_p(DI), Y0
	VMOVUPS (BX), Y1
	VXORPS Y15, Y15, Y15
	LEAQ scratch_parts(DI), R11
	XORQ R13, R13
	TESTQ R9, R9
	JZ boxed

	MOVLQSX scratch_list(DI), BX
	IMULQ R12, BX
	VMOVUPS (SI)(BX*1), Y2
	VMOVAPS Y2, Y3

	// After each point, not only the last of a level: the number of points to a level would be guessed wrong half the time.
point:
	MOVLQSX scratch_list(DI)(R13*4), BX
	IMULQ R12, BX
	VMOVUPS (SI)(BX*1), Y4
	VMINPS Y4, Y2, Y2
	VMAXPS Y4, Y3, Y3
	PARTING
	MOVLQSX scratch_ends(DI)(R13*4), BX
	ADDQ BX, R11
	INCQ R13
	CMPQ R13, R9
	JLT point

	XORQ R13, R13

boxed:
	TESTQ R10, R10
	JZ done

box:
	MOVLQSX scratch_batch(DI)(R13*4), BX
	IMULQ R8, BX
	LEAQ (DX)(BX*2), BX
	VMOVUPS (BX), Y2
	VMOVUPS (BX)(R8*1), Y3
	PARTING
	ADDQ $8, R11
	INCQ R13
	CMPQ R13, R10
	JLT box

done:
	VZEROUPPER
	RET

// func partingAVX2(p, lo, hi, w *float32, n int) (out, extent float32)
TEXT ·partingAVX2(SB), NOSPLIT, $0-48
	MOVQ p+0(FP), AX
	MOVQ lo+8(FP), BX
	MOVQ hi+16(FP), CX
	MOVQ w+24(FP), DX
	MOVQ n+32(FP), R8
	VXORPS Y15, Y15, Y15
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	XORQ R9, R9

eight:
	VMOVUPS (AX)(R9*4), Y0
	VMOVUPS (BX)(R9*4), Y2
	VMOVUPS (CX)(R9*4), Y3
	VMOVUPS (DX)(R9*4), Y1
	VSUBPS Y0, Y2, Y4
	VSUBPS Y3, Y0, Y5
	VMAXPS Y5, Y4, Y4
	VMAXPS Y15, Y4, Y4
	VSUBPS Y2, Y3, Y5
	VADDPS Y4, Y5, Y5
	VMULPS Y1, Y4, Y4
	VMULPS Y1, Y5, Y5
	VADDPS Y4, Y8, Y8
	VADDPS Y5, Y9, Y9
	ADDQ $8, R9
	CMPQ R9, R8
	JLT eight

	VHADDPS Y9, Y8, Y6
	VEXTRACTF128 $1, Y6, X7
	VADDPS X7, X6, X6
	VHADDPS X6, X6, X6
	VMOVSS X6, out+40(FP)
	VSHUFPS $1, X6, X6, X6
	VMOVSS X6, extent+44(FP)
	VZEROUPPER
	RET

// func extendAVX2(lo, hi, q *float32, n int)
TEXT ·extendAVX2(SB), NOSPLIT, $0-32
	MOVQ lo+0(FP), BX
	MOVQ hi+8(FP), CX
	MOVQ q+16(FP), AX
	MOVQ n+24(FP), R8
	XORQ R9, R9

eight:
	VMOVUPS (AX)(R9*4), Y0
	VMINPS (BX)(R9*4), Y0, Y1
	VMAXPS (CX)(R9*4), Y0, Y2
	VMOVUPS Y1, (BX)(R9*4)
	VMOVUPS Y2, (CX)(R9*4)
	ADDQ $8, R9
	CMPQ R9, R8
	JLT eight
	VZEROUPPER
	RET

// One level down for the tree whose nodes are at BASE: C becomes the child that p belongs to, or stays when it is a leaf,
// which LEAVES counts.
#define STEP(C, BASE, LEAVES) \
	MOVL C, AX                               \
	ANDL $const_idMask, AX                   \
	MOVL 4(BASE)(AX*8), BX                   \
	VMOVSS (BASE)(AX*8), X0                  \
	MOVL BX, CX                              \
	MOVL BX, DX                              \
	ANDL $const_dimMask, CX                  \
	SHRL $const_leftShift, BX                \
	SHRL $const_rightShift, DX               \
	ANDL $const_refMask, BX                  \
	VUCOMISS scratch_p(DI)(CX*4), X0         \
	CMOVLCS DX, BX                           \
	BTL $12, C                               \
	CMOVLCS C, BX                            \
	ADCQ $0, LEAVES                          \
	MOVL BX, C

// func descendAVX2(s *scratch, n0, n1, n2, n3 *node) bool
TEXT ·descendAVX2(SB), NOSPLIT, $0-41
	MOVQ s+0(FP), DI
	MOVQ n0+8(FP), R12
	MOVQ n1+16(FP), R13
	MOVQ n2+24(FP), R14
	MOVQ n3+32(FP), R15
	MOVL (scratch_end+0)(DI), R8
	MOVL (scratch_end+4)(DI), R9
	MOVL (scratch_end+8)(DI), R10
	MOVL (scratch_end+12)(DI), R11
	XORQ SI, SI

down:
	MOVL R8, AX
	ANDL R9, AX
	ANDL R10, AX
	ANDL R11, AX
	BTL $12, AX
	JCS ends
	CMPQ SI, $(4*const_trailDepth)
	JGE deep
	MOVW R8, (scratch_trail+0)(DI)(SI*2)
	MOVW R9, (scratch_trail+2)(DI)(SI*2)
	MOVW R10, (scratch_trail+4)(DI)(SI*2)
	MOVW R11, (scratch_trail+6)(DI)(SI*2)
	ADDQ $4, SI
	STEP(R8, R12, (scratch_depth+0)(DI))
	STEP(R9, R13, (scratch_depth+8)(DI))
	STEP(R10, R14, (scratch_depth+16)(DI))
	STEP(R11, R15, (scratch_depth+24)(DI))
	JMP down

ends:
	// depth has counted the steps that were none.
	SHRQ $2, SI
	MOVQ SI, AX
	SUBQ (scratch_depth+0)(DI), AX
	MOVQ AX, (scratch_depth+0)(DI)
	MOVQ SI, AX
	SUBQ (scratch_depth+8)(DI), AX
	MOVQ AX, (scratch_depth+8)(DI)
	MOVQ SI, AX
	SUBQ (scratch_depth+16)(DI), AX
	MOVQ AX, (scratch_depth+16)(DI)
	SUBQ (scratch_depth+24)(DI), SI
	MOVQ SI, (scratch_depth+24)(DI)
	MOVL R8, (scratch_end+0)(DI)
	MOVL R9, (scratch_end+4)(DI)
	MOVL R10, (scratch_end+8)(DI)
	MOVL R11, (scratch_end+12)(DI)
	MOVB $1, ret+40(FP)
	RET

deep:
	MOVB $0, ret+40(FP)
	RET

// func topKeyAVX2(keys *key, n int) int
TEXT ·topKeyAVX2(SB), NOSPLIT, $0-24
	MOVQ keys+0(FP), SI
	MOVQ n+8(FP), CX
	VPXOR Y0, Y0, Y0
	XORQ AX, AX

largest:
	VPMAXUW (SI)(AX*2), Y0, Y0
	ADDQ $16, AX
	CMPQ AX, CX
	JLT largest

	VEXTRACTI128 $1, Y0, X1
	VPMAXUW X1, X0, X0
	VPCMPEQW X2, X2, X2
	VPXOR X2, X0, X0
	VPHMINPOSUW X0, X0      // the least of the complements
	VPXOR X2, X0, X0
	VPBROADCASTW X0, Y0
	XORQ AX, AX

first:
	VPCMPEQW (SI)(AX*2), Y0, Y1
	VPMOVMSKB Y1, BX
	TESTL BX, BX
	JNZ found
	ADDQ $16, AX
	JMP first

found:
	BSFL BX, BX
	SHRL $1, BX
	ADDQ BX, AX
	MOVQ AX, ret+16(FP)
	VZEROUPPER
	RET
