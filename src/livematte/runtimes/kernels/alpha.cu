// Alpha from the network's size to the picture's: bicubic, or the fast guided filter by luma.
//
// Alpha at the picture's size is uint8 or uint16 at full scale; rounding and the settled ends are those of
// matting/refine.py, Note [Alpha's ends].
#include "common.cuh"
#include "area.cuh"
#include "samples.cuh"

// --- Bicubic: Keys 1981 with a = -0.75 at OpenCV's phase, taps beyond the border repeat it ---

struct Taps {
    int first;       // of four; may lie outside
    float weight[4];
};

// Where pixel `o` of `out` lies among `size` samples: centres on centres, so (o + 0.5) * size / out - 0.5.
__device__ __forceinline__ int place_of(int o, int size, int out, float& fraction) {
    int scaled = (2 * o + 1) * size - out;
    int whole = floor_div(scaled, 2 * out);
    fraction = static_cast<float>(scaled - whole * 2 * out) / static_cast<float>(2 * out);
    return whole;
}

__device__ __forceinline__ Taps cubic_taps(int o, int size, int out) {
    constexpr float A = -0.75f;
    float t;
    Taps taps;
    taps.first = place_of(o, size, out, t) - 1;
    float s = 1.0f - t;
    float near = t + 1.0f;
    taps.weight[0] = ((A * near - 5.0f * A) * near + 8.0f * A) * near - 4.0f * A;
    taps.weight[1] = ((A + 2.0f) * t - (A + 3.0f)) * t * t + 1.0f;
    taps.weight[2] = ((A + 2.0f) * s - (A + 3.0f)) * s * s + 1.0f;
    taps.weight[3] = 1.0f - taps.weight[0] - taps.weight[1] - taps.weight[2];
    return taps;
}

__device__ __forceinline__ float four_taps(const float (&w)[4], float a, float b, float c, float d) {
    return ((w[0] * a + w[1] * b) + w[2] * c) + w[3] * d;
}

// The network's alpha as the host's path has it before it enlarges: in whole steps of the result's scale.
template <class Alpha>
__device__ __forceinline__ float stepped(const void* small, long long at, int is_half) {
    float value = load_number(small, at, is_half);
    return static_cast<float>(quantise<Alpha>(value * peak_of<Alpha>()));
}

// A block makes 128 columns and `tile_rows` (at most 32) rows of the result: the samples under them come into shared
// memory, are stretched across, then down. `cells`: floats a row of samples, at least what a tile covers plus 4.
template <class Alpha>
__device__ __forceinline__ void upsample(
    float* shared, Taps (&downs)[32], const void* __restrict__ small, int is_half, int small_row, int small_width,
    int small_height, Alpha* __restrict__ full, int width, int height, int tile_rows, int cells, int pairs) {
    int left = blockIdx.x * 128;
    int top = blockIdx.y * tile_rows;
    int bottom = min(top + tile_rows, height);
    int thread = threadIdx.x;
    float unused;
    int first_column = place_of(left, small_width, width, unused) - 1;
    int last_column = place_of(min(left + 127, width - 1), small_width, width, unused) + 2;
    int first_row = place_of(top, small_height, height, unused) - 1;
    int last_row = place_of(bottom - 1, small_height, height, unused) + 2;
    int columns = last_column - first_column + 1;
    int rows = last_row - first_row + 1;
    float* stretched = shared + rows * cells;
    for (int k = thread; k < rows * columns; k += 256) {
        int row = k / columns;
        int column = k - row * columns;
        int y = clamp_int(first_row + row, 0, small_height - 1);
        int x = clamp_int(first_column + column, 0, small_width - 1);
        shared[row * cells + column] = stepped<Alpha>(small, static_cast<long long>(y) * small_row + x, is_half);
    }
    if (thread < bottom - top) downs[thread] = cubic_taps(top + thread, small_height, height);
    __syncthreads();
    int column = thread % 128;
    if (left + column < width) {
        Taps taps = cubic_taps(left + column, small_width, width);
        const float* samples = shared + (taps.first - first_column);
        for (int row = thread / 128; row < rows; row += 2) {
            const float* at = samples + row * cells;
            stretched[row * 128 + column] = four_taps(taps.weight, at[0], at[1], at[2], at[3]);
        }
    }
    __syncthreads();
    int pair = (thread % 64) * 2;
    for (int row = thread / 64; row < bottom - top; row += 4) {
        const Taps& taps = downs[row];
        const float* at = stretched + (taps.first - first_row) * 128 + pair;
        Alpha made[2];
#pragma unroll
        for (int k = 0; k < 2; ++k) {
            if (left + pair + k < width) {
                made[k] = quantise<Alpha>(four_taps(taps.weight, at[k], at[128 + k], at[256 + k], at[384 + k]));
            }
        }
        Alpha* target = full + static_cast<long long>(top + row) * width + left + pair;
        if (pairs && left + pair + 1 < width) {
            store_pair(target, made[0], made[1]);
        } else {
            if (left + pair < width) target[0] = made[0];
            if (left + pair + 1 < width) target[1] = made[1];
        }
    }
}

#define UPSAMPLE(name, Alpha)                                                                                          \
    extern "C" __global__ void __launch_bounds__(256) name(                                                            \
        const void* __restrict__ small, int is_half, int small_row, int small_width, int small_height,                 \
        Alpha* __restrict__ full, int width, int height, int tile_rows, int cells, int pairs) {                        \
        LM_DYNAMIC_SHARED(float, shared);                                                                              \
        __shared__ Taps downs[32];                                                                                     \
        upsample<Alpha>(shared, downs, small, is_half, small_row, small_width, small_height, full, width, height,      \
                        tile_rows, cells, pairs);                                                                      \
    }
UPSAMPLE(lm_upsample_u8, u8)
LM_EXPORT_SYNC(lm_upsample_u8)
UPSAMPLE(lm_upsample_u16, u16)
LM_EXPORT_SYNC(lm_upsample_u16)

// The same for a picture much smaller than the network, whose tiles would not fit into shared memory.
template <class Alpha>
__device__ __forceinline__ void upsample_direct(
    const void* __restrict__ small, int is_half, int small_row, int small_width, int small_height,
    Alpha* __restrict__ full, int width, int height) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    Taps across = cubic_taps(x, small_width, width);
    Taps down = cubic_taps(y, small_height, height);
    float lines[4];
    for (int row = 0; row < 4; ++row) {
        long long start = static_cast<long long>(clamp_int(down.first + row, 0, small_height - 1)) * small_row;
        float values[4];
        for (int k = 0; k < 4; ++k) {
            values[k] = stepped<Alpha>(small, start + clamp_int(across.first + k, 0, small_width - 1), is_half);
        }
        lines[row] = four_taps(across.weight, values[0], values[1], values[2], values[3]);
    }
    full[static_cast<long long>(y) * width + x] =
        quantise<Alpha>(four_taps(down.weight, lines[0], lines[1], lines[2], lines[3]));
}

#define UPSAMPLE_DIRECT(name, Alpha)                                                                              \
    extern "C" __global__ void __launch_bounds__(256) name(                                                       \
        const void* __restrict__ small, int is_half, int small_row, int small_width, int small_height,            \
        Alpha* __restrict__ full, int width, int height) {                                                        \
        upsample_direct<Alpha>(small, is_half, small_row, small_width, small_height, full, width, height);        \
    }
UPSAMPLE_DIRECT(lm_upsample_u8_direct, u8)
LM_EXPORT(lm_upsample_u8_direct)
UPSAMPLE_DIRECT(lm_upsample_u16_direct, u16)
LM_EXPORT(lm_upsample_u16_direct)

// --- Fast guided filter: matting/refine.py, Note [Fast guided filter] ---

// Luma at the network's size, the exact mean over each pixel rounded to whole steps, as a share of `peak`. Blocks are
// tiles of at most 32 x 8 pixels; STAGED: their samples come through shared memory, as in picture.cu.
template <class Sample, bool STAGED>
__device__ __forceinline__ void guide_of(
    const u8* __restrict__ luma, int pitch, int width, int height, float step, float share, float* __restrict__ guide,
    int small_width, int small_height, int vectors, int row_bytes) {
    constexpr int SIZE = static_cast<int>(sizeof(Sample));
    __shared__ Reach columns[32];
    __shared__ Reach rows[8];
    Axis across = {width, small_width, AREA, 0};
    Axis down = {height, small_height, AREA, 0};
    int left = blockIdx.x * blockDim.x;
    int top = blockIdx.y * blockDim.y;
    int column = threadIdx.x;
    int row = threadIdx.y;
    int thread = row * blockDim.x + column;
    int threads = blockDim.x * blockDim.y;
    for (int k = thread; k < 40; k += threads) {
        if (k < 32) {
            columns[k] = reach_of(across, min(left + k, small_width - 1));
        } else {
            rows[k - 32] = reach_of(down, min(top + k - 32, small_height - 1));
        }
    }
    __syncthreads();
    Window window = {luma, pitch, 0, 0};
    if (STAGED) {
        LM_DYNAMIC_SHARED(u8, shared);
        int right = min(static_cast<int>(blockDim.x), small_width - left) - 1;
        int bottom = min(static_cast<int>(blockDim.y), small_height - top) - 1;
        window = stage_rows(shared, row_bytes, luma, pitch, {rows[0].first, rows[bottom].last}, columns[0].first * SIZE,
                            (columns[right].last + 1) * SIZE - 1, vectors, thread, threads);
        __syncthreads();
    }
    int x = left + column;
    int y = top + row;
    if (x < small_width && y < small_height) {
        float mean[1];
        mean_of<Sample, 1>(window, across, down, columns[column], rows[row], x, y, mean);
        guide[y * small_width + x] = rintf(mean[0] * step) * share;
    }
}

#define GUIDE(name, Sample, staged)                                                                                  \
    extern "C" __global__ void __launch_bounds__(256, 4) name(                                                       \
        const u8* __restrict__ luma, int pitch, int width, int height, float step, float share,                      \
        float* __restrict__ guide, int small_width, int small_height, int vectors, int row_bytes) {                  \
        guide_of<Sample, staged>(luma, pitch, width, height, step, share, guide, small_width, small_height, vectors, \
                                 row_bytes);                                                                         \
    }
GUIDE(lm_guide_u8, u8, true)
LM_EXPORT_SYNC(lm_guide_u8)
GUIDE(lm_guide_u16, u16, true)
LM_EXPORT_SYNC(lm_guide_u16)
GUIDE(lm_guide_u8_direct, u8, false)
LM_EXPORT_SYNC(lm_guide_u8_direct)
GUIDE(lm_guide_u16_direct, u16, false)
LM_EXPORT_SYNC(lm_guide_u16_direct)

// Index mirrored at the border, which counts twice: ... 1 0 | 0 1 ... n-1 | n-1 n-2 ...
__device__ __forceinline__ int reflected(int index, int size) {
    while (index < 0 || index >= size) index = index < 0 ? -1 - index : 2 * size - 1 - index;
    return index;
}

constexpr int GF_COLUMNS = 32;
constexpr int GF_ROWS = 16;

// Slope and offset of alpha over luma at the network's size, box means of box means (He, Sun and Tang 2013). All boxes
// are separable sums in shared memory. `share`: slope is written in units of 1 / peak of luma.
//
// In a tile with `radius` r: guide and alpha on (32 + 4r) x (16 + 4r) cells, their products summed across on
// (32 + 2r) x (16 + 4r), slope and offset on (32 + 2r) x (16 + 2r), summed across on 32 x (16 + 2r).
extern "C" __global__ void __launch_bounds__(256) lm_coefficients(
    const float* __restrict__ guide, const void* __restrict__ alpha, int is_half, int alpha_row, int width, int height,
    int radius, float epsilon, float share, float2* __restrict__ coefficients) {
    LM_DYNAMIC_SHARED(float, shared);
    int left = blockIdx.x * GF_COLUMNS;
    int top = blockIdx.y * GF_ROWS;
    int thread = threadIdx.x;
    int outer_columns = GF_COLUMNS + 4 * radius;
    int outer_rows = GF_ROWS + 4 * radius;
    int inner_columns = GF_COLUMNS + 2 * radius;
    int inner_rows = GF_ROWS + 2 * radius;
    int side = 2 * radius + 1;
    float count = static_cast<float>(side * side);
    float* guides = shared;
    float* alphas = guides + outer_columns * outer_rows;
    float* sums = alphas + outer_columns * outer_rows;  // four a cell: guide, alpha, guide * alpha, guide * guide
    float* slopes = sums + 4 * inner_columns * outer_rows;
    float* offsets = slopes + inner_columns * inner_rows;
    float* slope_sums = offsets + inner_columns * inner_rows;
    float* offset_sums = slope_sums + GF_COLUMNS * inner_rows;
    for (int k = thread; k < outer_columns * outer_rows; k += 256) {
        int row = k / outer_columns;
        int y = reflected(top - 2 * radius + row, height);
        int x = reflected(left - 2 * radius + k - row * outer_columns, width);
        guides[k] = guide[y * width + x];
        alphas[k] = load_number(alpha, static_cast<long long>(y) * alpha_row + x, is_half);
    }
    __syncthreads();
    for (int k = thread; k < inner_columns * outer_rows; k += 256) {
        int row = k / inner_columns;
        int from = row * outer_columns + k - row * inner_columns;
        float g_sum = 0.0f;
        float a_sum = 0.0f;
        float ga_sum = 0.0f;
        float gg_sum = 0.0f;
        for (int i = 0; i < side; ++i) {
            float g = guides[from + i];
            float a = alphas[from + i];
            g_sum += g;
            a_sum += a;
            ga_sum += g * a;
            gg_sum += g * g;
        }
        sums[4 * k] = g_sum;
        sums[4 * k + 1] = a_sum;
        sums[4 * k + 2] = ga_sum;
        sums[4 * k + 3] = gg_sum;
    }
    __syncthreads();
    for (int k = thread; k < inner_columns * inner_rows; k += 256) {
        float totals[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        for (int i = 0; i < side; ++i) {
            const float* from = sums + 4 * (k + i * inner_columns);
#pragma unroll
            for (int c = 0; c < 4; ++c) totals[c] += from[c];
        }
        float g_mean = totals[0] / count;
        float a_mean = totals[1] / count;
        float covariance = totals[2] / count - g_mean * a_mean;
        float variance = totals[3] / count - g_mean * g_mean;
        float slope = covariance / (variance + epsilon);
        slopes[k] = slope;
        offsets[k] = a_mean - slope * g_mean;
    }
    __syncthreads();
    // A box at the border takes the mirrored coefficients themselves: the same numbers in the same order everywhere.
    for (int k = thread; k < GF_COLUMNS * inner_rows; k += 256) {
        int row = k / GF_COLUMNS;
        int column = k % GF_COLUMNS;
        int y = clamp_int(reflected(top - radius + row, height) - (top - radius), 0, inner_rows - 1);
        float slope = 0.0f;
        float offset = 0.0f;
        for (int i = 0; i < side; ++i) {
            int x = clamp_int(reflected(left - radius + column + i, width) - (left - radius), 0, inner_columns - 1);
            slope += slopes[y * inner_columns + x];
            offset += offsets[y * inner_columns + x];
        }
        slope_sums[k] = slope;
        offset_sums[k] = offset;
    }
    __syncthreads();
    for (int k = thread; k < GF_COLUMNS * GF_ROWS; k += 256) {
        int x = left + k % GF_COLUMNS;
        int y = top + k / GF_COLUMNS;
        if (x < width && y < height) {
            float slope = 0.0f;
            float offset = 0.0f;
            for (int i = 0; i < side; ++i) {
                slope += slope_sums[k + i * GF_COLUMNS];
                offset += offset_sums[k + i * GF_COLUMNS];
            }
            coefficients[y * width + x] = make_float2(slope / count * share, offset / count);
        }
    }
}
LM_EXPORT_SYNC(lm_coefficients)

struct Between {
    int first;
    int second;
    float weight;  // of the second
};

// OpenCV's linear phase and border rule.
__device__ __forceinline__ Between between(int o, int size, int out) {
    float fraction;
    int at = place_of(o, size, out, fraction);
    if (at < 0) return {0, 0, 0.0f};
    if (at >= size - 1) return {size - 1, size - 1, 0.0f};
    return {at, at + 1, fraction};
}

// alpha = slope * luma + offset at the picture's size, the coefficients interpolated linearly. Four pixels a thread,
// blocks of 32 x 8. `quads`: luma and alpha can be read and written four at a time.
template <class Alpha, class Sample>
__device__ __forceinline__ void guided(
    const float2* __restrict__ coefficients, int small_width, int small_height, const u8* __restrict__ luma, int pitch,
    int shift, Alpha* __restrict__ full, int width, int height, int quads) {
    int x = (blockIdx.x * blockDim.x + threadIdx.x) * 4;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    Between rows = between(y, small_height, height);
    const float2* upper = coefficients + rows.first * small_width;
    const float2* lower = coefficients + rows.second * small_width;
    const Sample* samples = reinterpret_cast<const Sample*>(luma + static_cast<long long>(y) * pitch) + x;
    Alpha* target = full + static_cast<long long>(y) * width + x;
    bool is_whole = quads && x + 4 <= width;
    int count = min(4, width - x);
    u32 greys[4] = {0, 0, 0, 0};
    if (is_whole) {
        load_quad(samples, greys);
    } else {
        for (int k = 0; k < count; ++k) greys[k] = samples[k];
    }
    Alpha made[4] = {0, 0, 0, 0};
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        Between columns = between(min(x + k, width - 1), small_width, width);
        float2 a = upper[columns.first];
        float2 b = upper[columns.second];
        float2 c = lower[columns.first];
        float2 d = lower[columns.second];
        float left_share = 1.0f - columns.weight;
        float upper_share = 1.0f - rows.weight;
        float slope = (a.x * left_share + b.x * columns.weight) * upper_share +
                      (c.x * left_share + d.x * columns.weight) * rows.weight;
        float offset = (a.y * left_share + b.y * columns.weight) * upper_share +
                       (c.y * left_share + d.y * columns.weight) * rows.weight;
        made[k] = quantise<Alpha>((slope * static_cast<float>(greys[k] >> shift) + offset) * peak_of<Alpha>());
    }
    if (is_whole) {
        store_quad(target, made);
    } else {
        for (int k = 0; k < count; ++k) target[k] = made[k];
    }
}

#define GUIDED(name, Alpha, Sample)                                                                                \
    extern "C" __global__ void __launch_bounds__(256) name(                                                        \
        const float2* __restrict__ coefficients, int small_width, int small_height, const u8* __restrict__ luma,   \
        int pitch, int shift, Alpha* __restrict__ full, int width, int height, int quads) {                        \
        guided<Alpha, Sample>(coefficients, small_width, small_height, luma, pitch, shift, full, width, height,    \
                              quads);                                                                              \
    }
GUIDED(lm_guided_u8_u8, u8, u8)
LM_EXPORT(lm_guided_u8_u8)
GUIDED(lm_guided_u16_u8, u16, u8)
LM_EXPORT(lm_guided_u16_u8)
GUIDED(lm_guided_u8_u16, u8, u16)
LM_EXPORT(lm_guided_u8_u16)
GUIDED(lm_guided_u16_u16, u16, u16)
LM_EXPORT(lm_guided_u16_u16)

