// A green or blue screen: how it is told from the room's mean colour and taken out of the edge (matting/despill.py).
#pragma once
#include "picture420.cuh"

constexpr float SCREEN_EXCESS = 0.08f;  // by how much (of 1) its channel exceeds the mean of the other two

// How a screen is told and taken out, as 16 floats.
struct Screen {
    float is_on;      // 1: the room is green or blue
    float row[3];     // weights of the planes, in units, that give the excess
    float change[3];  // what a plane loses, in samples, for each unit of excess
    float offset[3];  // unit = sample * scale - offset
    float scale[3];
    float reserved[3];
};

// Samples from 0 to 1 of luma, and from -0.5 to 0.5 of chroma; their reciprocals come from the host, because a division
// is a call of a subroutine and took a register too many on some chips.
__device__ __forceinline__ float samples_of(int plane, int is_full, int bits) {
    if (is_full) return (float)((1 << bits) - 1);
    return (plane ? 224.0f : 219.0f) * (float)(1 << (bits - 8));
}

__device__ __forceinline__ void set_units(Screen& screen, float luma_scale, float chroma_scale, int is_full, int bits) {
    screen.scale[0] = luma_scale;
    screen.scale[1] = screen.scale[2] = chroma_scale;
    screen.offset[0] = is_full ? 0.0f : (float)(16 << (bits - 8)) * luma_scale;
    screen.offset[1] = screen.offset[2] = (float)(1 << (bits - 1)) * chroma_scale;
}

// A colour matrix: shares of red and blue in luma; R = Y + to_red V, B = Y + to_blue U, G = Y + green_u U + green_v V.
struct Matrix {
    float red, blue, green_u, green_v, from_red, from_blue;  // the last two: 1 / to_red, 1 / to_blue
};

__device__ __forceinline__ void choose(
    Screen& screen, const float (&mean)[3], const Matrix& matrix, int is_full, int bits) {
    const float green = 1.0f - matrix.red - matrix.blue;
    const float to_red = 2.0f * (1.0f - matrix.red), to_blue = 2.0f * (1.0f - matrix.blue);
    const float greens[2] = {matrix.green_u - to_blue * 0.5f, matrix.green_v - to_red * 0.5f};
    const float blues[2] = {to_blue - matrix.green_u * 0.5f, -to_red * 0.5f - matrix.green_v * 0.5f};
    const float as_green = greens[0] * mean[1] + greens[1] * mean[2];
    const float as_blue = blues[0] * mean[1] + blues[1] * mean[2];
    const bool is_green = as_green >= as_blue;
    const float luma = is_green ? green : matrix.blue, own_blue = is_green ? 0.0f : 1.0f;
    screen.is_on = fmaxf(as_green, as_blue) >= SCREEN_EXCESS ? 1.0f : 0.0f;
    screen.row[0] = 0.0f;
    screen.row[1] = is_green ? greens[0] : blues[0];
    screen.row[2] = is_green ? greens[1] : blues[1];
    screen.change[0] = luma * samples_of(0, is_full, bits);
    screen.change[1] = (own_blue - luma) * matrix.from_blue * samples_of(1, is_full, bits);
    screen.change[2] = -luma * matrix.from_red * samples_of(1, is_full, bits);
}
