// 4:2:0 pictures as smooth.cu, foreground.cu and composite.cu see them: units of 8x2 pixels, grids to interpolate.
//
// Note [Units]
//     A thread works on a unit: 8x2 pixels and the 4 chroma samples under them. That is one vector load a row (8 or 16
//     bytes) and one for interleaved chroma, and 16 threads side by side take whole 32-byte sectors. A unit that sticks
//     out of the picture, or lies on addresses that are not aligned, goes sample by sample; what sticks out repeats the
//     last column and row, as the host's path does.
#pragma once
#include "common.cuh"
#include "eight.cuh"
#include "grid.cuh"

constexpr int UNIT_COLUMNS = 8;
constexpr int UNIT_ROWS = 2;

// --- units and pictures ---

struct Where {
    int x, y;           // first pixel
    int columns, rows;  // pixels that exist: up to 8 and 2; 0: the unit lies outside
    LM_MEMBER bool exists() const { return columns > 0 && rows > 0; }
    LM_MEMBER int chroma_columns() const { return (columns + 1) >> 1; }
};

// The unit at this column and row of units.
__device__ __forceinline__ Where unit_at(int column, int row, int width, int height) {
    Where at;
    at.x = column * UNIT_COLUMNS;
    at.y = row * UNIT_ROWS;
    at.columns = min(UNIT_COLUMNS, width - at.x);
    at.rows = min(UNIT_ROWS, height - at.y);
    return at;
}

template <typename S>
struct Picture {
    S* y;
    S* u;
    S* v;
    int y_pitch, c_pitch;  // bytes
    int form;              // samples from one U to the next (1 planar, 2 interleaved), and << 8: bits to shift down

    LM_MEMBER int step() const { return form & 255; }
    LM_MEMBER int shift() const { return form >> 8; }
    LM_MEMBER S* luma(int row) const {
        return row_of(y, row, y_pitch);
    }
    LM_MEMBER S* blue(int row) const {
        return row_of(u, row, c_pitch);
    }
    LM_MEMBER S* red(int row) const {
        return row_of(v, row, c_pitch);
    }
};

template <typename S>
__device__ __forceinline__ Picture<S> picture_of(
    const S* y, const S* u, const S* v, int y_pitch, int c_pitch, int form) {
    Picture<S> made;
    made.y = const_cast<S*>(y);  // a kernel that only reads takes pointers to const
    made.u = const_cast<S*>(u);
    made.v = const_cast<S*>(v);
    made.y_pitch = y_pitch;
    made.c_pitch = c_pitch;
    made.form = form;
    return made;
}

template <typename S>
struct Unit {
    Eight<S> y[2];
    Eight<S> c;  // U V U V U V U V
};

// Mean luma over the 2x2 pixels of chroma sample k of a unit, rounded.
template <typename S>
__device__ __forceinline__ int luma_under(const Unit<S>& unit, int k) {
    const int upper = unit.y[0].at(2 * k) + unit.y[0].at(2 * k + 1);
    const int lower = unit.y[1].at(2 * k) + unit.y[1].at(2 * k + 1);
    return (upper + lower + 2) >> 2;
}

// Two rows of a plane of its own (alpha), `pitch` in bytes.
template <typename T>
__device__ __forceinline__ void load_rows(const T* plane, int pitch, const Where& at, Eight<T> (&into)[2]) {
    const T* upper = row_of(plane, at.y, pitch) + at.x;
    const T* lower = row_of(plane, at.y + at.rows - 1, pitch) + at.x;
    if (at.columns == 8 && is_vector(upper) && is_vector(lower)) {
        into[0] = load_vector(upper);
        into[1] = load_vector(lower);
    } else {
        into[0] = load_some(upper, at.columns);
        into[1] = load_some(lower, at.columns);
    }
}

// Chroma of a unit, U and V in turn.
template <typename S>
__device__ __forceinline__ Eight<S> load_chroma(const Picture<S>& from, const Where& at) {
    const int count = at.chroma_columns(), step = from.step();
    const S* u = from.blue(at.y >> 1) + (u64)((at.x >> 1) * step);
    const S* v = from.red(at.y >> 1) + (u64)((at.x >> 1) * step);
    Eight<S> c;
    if (step == 2 && count == 4 && v == u + 1 && is_vector(u)) return load_vector(u);
    c.clear();
    if (step == 1 && count == 4 && (((u64)u | (u64)v) & (4u * sizeof(S) - 1u)) == 0u) {
        if constexpr (sizeof(S) == 1) {
            const u32 us = *reinterpret_cast<const u32*>(u), vs = *reinterpret_cast<const u32*>(v);
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                c.put(2 * i, (int)((us >> (8 * i)) & 255u));
                c.put(2 * i + 1, (int)((vs >> (8 * i)) & 255u));
            }
        } else {
            const uint2 us = *reinterpret_cast<const uint2*>(u), vs = *reinterpret_cast<const uint2*>(v);
            c.w[0] = (us.x & 0xffffu) | (vs.x << 16);
            c.w[1] = (us.x >> 16) | (vs.x & 0xffff0000u);
            c.w[2] = (us.y & 0xffffu) | (vs.y << 16);
            c.w[3] = (us.y >> 16) | (vs.y & 0xffff0000u);
        }
        return c;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        const int column = min(i, count - 1) * step;
        c.put(2 * i, u[column]);
        c.put(2 * i + 1, v[column]);
    }
    return c;
}

template <typename S>
__device__ __forceinline__ void load_unit(const Picture<S>& from, const Where& at, Unit<S>& into) {
    load_rows<S>(from.y, from.y_pitch, at, into.y);
    into.c = load_chroma(from, at);
    if (from.shift()) {
        into.y[0].shift_down(from.shift());
        into.y[1].shift_down(from.shift());
        into.c.shift_down(from.shift());
    }
}

template <typename S>
__device__ __forceinline__ void store_chroma(const Picture<S>& to, const Where& at, const Eight<S>& c) {
    const int count = at.chroma_columns(), step = to.step();
    S* u = to.blue(at.y >> 1) + (u64)((at.x >> 1) * step);
    S* v = to.red(at.y >> 1) + (u64)((at.x >> 1) * step);
    if (step == 2 && v == u + 1) {
        store_some(u, c, 2 * count);
        return;
    }
    if (step == 1 && count == 4 && (((u64)u | (u64)v) & (4u * sizeof(S) - 1u)) == 0u) {
        if constexpr (sizeof(S) == 1) {
            u32 us = 0u, vs = 0u;
#pragma unroll
            for (int i = 0; i < 4; ++i) {
                us |= (u32)c.at(2 * i) << (8 * i);
                vs |= (u32)c.at(2 * i + 1) << (8 * i);
            }
            *reinterpret_cast<u32*>(u) = us;
            *reinterpret_cast<u32*>(v) = vs;
        } else {
            *reinterpret_cast<uint2*>(u) =
                make_uint2((c.w[0] & 0xffffu) | (c.w[1] << 16), (c.w[2] & 0xffffu) | (c.w[3] << 16));
            *reinterpret_cast<uint2*>(v) =
                make_uint2((c.w[0] >> 16) | (c.w[1] & 0xffff0000u), (c.w[2] >> 16) | (c.w[3] & 0xffff0000u));
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
        if (i < count) {
            u[i * step] = (S)c.at(2 * i);
            v[i * step] = (S)c.at(2 * i + 1);
        }
}

template <typename S>
__device__ __forceinline__ void store_unit(const Picture<S>& to, const Where& at, Unit<S>& unit) {
    if (to.shift()) {
        unit.y[0].shift_up(to.shift());
        unit.y[1].shift_up(to.shift());
        unit.c.shift_up(to.shift());
    }
    store_some(to.luma(at.y) + at.x, unit.y[0], at.columns);
    if (at.rows > 1) store_some(to.luma(at.y + 1) + at.x, unit.y[1], at.columns);
    store_chroma(to, at, unit.c);
}

// --- alpha as a weight, and the over operator in integers (matting/planar.py) ---

template <typename T>
struct Scale {
    static constexpr int peak = sizeof(T) == 1 ? 255 : 65535;
    static constexpr float unit = 1.0f / (float)(sizeof(T) == 1 ? 255 : 65535);
};

// Alpha of type A as a weight of the full scale of S.
template <typename S, typename A>
__device__ __forceinline__ int weight_for(int alpha) {
    if constexpr (sizeof(S) == sizeof(A))
        return alpha;
    else if constexpr (sizeof(S) == 1)
        return (int)rintf((float)alpha * (1.0f / 257.0f));
    else
        return alpha * 257;
}

// Mean alpha over the 2x2 pixels of chroma sample k of a unit, rounded; `is_opaque`: 1 in all four.
template <typename A>
__device__ __forceinline__ int chroma_alpha(const Eight<A> (&alpha)[2], int k, bool& is_opaque) {
    const int sum = alpha[0].at(2 * k) + alpha[0].at(2 * k + 1) + alpha[1].at(2 * k) + alpha[1].at(2 * k + 1);
    is_opaque = sum == 4 * Scale<A>::peak;
    return (sum + 2) >> 2;
}

// The same of the chroma sample (cx, cy), from memory.
template <typename A>
__device__ __forceinline__ int chroma_alpha_at(const A* alpha, int width, int height, int cx, int cy) {
    const A* upper = alpha + (u64)(2 * cy) * (u64)width;
    const A* lower = alpha + (u64)min(2 * cy + 1, height - 1) * (u64)width;
    const int left = 2 * cx, right = min(2 * cx + 1, width - 1);
    return ((int)upper[left] + (int)upper[right] + (int)lower[left] + (int)lower[right] + 2) >> 2;
}

// base + weight * (plus - minus), the product rounded, clamped to the type S.
template <typename S>
__device__ __forceinline__ int moved(int base, int plus, int minus, int weight) {
    const int difference = plus - minus;
    const int change = (int)rintf((float)(difference < 0 ? -difference : difference) * (float)weight * Scale<S>::unit);
    return clamp_int(difference < 0 ? base - change : base + change, 0, Scale<S>::peak);
}

// --- arguments of kernels ---

// The person's picture and its alpha, (height, width) without gaps; a picture to write to.
#define FRONT(S, A) \
    const S *y, const S *u, const S *v, int y_pitch, int c_pitch, int form, const A *alpha, int width, int height
#define FRONT_PICTURE picture_of(y, u, v, y_pitch, c_pitch, form)
#define TARGET(S) S *to_y, S *to_u, S *to_v, int to_y_pitch, int to_c_pitch, int to_form
#define TARGET_PICTURE picture_of(to_y, to_u, to_v, to_y_pitch, to_c_pitch, to_form)
