// What every kernel source starts with: short names, fp16, and the words that mean something else on the CPU.
//
// No CUDA header is needed, so that NVRTC compiles the sources on a machine without a CUDA toolkit. With LM_SHIM
// defined, a C++ compiler takes the same sources (tests/kernels/shim/shim.hpp).
#pragma once

#ifdef LM_SHIM
#include "shim.hpp"
#else
#define LM_EXPORT(kernel)
#define LM_EXPORT_SYNC(kernel)
// One declaration for all kernels of a source: inside of functions its linkage would differ from kernel to template.
extern __shared__ __align__(16) unsigned char lm_dynamic_shared[];
#define LM_DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(lm_dynamic_shared)
#endif

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

__device__ __forceinline__ int clamp_int(int value, int low, int high) { return min(max(value, low), high); }

__device__ __forceinline__ float clamp_float(float value, float low, float high) {
    return fminf(fmaxf(value, low), high);
}

__device__ __forceinline__ int div_up(int value, int by) { return (value + by - 1) / by; }

// IEEE binary16 to binary32: exact.
__device__ __forceinline__ float half_to_float(u16 bits) {
#ifdef LM_SHIM
    u32 sign = static_cast<u32>(bits & 0x8000u) << 16;
    u32 exponent = (bits >> 10) & 31u;
    u32 fraction = bits & 0x3ffu;
    if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | (fraction << 13));
    if (exponent) return __uint_as_float(sign | ((exponent + 112) << 23) | (fraction << 13));
    float tiny = static_cast<float>(fraction) * 5.9604644775390625e-08f;  // 2^-24
    return sign ? -tiny : tiny;
#else
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
#endif
}

// binary32 to binary16, to the nearest, ties to even; what is too large becomes infinite.
__device__ __forceinline__ u16 float_to_half(float value) {
#ifdef LM_SHIM
    u32 bits = __float_as_uint(value);
    u32 sign = (bits >> 16) & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return static_cast<u16>(sign | 0x7e00u);
    if (bits >= 0x477ff000u) return static_cast<u16>(sign | 0x7c00u);
    if (bits < 0x38800000u) {  // subnormal: adding 0.5 puts the last bit of a half at the last bit of the sum
        u32 aligned = __float_as_uint(__uint_as_float(bits) + 0.5f);
        return static_cast<u16>(sign | (aligned - 0x3f000000u));
    }
    u32 odd = (bits >> 13) & 1u;
    return static_cast<u16>(sign | ((bits - 0x38000000u + 0xfffu + odd) >> 13));
#else
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
#endif
}

// One number of a network's tensor, float16 or float32.
__device__ __forceinline__ float load_number(const void* tensor, long long at, int is_half) {
    return is_half ? half_to_float(static_cast<const u16*>(tensor)[at]) : static_cast<const float*>(tensor)[at];
}

__device__ __forceinline__ void store_number(void* tensor, long long at, int is_half, float value) {
    if (is_half) {
        static_cast<u16*>(tensor)[at] = float_to_half(value);
    } else {
        static_cast<float*>(tensor)[at] = value;
    }
}
