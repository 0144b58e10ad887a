// Samples of alpha and luma, one, two or four at a time, and alpha's rounding.
#pragma once
#include "common.cuh"

constexpr int HALF_STEP_WIDE = 128;  // uint16 alpha up to this, or this far below 65535, is 0 or 1

template <class Alpha>
__device__ __forceinline__ float peak_of() {
    return sizeof(Alpha) == 1 ? 255.0f : 65535.0f;
}

// Rounded, clamped, the ends settled.
template <class Alpha>
__device__ __forceinline__ Alpha quantise(float scaled) {
    int value = static_cast<int>(rintf(clamp_float(scaled, 0.0f, peak_of<Alpha>())));
    if (sizeof(Alpha) == 2) {
        if (value <= HALF_STEP_WIDE) value = 0;
        if (value >= 65535 - HALF_STEP_WIDE) value = 65535;
    }
    return static_cast<Alpha>(value);
}

__device__ __forceinline__ void store_pair(u8* to, u8 first, u8 second) {
    *reinterpret_cast<u16*>(to) = static_cast<u16>(first | (second << 8));
}
__device__ __forceinline__ void store_pair(u16* to, u16 first, u16 second) {
    *reinterpret_cast<u32*>(to) = first | (static_cast<u32>(second) << 16);
}
__device__ __forceinline__ void store_quad(u8* to, const u8 (&v)[4]) {
    *reinterpret_cast<u32*>(to) = v[0] | (v[1] << 8) | (v[2] << 16) | (static_cast<u32>(v[3]) << 24);
}
__device__ __forceinline__ void store_quad(u16* to, const u16 (&v)[4]) {
    *reinterpret_cast<uint2*>(to) =
        make_uint2(v[0] | (static_cast<u32>(v[1]) << 16), v[2] | (static_cast<u32>(v[3]) << 16));
}
__device__ __forceinline__ void load_quad(const u8* from, u32 (&v)[4]) {
    u32 bits = *reinterpret_cast<const u32*>(from);
#pragma unroll
    for (int k = 0; k < 4; ++k) v[k] = (bits >> (8 * k)) & 255u;
}
__device__ __forceinline__ void load_quad(const u16* from, u32 (&v)[4]) {
    uint2 bits = *reinterpret_cast<const uint2*>(from);
    v[0] = bits.x & 0xffffu;
    v[1] = bits.x >> 16;
    v[2] = bits.y & 0xffffu;
    v[3] = bits.y >> 16;
}

