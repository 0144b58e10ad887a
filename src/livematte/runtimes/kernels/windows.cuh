// The three windows of means.cu over a block's samples, and F^ and B^ that come of them.
#pragma once
#include "common.cuh"
#include "picture420.cuh"

constexpr int CHANNELS = 8;       // weight, Y, U, V of the person; the same of the room
constexpr int MEANS_ACROSS = 32;  // grid samples of a block of `means`
constexpr int MEANS_DOWN = 8;
constexpr int HALO = 3;           // radius of the middle window, and of the widest one on the coarse grid
constexpr float TRUST_WIDE = 0.002f;
constexpr float TRUST_MIDDLE = 0.002f;
constexpr float TRUST_NARROW = 0.02f;
constexpr float SEEN = 2.0f * 0.03f - 1.0f;  // alpha 0.03 as `sure`

// One of the eight channels of a sample (Y, U, V, sure).
__device__ __forceinline__ float channel_of(const float4& sample, int channel) {
    const float sure = channel < 4 ? fmaxf(sample.w, 0.0f) : fminf(sample.w, 0.0f);
    const float weight = (sure * sure) * (sure * sure);
    const int plane = channel & 3;
    if (plane == 0) return weight;
    return (plane == 1 ? sample.x : plane == 2 ? sample.y : sample.z) * weight;
}

// All that a block of `means` shares.
struct Shared {
    float4 tile[MEANS_DOWN + 2 * HALO][MEANS_ACROSS + 2 * HALO];  // samples, borders repeated
    float4 rows[2][MEANS_DOWN + 2 * HALO][MEANS_ACROSS];          // sums of seven in a row: of the person, of the room
    float cells[12][18][CHANNELS];                                // coarse cells, borders repeated
    float blurred[6][12][CHANNELS];                               // their means over 7x7
    float seen[MEANS_DOWN + 2][MEANS_ACROSS + 2];                 // 1 where the person is within a sample
    float sums[256];
    float whole[CHANNELS];
    u32 room[3][256];
};

__device__ __forceinline__ int reflected(int index, int size) {
    if (size == 1) return 0;
    return index < 0 ? -index : index >= size ? 2 * size - 2 - index : index;
}

// Sums of the channels over the whole grid, from the partial ones.
__device__ __forceinline__ void sum_up(Shared& shared, const float* partial, int blocks, int thread) {
    const int lane = thread & 31, channel = thread >> 5;
    float sum = 0.0f;
    for (int i = lane; i < blocks; i += 32) sum = sum + partial[i * CHANNELS + channel];
    shared.sums[thread] = sum;
    __syncthreads();
    for (int half = 16; half > 0; half >>= 1) {
        if (lane < half) shared.sums[thread] = shared.sums[thread] + shared.sums[thread + half];
        __syncthreads();
    }
    if (lane == 0) shared.whole[channel] = shared.sums[thread];
}

// The widest window on the coarse grid: cells from (first_x, first_y), as many as this block's samples lie between.
__device__ __forceinline__ void blur_cells(
    Shared& shared, const float* coarse, int cells_across, int cells_down, int first_x, int first_y, int thread) {
    for (int i = thread; i < 12 * 18 * CHANNELS; i += 256) {
        const int channel = i % CHANNELS, column = i / CHANNELS % 18, row = i / CHANNELS / 18;
        const int x = clamp_int(first_x + column - HALO, 0, cells_across - 1);
        const int y = clamp_int(first_y + row - HALO, 0, cells_down - 1);
        shared.cells[row][column][channel] = coarse[(y * cells_across + x) * CHANNELS + channel];
    }
    __syncthreads();
    for (int i = thread; i < 6 * 12 * CHANNELS; i += 256) {
        const int channel = i % CHANNELS, column = i / CHANNELS % 12, row = i / CHANNELS / 12;
        float sum = 0.0f;
        for (int y = 0; y < 2 * HALO + 1; ++y)
            for (int x = 0; x < 2 * HALO + 1; ++x) sum = sum + shared.cells[row + y][column + x][channel];
        shared.blurred[row][column][channel] = sum * (1.0f / 49.0f);
    }
}

// Adds a sample to sums of the channels.
__device__ __forceinline__ void add(const float4& sample, float4& person, float4& room) {
    const float front = fmaxf(sample.w, 0.0f), back = fminf(sample.w, 0.0f);
    const float f = (front * front) * (front * front), b = (back * back) * (back * back);
    person = make_float4(person.x + f, person.y + sample.x * f, person.z + sample.y * f, person.w + sample.z * f);
    room = make_float4(room.x + b, room.y + sample.x * b, room.z + sample.y * b, room.w + sample.z * b);
}

__device__ __forceinline__ void spread(const float4& person, const float4& room, int samples, float (&into)[CHANNELS]) {
    const float share = 1.0f / (float)samples;
    const float sums[CHANNELS] = {person.x, person.y, person.z, person.w, room.x, room.y, room.z, room.w};
#pragma unroll
    for (int k = 0; k < CHANNELS; ++k) into[k] = sums[k] * share;
}

// Sums along the rows of the tile for the middle window; threads are in step again at its end.
__device__ __forceinline__ void sum_rows(Shared& shared, int thread) {
    for (int i = thread; i < (MEANS_DOWN + 2 * HALO) * MEANS_ACROSS; i += 256) {
        const int column = i % MEANS_ACROSS, row = i / MEANS_ACROSS;
        float4 person = make_float4(0.0f, 0.0f, 0.0f, 0.0f), room = person;
#pragma unroll
        for (int x = 0; x < 2 * HALO + 1; ++x) add(shared.tile[row][column + x], person, room);
        shared.rows[0][row][column] = person;
        shared.rows[1][row][column] = room;
    }
    __syncthreads();
}

// Means over the middle window, 7x7, from the sums along rows.
__device__ __forceinline__ void middle_window(const Shared& shared, int column, int row, float (&into)[CHANNELS]) {
    float4 sums[2] = {make_float4(0.0f, 0.0f, 0.0f, 0.0f), make_float4(0.0f, 0.0f, 0.0f, 0.0f)};
#pragma unroll
    for (int y = 0; y < 2 * HALO + 1; ++y)
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            const float4 more = shared.rows[k][row + y][column];
            sums[k] = make_float4(sums[k].x + more.x, sums[k].y + more.y, sums[k].z + more.z, sums[k].w + more.w);
        }
    spread(sums[0], sums[1], (2 * HALO + 1) * (2 * HALO + 1), into);
}

// Means over the narrowest window, 3x3.
__device__ __forceinline__ void close_window(const Shared& shared, int column, int row, float (&into)[CHANNELS]) {
    float4 person = make_float4(0.0f, 0.0f, 0.0f, 0.0f), room = person;
#pragma unroll
    for (int y = 0; y < 3; ++y)
#pragma unroll
        for (int x = 0; x < 3; ++x) add(shared.tile[row + HALO - 1 + y][column + HALO - 1 + x], person, room);
    spread(person, room, 9, into);
}

// One window more: what it trusts goes in, the rest stays.
__device__ __forceinline__ void narrow(float (&means)[3], const float* window, float trust) {
    const float total = window[0] + trust;
#pragma unroll
    for (int k = 0; k < 3; ++k) means[k] = (means[k] * trust + window[1 + k]) / total;
}

// How near the person is: 1 up to a sample past it, 0 from three on.
__device__ __forceinline__ float nearness(const Shared& shared, int x, int y, int x0, int y0, int width, int height) {
    float sum = 0.0f;
    for (int dy = -1; dy <= 1; ++dy)
        for (int dx = -1; dx <= 1; ++dx)
            sum = sum + shared.seen[reflected(y + dy, height) - y0 + 1][reflected(x + dx, width) - x0 + 1];
    return sum * (1.0f / 9.0f);
}

__device__ __forceinline__ u32 packed(float front, float back) {
    return (u32)clamp_int((int)rintf(front), 0, 65535) | (u32)clamp_int((int)rintf(back), 0, 65535) << 16;
}

// Fills tile and seen; threads are in step again at its end.
__device__ __forceinline__ void gather(
    Shared& shared, const float4* samples, int grid_width, int grid_height, int x0, int y0, int thread) {
    constexpr int across = MEANS_ACROSS + 2 * HALO, down = MEANS_DOWN + 2 * HALO;
    for (int i = thread; i < across * down; i += 256) {
        const int x = clamp_int(x0 + i % across - HALO, 0, grid_width - 1);
        const int y = clamp_int(y0 + i / across - HALO, 0, grid_height - 1);
        shared.tile[i / across][i % across] = samples[y * grid_width + x];
    }
    __syncthreads();
    for (int i = thread; i < (MEANS_ACROSS + 2) * (MEANS_DOWN + 2); i += 256) {
        const int column = i % (MEANS_ACROSS + 2), row = i / (MEANS_ACROSS + 2);
        bool seen = false;
        for (int y = row + 1; y <= row + 3; ++y)
            for (int x = column + 1; x <= column + 3; ++x) seen = seen || shared.tile[y][x].w >= SEEN;
        shared.seen[row][column] = seen ? 1.0f : 0.0f;
    }
    __syncthreads();
}

// F^ and B^ of one sample of the grid.
__device__ __forceinline__ void means_of(
    const Shared& shared, const Tap& across, const Tap& down, int first_x, int first_y, int column, int row, float flat,
    float (&front)[3], float (&back)[3]) {
    float wide[CHANNELS], middle[CHANNELS], close[CHANNELS];
    const int left = across.first - first_x, right = across.second - first_x;
    const int top = down.first - first_y, bottom = down.second - first_y;
#pragma unroll
    for (int k = 0; k < CHANNELS; ++k)
        wide[k] = between(between(shared.blurred[top][left][k], shared.blurred[top][right][k], across.share),
                          between(shared.blurred[bottom][left][k], shared.blurred[bottom][right][k], across.share),
                          down.share);
    middle_window(shared, column, row, middle);
    close_window(shared, column, row, close);
#pragma unroll
    for (int k = 0; k < 3; ++k) front[k] = shared.whole[0] < 1.0f ? flat : shared.whole[1 + k] / shared.whole[0];
    narrow(front, wide, TRUST_WIDE);
    narrow(front, middle, TRUST_MIDDLE);
    narrow(front, close, TRUST_NARROW);
#pragma unroll
    for (int k = 0; k < 3; ++k) back[k] = shared.whole[4] < 1.0f ? front[k] : shared.whole[5 + k] / shared.whole[4];
    narrow(back, wide + 4, TRUST_WIDE);
    narrow(back, middle + 4, TRUST_MIDDLE);
    narrow(back, close + 4, TRUST_NARROW);
}

// Sums of B^ over this block's samples, for the screen's colour.
__device__ __forceinline__ void sum_room(Shared& shared, u32* room, const u32 (&back)[3], int thread) {
    for (int k = 0; k < 3; ++k) shared.room[k][thread] = back[k];
    __syncthreads();
    for (int half = 128; half > 0; half >>= 1) {
        if (thread < half)
            for (int k = 0; k < 3; ++k) shared.room[k][thread] += shared.room[k][thread + half];
        __syncthreads();
    }
    if (thread < 3) room[(blockIdx.y * gridDim.x + blockIdx.x) * 4 + thread] = shared.room[thread][0];
}
