/* How a class of tensor/ops.def expands into element types: for evaluators and row kernels.
 *
 * T_x is the type in memory, W_x the type in which the value is computed. Integers are computed one
 * size wider, so that the conversion back wraps around without undefined behaviour. Bytes of a bool
 * count as value != 0. X8 .. X64 are bits that are only moved. */
#ifndef WEFT_ROWS_TYPES_H
#define WEFT_ROWS_TYPES_H

#include <stdbool.h>
#include <stdint.h>

typedef float T_F32, W_F32;
typedef double T_F64, W_F64;
typedef int32_t T_I32;
typedef int64_t T_I64, W_I32;
typedef __int128 W_I64;
typedef uint8_t T_U8, T_BOOL, T_X8, W_X8;
typedef int W_U8;
typedef bool W_BOOL;
typedef uint16_t T_X16, W_X16;
typedef uint32_t T_X32, W_X32;
typedef uint64_t T_X64, W_X64;

/* TYPES_<class>(M, name, value) is M(name, operand type, result type, value) for each type. */
#define TYPES_REAL(M, name, value) M(name, F32, F32, value) M(name, F64, F64, value)
#define TYPES_ARITH(M, name, value)                                                                \
    TYPES_REAL(M, name, value) M(name, I32, I32, value) M(name, I64, I64, value)
#define TYPES_TEST(M, name, value) M(name, F32, BOOL, value) M(name, F64, BOOL, value)
#define TYPES_LOGIC(M, name, value) M(name, BOOL, BOOL, value)
#define TYPES_COMPARE(M, name, value)                                                              \
    TYPES_TEST(M, name, value) M(name, I32, BOOL, value) M(name, I64, BOOL, value)                 \
    M(name, U8, BOOL, value) M(name, BOOL, BOOL, value)
#define TYPES_SELECT(M, name, value)                                                               \
    M(name, X8, X8, value) M(name, X16, X16, value) M(name, X32, X32, value)                       \
    M(name, X64, X64, value)

/* TABLE_<class>(prefix): initialisers by dtype of the functions prefix##<operand type>. */
#define TABLE_REAL(f) [WF_F32] = f##F32, [WF_F64] = f##F64
#define TABLE_ARITH(f) TABLE_REAL(f), [WF_I32] = f##I32, [WF_I64] = f##I64
#define TABLE_TEST(f) TABLE_REAL(f)
#define TABLE_LOGIC(f) [WF_BOOL] = f##BOOL
#define TABLE_COMPARE(f) TABLE_ARITH(f), [WF_U8] = f##U8, [WF_BOOL] = f##BOOL
#define TABLE_SELECT(f)                                                                            \
    [WF_F32] = f##X32, [WF_F64] = f##X64, [WF_BF16] = f##X16, [WF_F16] = f##X16,                   \
    [WF_I32] = f##X32, [WF_I64] = f##X64, [WF_U8] = f##X8, [WF_BOOL] = f##X8

#endif
