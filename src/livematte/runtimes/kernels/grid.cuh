// Small grids that are interpolated under a picture, as OpenCV's INTER_LINEAR places them.
#pragma once
#include "eight.cuh"

struct Tap {
    int first, second;  // neighbours on the grid
    float share;        // of the second one
};

// Where sample `index` of the fine side lies on a grid of `size`; `scale` = size / fine size. OpenCV's INTER_LINEAR.
__device__ __forceinline__ Tap tap_at(int index, float scale, int size) {
    const float place = ((float)index + 0.5f) * scale - 0.5f;
    const float below = floorf(place);
    Tap tap;
    tap.first = (int)below;
    tap.share = place - below;
    if (tap.first < 0 || tap.first >= size - 1) {
        tap.first = tap.first < 0 ? 0 : size - 1;
        tap.share = 0.0f;
    }
    tap.second = min(tap.first + 1, size - 1);
    return tap;
}

__device__ __forceinline__ float between(float a, float b, float share) { return a + share * (b - a); }

// Walks along a row of fine samples over a grid whose cells are words of two 16-bit numbers; keeps the two columns at
// hand, interpolated downward, because several fine samples lie between the same two.
struct Walk {
    const u32* upper;
    const u32* lower;
    int stride;  // words from one column to the next
    float down;
    int held;  // column in `left`; -1: none yet
    float left[2], right[2];

    LM_MEMBER void start(const u32* grid, int stride_words, int columns, const Tap& row)
    {
        upper = grid + row.first * columns * stride_words;
        lower = grid + row.second * columns * stride_words;
        stride = stride_words;
        down = row.share;
        held = -1;
    }
    LM_MEMBER void fetch(int column, float (&into)[2]) const {
        const u32 above = upper[column * stride], below = lower[column * stride];
        into[0] = between((float)(above & 0xffffu), (float)(below & 0xffffu), down);
        into[1] = between((float)(above >> 16), (float)(below >> 16), down);
    }
    LM_MEMBER void go(const Tap& column)
    {
        if (column.first == held) return;
        fetch(column.first, left);
        fetch(column.second, right);
        held = column.first;
    }
    // The low (0) or high (1) numbers, interpolated and rounded half up.
    LM_MEMBER int value(int half, float share) const {
        return (int)floorf(between(left[half], right[half], share) + 0.5f);
    }
};
