// Means of samples over the area of a smaller (or larger) grid's pixels, by whole-number weights.
//
// One axis: `size` samples become `out` pixels. Pixel o covers [o * size, (o + 1) * size) and sample i covers
// [i * out, (i + 1) * out) in units of 1 / out of a sample, so every weight is a whole number and the same on every
// machine. `kind` AREA: the length of overlap, the exact mean. TRIANGLE: a tent as wide as one pixel or one sample,
// whichever is larger, to each side of the pixel's centre: bilinear, antialiased where it shrinks.
//
// Chroma samples of most video lie on the left of the pixels that they cover. `quarter` moves the pixels by so many
// quarters of a sample; units are then a fourth as large, and the border's samples reach on for ever.
#pragma once
#include "common.cuh"

constexpr int AREA = 1;
constexpr int TRIANGLE = 0;

struct Axis {
    int size;
    int out;
    int kind;
    int quarter;  // -1, 0 or 1
};

__device__ __forceinline__ int unit_of(const Axis& axis) { return axis.quarter ? 4 : 1; }

struct Span {
    int first;
    int last;
};

__device__ __forceinline__ int floor_div(int value, int by) {
    int quotient = value / by;
    return quotient - (value % by < 0 ? 1 : 0);
}

// The samples whose weight for pixel `o` is above 0.
__device__ __forceinline__ Span span_of(const Axis& axis, int o) {
    int unit = unit_of(axis);
    int sample = unit * axis.out;
    int moved = axis.quarter * axis.out;
    if (axis.kind == AREA) {
        int first = floor_div(unit * o * axis.size + moved, sample);
        int last = floor_div(unit * (o + 1) * axis.size + moved - 1, sample);
        return {max(first, 0), min(last, axis.size - 1)};
    }
    int reach = 2 * unit * max(axis.size, axis.out);
    int centre = (2 * o + 1) * axis.size * unit + 2 * moved - sample;
    int first = floor_div(centre - reach, 2 * sample) + 1;
    int last = -floor_div(-(centre + reach), 2 * sample) - 1;
    return {max(first, 0), min(last, axis.size - 1)};
}

__device__ __forceinline__ u32 weight_of(const Axis& axis, int o, int i) {
    int unit = unit_of(axis);
    int sample = unit * axis.out;
    int moved = axis.quarter * axis.out;
    if (axis.kind == AREA) {
        int start = unit * o * axis.size + moved;
        int end = start + unit * axis.size;
        // Pixels reach past the border only where they are moved.
        int left = i == 0 ? min(start, 0) : i * sample;
        int right = i == axis.size - 1 ? max(end, (i + 1) * sample) : (i + 1) * sample;
        return static_cast<u32>(min(end, right) - max(start, left));
    }
    int distance = (2 * i + 1) * sample - (2 * o + 1) * axis.size * unit - 2 * moved;
    return static_cast<u32>(2 * unit * max(axis.size, axis.out) - (distance < 0 ? -distance : distance));
}

// A rectangle of a plane in memory: sample (x, y) lies at base + (y - first_row) * pitch + x * bytes - first_byte.
struct Window {
    const u8* base;
    int pitch;
    int first_row;
    int first_byte;
};

// The samples that a pixel takes on one axis, and the sum of their weights.
struct Reach {
    int first;
    int last;
    u32 all;
};

__device__ __forceinline__ Reach reach_of(const Axis& axis, int o) {
    Span span = span_of(axis, o);
    u32 all = 0;
    if (axis.kind == AREA) {
        all = unit_of(axis) * axis.size;
    } else {
        for (int i = span.first; i <= span.last; ++i) all += weight_of(axis, o, i);
    }
    return {span.first, span.last, all};
}

// Means of COUNT interleaved samples over pixel (ox, oy). Rows are summed in whole numbers, then in float32 downwards.
// AREA: all samples of a row weigh the same but the first and the last, so that the loop only adds.
template <class Sample, int COUNT>
__device__ __forceinline__ void mean_of(
    const Window& window, const Axis& across, const Axis& down, const Reach& columns, const Reach& rows, int ox, int oy,
    float (&means)[COUNT]) {
    constexpr int BYTES = COUNT * static_cast<int>(sizeof(Sample));
    float totals[COUNT];
#pragma unroll
    for (int c = 0; c < COUNT; ++c) totals[c] = 0.0f;
    bool is_area = across.kind == AREA;
    u32 first_weight = weight_of(across, ox, columns.first);
    u32 last_weight = columns.last > columns.first ? weight_of(across, ox, columns.last) : 0u;
    u32 inner_weight = static_cast<u32>(unit_of(across) * across.out);
    for (int y = rows.first; y <= rows.last; ++y) {
        const u8* row = window.base + static_cast<long long>(y - window.first_row) * window.pitch;
        const Sample* first = reinterpret_cast<const Sample*>(row + (columns.first * BYTES - window.first_byte));
        const Sample* last = reinterpret_cast<const Sample*>(row + (columns.last * BYTES - window.first_byte));
        u32 sums[COUNT];
#pragma unroll
        for (int c = 0; c < COUNT; ++c) sums[c] = 0;
        if (is_area) {
#pragma unroll 4
            for (const Sample* samples = first + COUNT; samples < last; samples += COUNT) {
#pragma unroll
                for (int c = 0; c < COUNT; ++c) sums[c] += samples[c];
            }
#pragma unroll
            for (int c = 0; c < COUNT; ++c) {
                sums[c] = first_weight * first[c] + inner_weight * sums[c] + last_weight * last[c];
            }
        } else {
            for (int i = columns.first; i <= columns.last; ++i) {
                u32 weight = weight_of(across, ox, i);
                const Sample* samples = first + (i - columns.first) * COUNT;
#pragma unroll
                for (int c = 0; c < COUNT; ++c) sums[c] += weight * samples[c];
            }
        }
        float weight = static_cast<float>(weight_of(down, oy, y));
#pragma unroll
        for (int c = 0; c < COUNT; ++c) totals[c] += weight * static_cast<float>(sums[c]);
    }
    float all = static_cast<float>(columns.all) * static_cast<float>(rows.all);
#pragma unroll
    for (int c = 0; c < COUNT; ++c) means[c] = totals[c] / all;
}

// Copies rows [first_row, last_row], bytes [first_byte, last_byte] of a plane into shared memory, in chunks of 16 bytes
// that start at a multiple of 16; all threads of the block take part, and the caller waits for them. `vectors`: the
// plane's address and pitch are multiples of 16, so that a chunk is one load and stays inside the row's pitch.
__device__ __forceinline__ Window stage_rows(
    u8* into, int into_pitch, const u8* plane, int pitch, Span rows, int first_byte, int last_byte, int vectors,
    int thread, int threads) {
    int start = first_byte & ~15;
    int chunks = (last_byte - start) / 16 + 1;
    int count = rows.last - rows.first + 1;
    for (int k = thread; k < chunks * count; k += threads) {
        int row = k / chunks;
        int byte = (k - row * chunks) * 16;
        const u8* from = plane + static_cast<long long>(rows.first + row) * pitch + start + byte;
        u8* to = into + row * into_pitch + byte;
        if (vectors) {
            *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(from);
        } else {
            int bytes = min(16, last_byte + 1 - start - byte);
            for (int b = 0; b < bytes; ++b) to[b] = from[b];
        }
    }
    return {into, into_pitch, rows.first, start};
}
