// Steadies alpha in time at the network's size, as matting/temporal.py does, and reduces luma as matting/scene.py does.
//
// Note [Smoothing on the device]
//     All modes read the network's alpha (fp16 or fp32) where it lies: `pitch` numbers a row, from the first number of
//     the part that stands for the picture (padded networks). Each multiplies it by the region's weight first. Past and
//     present are different buffers, because a slot reads its predecessor's; where the block says `is_first`, the past
//     is not read at all. `strength` in the block holds, by mode:
//       ema, adaptive  [0] 1 - exp(-interval / time constant)
//       one-euro       [0] weight of the speed's low-pass, [1] 2 pi dt beta, [2] 2 pi dt min_cutoff, [3] 1 / dt
//       ofd            [0] tolerance
#include "common.cuh"
#include "parameters.cuh"
#include "picture420.cuh"

constexpr int TILE_ACROSS = 32;
constexpr int TILE_DOWN = 8;
constexpr float STILL = 1.5f;    // change of luma, of 255, up to which all stands still
constexpr float MOVING = 4.0f;   // and from which on all moves
constexpr float RAMP_SHARE = 0.025f;

// 0 outside of the region's side, 1 from a ramp's width inside on (matting/region.py).
__device__ __forceinline__ float profile(int index, int count, float begin, float end, float ramp) {
    const float middle = (float)index + 0.5f;
    const float rising = begin <= 0.0f ? 1.0f : (middle - begin * (float)count) / ramp;
    const float falling = end >= 1.0f ? 1.0f : (end * (float)count - middle) / ramp;
    return clamp_float(fminf(rising, falling), 0.0f, 1.0f);
}

// The network's alpha at (x, y), inside the region.
__device__ __forceinline__ float alpha_at(
    const void* alpha, int is_half, int pitch, int x, int y, int width, int height, const Parameters* block) {
    const float value = load_number(alpha, (long long)y * pitch + x, is_half);
    const float left = block->region[0], top = block->region[1], right = block->region[2], bottom = block->region[3];
    if (left <= 0.0f && top <= 0.0f && right >= 1.0f && bottom >= 1.0f) return value;
    const float ramp = fmaxf(1.0f, RAMP_SHARE * (float)min(width, height));
    return value * fminf(profile(y, height, top, bottom, ramp), profile(x, width, left, right, ramp));
}

// Threads of all the kernels that go number by number: 32x8, one each.
struct Place {
    int x, y;
    bool is_inside;
};

__device__ __forceinline__ Place place_of(int width, int height) {
    Place place;
    place.x = (int)(blockIdx.x * blockDim.x + threadIdx.x);
    place.y = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    place.is_inside = place.x < width && place.y < height;
    return place;
}

// No smoothing: the region, and float32.
extern "C" __global__ void __launch_bounds__(256) lm_keep(
    const void* alpha, int is_half, int pitch, int width, int height, float* out, const Parameters* block) {
    const Place at = place_of(width, height);
    if (!at.is_inside) return;
    out[at.y * width + at.x] = alpha_at(alpha, is_half, pitch, at.x, at.y, width, height, block);
}
LM_EXPORT(lm_keep)

// Exponential moving average.
extern "C" __global__ void __launch_bounds__(256) lm_ema(
    const void* alpha, int is_half, int pitch, int width, int height, const float* past, float* out,
    const Parameters* block) {
    const Place at = place_of(width, height);
    if (!at.is_inside) return;
    const int index = at.y * width + at.x;
    const float now = alpha_at(alpha, is_half, pitch, at.x, at.y, width, height, block), weight = block->strength[0];
    out[index] = block->is_first ? now : past[index] * (1.0f - weight) + now * weight;
}
LM_EXPORT(lm_ema)

// One-euro filter: what it gives out, the alpha it saw, and the speed, all of them past and present.
extern "C" __global__ void __launch_bounds__(256) lm_one_euro(
    const void* alpha, int is_half, int pitch, int width, int height, const float* past, const float* past_alpha,
    const float* past_speed, float* out, float* out_alpha, float* out_speed, const Parameters* block) {
    const Place at = place_of(width, height);
    if (!at.is_inside) return;
    const int index = at.y * width + at.x;
    const float now = alpha_at(alpha, is_half, pitch, at.x, at.y, width, height, block);
    float state = now, speed = 0.0f;
    if (!block->is_first) {
        const float weight = block->strength[0], rate = block->strength[3];
        speed = past_speed[index] * (1.0f - weight) + (now * rate - past_alpha[index] * rate) * weight;
        const float ratio = fabsf(speed) * block->strength[1] + block->strength[2];
        state = past[index] + ratio / (ratio + 1.0f) * (now - past[index]);
    }
    out[index] = state;
    out_alpha[index] = now;
    out_speed[index] = speed;
}
LM_EXPORT(lm_one_euro)

// One-frame delay: the frame between, without what flickers in it. All three as `lm_keep` gives them.
extern "C" __global__ void __launch_bounds__(256) lm_ofd(
    const float* before, const float* held, const float* after, int width, int height, float* out,
    const Parameters* block) {
    const Place at = place_of(width, height);
    if (!at.is_inside) return;
    const int index = at.y * width + at.x;
    const float middle = held[index], tolerance = block->strength[0];
    float steadied = middle;
    if (!block->is_first) {
        const float first = before[index], last = after[index];
        if (fabsf(first - last) <= tolerance && fabsf(middle - first) > tolerance && fabsf(middle - last) > tolerance)
            steadied = (first + last) * 0.5f;
    }
    out[index] = steadied;
}
LM_EXPORT(lm_ofd)

// --- luma, reduced: the host's LINEAR to a multiple of the size, then the mean of what lies in each sample ---

// Luma as it lies in memory.
template <typename S>
struct Luma {
    const S* plane;
    int pitch, width, height, shift;  // pitch in bytes
};

// Interpolated and rounded as OpenCV's INTER_LINEAR does: 8 bits with weights of 11 bits and two truncations, 16 in
// floats. The scene cuts hang on it.
template <typename S>
__device__ __forceinline__ int luma_at(const Luma<S>& luma, const Tap& across, const Tap& down) {
    const S* upper = row_of(luma.plane, down.first, luma.pitch);
    const S* lower = row_of(luma.plane, down.second, luma.pitch);
    const int a = upper[across.first] >> luma.shift, b = upper[across.second] >> luma.shift;
    const int c = lower[across.first] >> luma.shift, d = lower[across.second] >> luma.shift;
    if constexpr (sizeof(S) == 1) {
        const int right = (int)rintf(across.share * 2048.0f), left = (int)rintf((1.0f - across.share) * 2048.0f);
        const int below = (int)rintf(down.share * 2048.0f), above = (int)rintf((1.0f - down.share) * 2048.0f);
        const int top = (a * left + b * right) >> 4, bottom = (c * left + d * right) >> 4;
        return (((above * top) >> 16) + ((below * bottom) >> 16) + 2) >> 2;
    }
    const float top = (float)a * (1.0f - across.share) + (float)b * across.share;
    const float bottom = (float)c * (1.0f - across.share) + (float)d * across.share;
    return (int)rintf(top * (1.0f - down.share) + bottom * down.share);
}

// One sample of luma at the gate's size, 0..255: the mean of 2x2 interpolated ones.
template <typename S>
__device__ __forceinline__ float gate_luma(const Luma<S>& luma, int x, int y, int width, int height, float scale) {
    const float across_scale = (float)luma.width / (float)(2 * width);
    const float down_scale = (float)luma.height / (float)(2 * height);
    int sum = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        // Here luma is the "grid" and the doubled size the fine side.
        const Tap across = tap_at(2 * x + (i & 1), across_scale, luma.width);
        const Tap down = tap_at(2 * y + (i >> 1), down_scale, luma.height);
        sum += luma_at(luma, across, down);
    }
    return (float)((sum + 2) >> 2) * scale;
}

// out: (height, width) luma 0..255, its noise averaged over 5x5. 32x8 threads.
template <typename S>
__device__ __forceinline__ void quiet_luma(const Luma<S>& luma, float scale, float* out, int width, int height) {
    __shared__ float tile[TILE_DOWN + 4][TILE_ACROSS + 4];
    const int column = (int)threadIdx.x, row = (int)threadIdx.y, thread = row * TILE_ACROSS + column;
    const int x0 = (int)blockIdx.x * TILE_ACROSS, y0 = (int)blockIdx.y * TILE_DOWN;
    for (int i = thread; i < (TILE_ACROSS + 4) * (TILE_DOWN + 4); i += 256) {
        const int x = clamp_int(x0 + i % (TILE_ACROSS + 4) - 2, 0, width - 1);
        const int y = clamp_int(y0 + i / (TILE_ACROSS + 4) - 2, 0, height - 1);
        tile[i / (TILE_ACROSS + 4)][i % (TILE_ACROSS + 4)] = gate_luma(luma, x, y, width, height, scale);
    }
    __syncthreads();
    if (x0 + column < width && y0 + row < height) {
        float sum = 0.0f;
#pragma unroll
        for (int y = 0; y < 5; ++y)
#pragma unroll
            for (int x = 0; x < 5; ++x) sum = sum + tile[row + y][column + x];
        out[(y0 + row) * width + x0 + column] = sum * (1.0f / 25.0f);
    }
}

// out: (height, width) luma 0..255, reduced by way of four times that size. 256 threads: 16 samples of 16 parts.
template <typename S>
__device__ __forceinline__ void cut_luma(const Luma<S>& luma, float scale, float* out, int width, int height) {
    __shared__ int parts[16][16];
    const int sample = (int)threadIdx.x >> 4, part = (int)threadIdx.x & 15;
    const int index = (int)blockIdx.x * 16 + sample;
    if (index < width * height) {
        const int x = 4 * (index % width) + (part & 3), y = 4 * (index / width) + (part >> 2);
        const Tap across = tap_at(x, (float)luma.width / (float)(4 * width), luma.width);
        const Tap down = tap_at(y, (float)luma.height / (float)(4 * height), luma.height);
        parts[sample][part] = luma_at(luma, across, down);
    }
    __syncthreads();
    if (part == 0 && index < width * height) {
        int sum = 0;
#pragma unroll
        for (int k = 0; k < 16; ++k) sum += parts[sample][k];
        out[index] = rintf((float)sum * 0.0625f) * scale;
    }
}

#define LUMA_KERNEL(NAME, BODY, S)                                                                                    \
    extern "C" __global__ void __launch_bounds__(256) NAME(                                                           \
        const S* plane, int pitch, int luma_width, int luma_height, int shift, float scale, float* out, int width,    \
        int height) {                                                                                                 \
        Luma<S> luma;                                                                                                 \
        luma.plane = plane;                                                                                           \
        luma.pitch = pitch;                                                                                           \
        luma.width = luma_width;                                                                                      \
        luma.height = luma_height;                                                                                    \
        luma.shift = shift;                                                                                           \
        BODY(luma, scale, out, width, height);                                                                        \
    }
LUMA_KERNEL(lm_quiet_luma_8, quiet_luma, u8)
LM_EXPORT_SYNC(lm_quiet_luma_8)
LUMA_KERNEL(lm_quiet_luma_16, quiet_luma, u16)
LM_EXPORT_SYNC(lm_quiet_luma_16)
LUMA_KERNEL(lm_cut_luma_8, cut_luma, u8)
LM_EXPORT_SYNC(lm_cut_luma_8)
LUMA_KERNEL(lm_cut_luma_16, cut_luma, u16)
LM_EXPORT_SYNC(lm_cut_luma_16)

// --- adaptive (matting/temporal.py, Note [Stillness]) ---

// What a block shares. The gate's grid is never finer than alpha's, so a tile of alpha lies over no more of its
// samples.
struct Gate {
    float change[TILE_DOWN + 6][TILE_ACROSS + 6];  // |luma - last luma|, three samples around
    float motion[TILE_DOWN + 4][TILE_ACROSS + 4];  // 0 still, 1 moving; one around
    float grown[TILE_DOWN + 2][TILE_ACROSS + 2];   // the largest of 3x3
};

// Fills the gate for the samples from (x0, y0) on; threads are in step again at its end.
__device__ __forceinline__ void open_gate(
    Gate& gate, const float* luma, const float* last, int width, int height, int x0, int y0, int thread) {
    constexpr int changes = TILE_ACROSS + 6, motions = TILE_ACROSS + 4, grown = TILE_ACROSS + 2;
    for (int i = thread; i < changes * (TILE_DOWN + 6); i += 256) {
        const int x = clamp_int(x0 + i % changes - 2, 0, width - 1), y = clamp_int(y0 + i / changes - 2, 0, height - 1);
        gate.change[i / changes][i % changes] = fabsf(luma[y * width + x] - last[y * width + x]);
    }
    __syncthreads();
    for (int i = thread; i < motions * (TILE_DOWN + 4); i += 256) {
        // A sample beyond the border is the border's own, its mean included.
        const int column = clamp_int(x0 + i % motions - 1, 0, width - 1) - x0 + 1;
        const int row = clamp_int(y0 + i / motions - 1, 0, height - 1) - y0 + 1;
        float sum = 0.0f;
        for (int y = 0; y < 3; ++y)
            for (int x = 0; x < 3; ++x) sum = sum + gate.change[row + y][column + x];
        gate.motion[i / motions][i % motions] =
            clamp_float((sum * (1.0f / 9.0f) - STILL) * (1.0f / (MOVING - STILL)), 0.0f, 1.0f);
    }
    __syncthreads();
    for (int i = thread; i < grown * (TILE_DOWN + 2); i += 256) {
        float most = 0.0f;
        for (int y = 0; y < 3; ++y)
            for (int x = 0; x < 3; ++x) most = fmaxf(most, gate.motion[i / grown + y][i % grown + x]);
        gate.grown[i / grown][i % grown] = most;
    }
    __syncthreads();
}

// An exponential average that lets go where the picture moves. luma, last: (gate_height, gate_width). 32x8 threads.
extern "C" __global__ void __launch_bounds__(256) lm_adaptive(
    const void* alpha, int is_half, int pitch, int width, int height, const float* past, const float* luma,
    const float* last, int gate_width, int gate_height, float* out, const Parameters* block) {
    __shared__ Gate gate;
    const Place at = place_of(width, height);
    const float across_scale = (float)gate_width / (float)width, down_scale = (float)gate_height / (float)height;
    const int x0 = tap_at((int)blockIdx.x * TILE_ACROSS, across_scale, gate_width).first;
    const int y0 = tap_at((int)blockIdx.y * TILE_DOWN, down_scale, gate_height).first;
    const bool is_first = block->is_first != 0;
    if (!is_first)
        open_gate(gate, luma, last, gate_width, gate_height, x0, y0, (int)(threadIdx.y * TILE_ACROSS + threadIdx.x));
    if (!at.is_inside) return;
    const int index = at.y * width + at.x;
    const float now = alpha_at(alpha, is_half, pitch, at.x, at.y, width, height, block);
    if (is_first) {
        out[index] = now;
        return;
    }
    const float weight = block->strength[0];
    const Tap across = tap_at(at.x, across_scale, gate_width), down = tap_at(at.y, down_scale, gate_height);
    const float* upper = gate.grown[down.first - y0];
    const float* lower = gate.grown[down.second - y0];
    const int left = across.first - x0, right = across.second - x0;
    const float rest = 1.0f - weight;
    const float above = between(upper[left] * rest + weight, upper[right] * rest + weight, across.share);
    const float below = between(lower[left] * rest + weight, lower[right] * rest + weight, across.share);
    out[index] = past[index] + (now - past[index]) * between(above, below, down.share);
}
LM_EXPORT_SYNC(lm_adaptive)
