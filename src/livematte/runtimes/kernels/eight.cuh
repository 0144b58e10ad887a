// Eight samples of a row in registers, one vector load or store of 8 or 16 bytes.
#pragma once
#include "common.cuh"

// A function of a struct: in the shim `__device__` says `static`, which means something else there.
#ifdef LM_SHIM
#define LM_MEMBER inline
#else
#define LM_MEMBER __device__ __forceinline__
#endif

template <typename T>
struct Eight {
    static constexpr int words = 2 * (int)sizeof(T);
    static constexpr int per_word = 4 / (int)sizeof(T);
    static constexpr int bits = 8 * (int)sizeof(T);
    u32 w[words];

    LM_MEMBER int at(int i) const {
        return (int)((w[i / per_word] >> (bits * (i % per_word))) & ((1u << bits) - 1u));
    }
    LM_MEMBER void clear()
    {
#pragma unroll
        for (int k = 0; k < words; ++k) w[k] = 0u;
    }
    // Adds a sample to a place that is 0.
    LM_MEMBER void put(int i, int value) { w[i / per_word] |= (u32)value << (bits * (i % per_word)); }

    LM_MEMBER bool is_all(u32 word) const {
        bool same = true;
#pragma unroll
        for (int k = 0; k < words; ++k) same = same && w[k] == word;
        return same;
    }
    // All samples down (`by` above 0) by `by` bits, or up: P010 keeps its samples in the high bits.
    LM_MEMBER void shift_down(int by)
    {
        const u32 one = ((1u << bits) - 1u) >> by;
        const u32 mask = sizeof(T) == 1 ? one * 0x01010101u : one * 0x00010001u;
#pragma unroll
        for (int k = 0; k < words; ++k) w[k] = (w[k] >> by) & mask;
    }
    LM_MEMBER void shift_up(int by)
    {
#pragma unroll
        for (int k = 0; k < words; ++k) w[k] <<= by;
    }
};

// Row `row` of a plane whose rows lie `pitch` bytes apart.
template <typename T>
__device__ __forceinline__ T* row_of(T* plane, int row, int pitch) {
    return (T*)((const u8*)plane + (long long)row * pitch);
}

template <typename T>
__device__ __forceinline__ bool is_vector(const T* at) {
    return ((u64)at & (8u * sizeof(T) - 1u)) == 0u;
}

template <typename T>
__device__ __forceinline__ Eight<T> load_vector(const T* from) {
    Eight<T> eight;
    if constexpr (sizeof(T) == 1) {
        const uint2 q = *reinterpret_cast<const uint2*>(from);
        eight.w[0] = q.x;
        eight.w[1] = q.y;
    } else {
        const uint4 q = *reinterpret_cast<const uint4*>(from);
        eight.w[0] = q.x;
        eight.w[1] = q.y;
        eight.w[2] = q.z;
        eight.w[3] = q.w;
    }
    return eight;
}

// The first `count` (1 to 8) samples; the last one is repeated.
template <typename T>
__device__ __forceinline__ Eight<T> load_some(const T* from, int count) {
    Eight<T> eight;
    eight.clear();
#pragma unroll
    for (int i = 0; i < 8; ++i) eight.put(i, from[min(i, count - 1)]);
    return eight;
}

template <typename T>
__device__ __forceinline__ void store_some(T* to, const Eight<T>& eight, int count) {
    if (count == 8 && is_vector(to)) {
        if constexpr (sizeof(T) == 1)
            *reinterpret_cast<uint2*>(to) = make_uint2(eight.w[0], eight.w[1]);
        else
            *reinterpret_cast<uint4*>(to) = make_uint4(eight.w[0], eight.w[1], eight.w[2], eight.w[3]);
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; ++i)
        if (i < count) to[i] = (T)eight.at(i);
}
