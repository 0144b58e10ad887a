// The room blurred without the person in it, as a small grid of means that composite.cu lays behind the person.
//
// Note [Blur on the device]
//     compositing/compositor.py's Note [Blur] in three launches. `blur_cells` weighs the picture by how much it is
//     room, all planes on chroma's grid, and takes the means of blocks of `blur_step` chroma samples; `blur_across` and
//     `blur_down` are the two passes of a Gaussian over them. Step and taps are read from the parameter block, so
//     another radius is not another graph: launches are sized for the finest step. The host rounds weighted planes and
//     blocks to integers; here they stay floats until the last step.
#include "common.cuh"
#include "parameters.cuh"
#include "picture420.cuh"

constexpr int BLUR_TILE = 32;  // chroma samples a side of a block
constexpr int BLUR_HALO = 12;  // the furthest that alpha is grown, chroma samples
constexpr int GROWN_SIDE = BLUR_TILE + 2 * BLUR_HALO;
constexpr float BLUR_TRUST = 1e-3f;

// How alpha is grown: a square of this radius, then so many crosses, then a part of one more (matting/edges.py).
struct Growth {
    int square, crosses;
    float part;
    LM_MEMBER int reach() const { return square + crosses + (part > 0.0f ? 1 : 0); }
};

// What a block of `blur_cells` shares.
struct RoomTile {
    u16 alpha[2][GROWN_SIDE][GROWN_SIDE];
    float4 weighted[BLUR_TILE][BLUR_TILE];
    float4 rows[BLUR_TILE][BLUR_TILE / 2];
};

__device__ __forceinline__ float4 plus(const float4& a, const float4& b) {
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

// One pass over the tile: the largest of the samples that (dx, dy) steps reach, `radius` to both sides; `is_cross`: of
// the sample and its four neighbours.
__device__ __forceinline__ void grow(
    const u16 (*from)[GROWN_SIDE], u16 (*to)[GROWN_SIDE], int side, int dx, int dy, int radius, int is_cross,
    int thread) {
    for (int i = thread; i < side * side; i += 256) {
        const int x = i % side, y = i / side;
        int most = from[y][x];
        for (int k = -radius; k <= radius; ++k) {
            most = max(most, (int)from[clamp_int(y + k * dy, 0, side - 1)][clamp_int(x + k * dx, 0, side - 1)]);
            if (is_cross) most = max(most, (int)from[clamp_int(y + k, 0, side - 1)][x]);
        }
        to[y][x] = (u16)most;
    }
    __syncthreads();
}

// Loads chroma's alpha with what lies around the tile, and grows it. Gives back which half of `alpha` holds the result.
template <typename A>
__device__ __forceinline__ int grown_alpha(
    RoomTile& tile, const A* alpha, int width, int height, const Growth& growth, int thread) {
    const int reach = growth.reach(), side = BLUR_TILE + 2 * reach;
    const int x0 = (int)blockIdx.x * BLUR_TILE - reach, y0 = (int)blockIdx.y * BLUR_TILE - reach;
    for (int i = thread; i < side * side; i += 256) {
        const int cx = clamp_int(x0 + i % side, 0, ((width + 1) >> 1) - 1);
        const int cy = clamp_int(y0 + i / side, 0, ((height + 1) >> 1) - 1);
        tile.alpha[0][i / side][i % side] = (u16)chroma_alpha_at(alpha, width, height, cx, cy);
    }
    __syncthreads();
    int now = 0;
    if (growth.square) {
        grow(tile.alpha[0], tile.alpha[1], side, 1, 0, growth.square, 0, thread);
        grow(tile.alpha[1], tile.alpha[0], side, 0, 1, growth.square, 0, thread);
    }
    for (int k = 0; k < growth.crosses; ++k) {
        grow(tile.alpha[now], tile.alpha[1 - now], side, 1, 0, 1, 1, thread);
        now = 1 - now;
    }
    if (growth.part > 0.0f) {
        grow(tile.alpha[now], tile.alpha[1 - now], side, 1, 0, 1, 1, thread);
        for (int i = thread; i < side * side; i += 256) {
            const float near = (float)tile.alpha[now][i / side][i % side];
            const float far = (float)tile.alpha[1 - now][i / side][i % side];
            tile.alpha[now][i / side][i % side] = (u16)rintf(near * (1.0f - growth.part) + far * growth.part);
        }
        __syncthreads();
    }
    return now;
}

// (1 - 8 alpha)^2 in steps of the type, as 0..1: how much a sample says about the room.
template <typename A>
__device__ __forceinline__ float room_weight(int grown) {
    const float rest = (float)(Scale<A>::peak - min(Scale<A>::peak, 8 * grown));
    return rintf(rest * rest * Scale<A>::unit) * Scale<A>::unit;
}

// Weighted Y, U, V and the weight of each chroma sample of the tile; beyond the picture the last column and row again.
template <typename S, typename A>
__device__ __forceinline__ void weigh(
    RoomTile& tile, int half, const Picture<S>& from, int width, int height, int reach, int thread) {
    const int last_x = ((width + 1) >> 1) - 1, last_y = ((height + 1) >> 1) - 1;
    const int x0 = (int)blockIdx.x * BLUR_TILE, y0 = (int)blockIdx.y * BLUR_TILE;
    const int row = thread >> 3, column = (thread & 7) * 4;
    const int cy = min(y0 + row, last_y);
    const int cx = min(x0 + column, last_x) & ~3;  // the first sample of its unit
    const bool is_beyond = x0 + column > last_x;   // then all four are the last one of the row
    const Where at = unit_at(cx >> 2, cy, width, height);
    Unit<S> unit;
    load_unit<S>(from, at, unit);
    float4 value = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        if (k < at.chroma_columns()) {
            const float weight = room_weight<A>(tile.alpha[half][cy - y0 + reach][cx + k - x0 + reach]);
            value = make_float4((float)luma_under(unit, k) * weight, (float)unit.c.at(2 * k) * weight,
                                (float)unit.c.at(2 * k + 1) * weight, weight);
        }
        if (!is_beyond) tile.weighted[row][column + k] = value;
    }
    if (is_beyond)
        for (int k = 0; k < 4; ++k) tile.weighted[row][column + k] = value;
}

// Means over blocks of `step` samples into `cells`, and the block's own sum of them into `partial`.
__device__ __forceinline__ void reduce(
    RoomTile& tile, int step, float4* cells, int cells_across, int cells_down, float4* partial, int thread) {
    const int side = BLUR_TILE / step;
    const float share = 1.0f / (float)(step * step);
    if (step > 1) {
        for (int i = thread; i < BLUR_TILE * side; i += 256) {
            float4 sum = tile.weighted[i / side][i % side * step];
            for (int k = 1; k < step; ++k) sum = plus(sum, tile.weighted[i / side][i % side * step + k]);
            tile.rows[i / side][i % side] = sum;
        }
    }
    __syncthreads();
    const int x0 = (int)blockIdx.x * side, y0 = (int)blockIdx.y * side;
    float4 own = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int i = thread; i < side * side; i += 256) {
        const int column = i % side, row = i / side;
        float4 sum = step > 1 ? tile.rows[row * step][column] : tile.weighted[row][column];
        for (int k = 1; k < step; ++k) sum = plus(sum, tile.rows[row * step + k][column]);
        sum = make_float4(sum.x * share, sum.y * share, sum.z * share, sum.w * share);
        if (x0 + column < cells_across && y0 + row < cells_down) {
            cells[(y0 + row) * cells_across + x0 + column] = sum;
            own = plus(own, sum);
        }
    }
    __syncthreads();
    float4* sums = &tile.weighted[0][0];  // its samples are summed up by now
    sums[thread] = own;
    __syncthreads();
    for (int half = 128; half > 0; half >>= 1) {
        if (thread < half) sums[thread] = plus(sums[thread], sums[thread + half]);
        __syncthreads();
    }
    if (thread == 0) partial[blockIdx.y * gridDim.x + blockIdx.x] = sums[0];
}

// cells: room for one a chroma sample; those of the block's step are written. partial: one a block. 256 threads, a
// block for every 32x32 chroma samples.
template <typename S, typename A>
__device__ __forceinline__ void blur_cells(
    const Picture<S>& from, const A* alpha, int width, int height, const Growth& growth, float4* cells, float4* partial,
    const Parameters* block) {
    __shared__ RoomTile tile;
    const int thread = (int)threadIdx.x, step = block->blur_step;
    const int half = grown_alpha(tile, alpha, width, height, growth, thread);
    weigh<S, A>(tile, half, from, width, height, growth.reach(), thread);
    __syncthreads();
    reduce(tile, step, cells, div_up((width + 1) >> 1, step), div_up((height + 1) >> 1, step), partial, thread);
}

#define BLUR_CELLS(NAME, S, A)                                                                                        \
    extern "C" __global__ void __launch_bounds__(256)                                                                 \
        NAME(FRONT(S, A), int square, int crosses, float part, float4* cells, float4* partial,                        \
             const Parameters* block) {                                                                               \
        Growth growth;                                                                                                \
        growth.square = square;                                                                                       \
        growth.crosses = crosses;                                                                                     \
        growth.part = part;                                                                                           \
        blur_cells<S, A>(FRONT_PICTURE, alpha, width, height, growth, cells, partial, block);                         \
    }
BLUR_CELLS(lm_blur_cells_8_8, u8, u8)
LM_EXPORT_SYNC(lm_blur_cells_8_8)
BLUR_CELLS(lm_blur_cells_8_16, u8, u16)
LM_EXPORT_SYNC(lm_blur_cells_8_16)
BLUR_CELLS(lm_blur_cells_16_8, u16, u8)
LM_EXPORT_SYNC(lm_blur_cells_16_8)
BLUR_CELLS(lm_blur_cells_16_16, u16, u16)
LM_EXPORT_SYNC(lm_blur_cells_16_16)

// A Gaussian along one axis; borders repeat. `next`: cells from one to its neighbour along the axis.
__device__ __forceinline__ float4 blurred(
    const float4* line, int index, int count, int next, const float* weights, int radius) {
    const float4 own = line[index * next];
    float4 sum = make_float4(own.x * weights[0], own.y * weights[0], own.z * weights[0], own.w * weights[0]);
    for (int k = 1; k <= radius; ++k) {
        const float4 pair = plus(line[max(index - k, 0) * next], line[min(index + k, count - 1) * next]);
        const float w = weights[k];
        sum = plus(sum, make_float4(pair.x * w, pair.y * w, pair.z * w, pair.w * w));
    }
    return sum;
}

// Any number of blocks of 256 threads, which share the cells out among them. width, height: the picture's.
extern "C" __global__ void __launch_bounds__(256)
    lm_blur_across(const float4* cells, float4* out, int width, int height, const Parameters* block) {
    const int across = div_up((width + 1) >> 1, block->blur_step), down = div_up((height + 1) >> 1, block->blur_step);
    for (int i = (int)(blockIdx.x * blockDim.x + threadIdx.x); i < across * down; i += (int)(gridDim.x * blockDim.x)) {
        const float4* line = cells + i / across * across;
        out[i] = blurred(line, i % across, across, 1, block->blur_weights[0], block->blur_radius[0]);
    }
}
LM_EXPORT(lm_blur_across)

__device__ __forceinline__ u32 mean_of(float top, float everywhere, float bottom) {
    return (u32)clamp_int((int)rintf((top + BLUR_TRUST * everywhere) / bottom), 0, 65535);
}

// The other axis, and the weighted means: words Y, U | V << 16. Where nothing is room: the mean of the whole room.
extern "C" __global__ void __launch_bounds__(256) lm_blur_down(
    const float4* cells, const float4* partial, int blocks, uint2* out, int width, int height,
    const Parameters* block) {
    __shared__ float4 sums[256];
    const int thread = (int)threadIdx.x;
    float4 own = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    for (int i = thread; i < blocks; i += 256) own = plus(own, partial[i]);
    sums[thread] = own;
    __syncthreads();
    for (int half = 128; half > 0; half >>= 1) {
        if (thread < half) sums[thread] = plus(sums[thread], sums[thread + half]);
        __syncthreads();
    }
    const float whole = fmaxf(sums[0].w, 1e-6f);
    const float4 everywhere = make_float4(sums[0].x / whole, sums[0].y / whole, sums[0].z / whole, 0.0f);
    const int across = div_up((width + 1) >> 1, block->blur_step), down = div_up((height + 1) >> 1, block->blur_step);
    for (int i = (int)(blockIdx.x * blockDim.x) + thread; i < across * down; i += (int)(gridDim.x * blockDim.x)) {
        const float4* line = cells + i % across;
        const float4 sum = blurred(line, i / across, down, across, block->blur_weights[1], block->blur_radius[1]);
        const float bottom = sum.w + BLUR_TRUST;
        out[i] = make_uint2(mean_of(sum.x, everywhere.x, bottom),
                            mean_of(sum.y, everywhere.y, bottom) | mean_of(sum.z, everywhere.z, bottom) << 16);
    }
}
LM_EXPORT_SYNC(lm_blur_down)
