// Local means of the person's and the room's colour, on a grid of every eighth pixel: what foreground.cu fills with.
//
// Note [Means on the device]
//     The means of matting/foreground.py's Note [Foreground], of the whole picture in two launches. `survey` reads the
//     grid's samples, each with the alpha of its chroma sample, reduces them to a quarter for the widest window, and
//     sums them up. `means` makes F^ and B^ of every sample, from three windows and the sums. The host computes only a
//     rectangle around the person, and its windows see no further than that; these see the whole picture, so B^ may
//     differ where a window ends in the room. For despill, `screen` then tells from B^ whether the room is a screen.
#include "common.cuh"
#include "picture420.cuh"
#include "screen.cuh"
#include "windows.cuh"

constexpr int CELLS_ACROSS = 8;  // coarse cells of a block of `survey`
constexpr int CELLS_DOWN = 4;

// The sample of the source under the middle of a sample of the grid: OpenCV's INTER_NEAREST_EXACT, exact at ties too.
__device__ __forceinline__ int nearest(int index, int source, int target) {
    return (2 * index + 1) * source / (2 * target);
}

template <typename S, typename A>
__device__ __forceinline__ float4 sample_at(
    const Picture<S>& from, const A* alpha, int width, int height, int x, int y, int grid_width, int grid_height) {
    const int cx = nearest(x, (width + 1) >> 1, grid_width), cy = nearest(y, (height + 1) >> 1, grid_height);
    float4 sample;
    sample.x = (float)(from.luma(nearest(y, height, grid_height))[nearest(x, width, grid_width)] >> from.shift());
    sample.y = (float)(from.blue(cy)[cx * from.step()] >> from.shift());
    sample.z = (float)(from.red(cy)[cx * from.step()] >> from.shift());
    sample.w = (float)chroma_alpha_at(alpha, width, height, cx, cy) * (2.0f / (float)Scale<A>::peak) - 1.0f;
    return sample;
}

// A run of coarse cells along one side, and the samples under it.
struct Span {
    int first_cell, end_cell;
    float ratio;            // samples a cell
    int first, end, own;    // samples under the cells; those up to `own` belong to this block alone

    LM_MEMBER float begin_of(int cell) const { return (float)cell * ratio; }
};

__device__ __forceinline__ Span span_of(int block, int cells_a_block, int cells, int samples) {
    Span span;
    span.ratio = (float)samples / (float)cells;
    span.first_cell = block * cells_a_block;
    span.end_cell = min(span.first_cell + cells_a_block, cells);
    span.first = (int)floorf(span.begin_of(span.first_cell));
    span.end = min(samples, (int)ceilf(span.begin_of(span.end_cell)));
    span.own = (int)floorf(span.begin_of(span.end_cell));
    if (span.end_cell == cells) span.end = span.own = samples;
    return span;
}

// Mean of one channel over a coarse cell, samples weighted by how much of them lies in it: OpenCV's INTER_AREA.
template <int COLUMNS>
__device__ __forceinline__ float cell_mean(
    const float4 (*tile)[COLUMNS], const Span& across, const Span& down, int column, int row, int channel) {
    const float left = across.begin_of(column), right = across.begin_of(column + 1);
    const float top = down.begin_of(row), bottom = down.begin_of(row + 1);
    float sum = 0.0f;
    for (int y = (int)floorf(top); y < min(down.end, (int)ceilf(bottom)); ++y) {
        const float high = fminf(bottom, (float)(y + 1)) - fmaxf(top, (float)y);
        for (int x = (int)floorf(left); x < min(across.end, (int)ceilf(right)); ++x) {
            const float wide = fminf(right, (float)(x + 1)) - fmaxf(left, (float)x);
            sum = sum + high * wide * channel_of(tile[y - down.first][x - across.first], channel);
        }
    }
    return sum / (across.ratio * down.ratio);
}

// samples: (grid_height, grid_width) of (Y, U, V, 2 alpha - 1). coarse: (cells_down, cells_across, 8). partial:
// (blocks, 8) sums of the channels. 256 threads, a block for every 8x4 cells.
template <typename S, typename A>
__device__ __forceinline__ void survey(
    const Picture<S>& from, const A* alpha, int width, int height, float4* samples, int grid_width, int grid_height,
    float* coarse, int cells_across, int cells_down, float* partial) {
    __shared__ float4 tile[4 * CELLS_DOWN + 2][4 * CELLS_ACROSS + 2];
    __shared__ float sums[256];
    const int thread = (int)threadIdx.x;
    const Span across = span_of((int)blockIdx.x, CELLS_ACROSS, cells_across, grid_width);
    const Span down = span_of((int)blockIdx.y, CELLS_DOWN, cells_down, grid_height);
    const int columns = across.end - across.first, rows = down.end - down.first;
    for (int i = thread; i < columns * rows; i += 256) {
        const int column = i % columns, row = i / columns;
        const int x = across.first + column, y = down.first + row;
        const float4 sample = sample_at(from, alpha, width, height, x, y, grid_width, grid_height);
        tile[row][column] = sample;
        if (x < across.own && y < down.own) samples[y * grid_width + x] = sample;
    }
    __syncthreads();
    const int cell = thread >> 3, channel = thread & 7;
    const int cell_x = across.first_cell + cell % CELLS_ACROSS, cell_y = down.first_cell + cell / CELLS_ACROSS;
    if (cell_x < across.end_cell && cell_y < down.end_cell)
        coarse[(cell_y * cells_across + cell_x) * CHANNELS + channel] =
            cell_mean(tile, across, down, cell_x, cell_y, channel);
    const int own_columns = across.own - across.first, own = own_columns * (down.own - down.first);
    float sum = 0.0f;
    for (int i = thread & 31; i < own; i += 32)
        sum = sum + channel_of(tile[i / own_columns][i % own_columns], thread >> 5);
    sums[thread] = sum;
    __syncthreads();
    for (int half = 16; half > 0; half >>= 1) {
        if ((thread & 31) < half) sums[thread] = sums[thread] + sums[thread + half];
        __syncthreads();
    }
    if ((thread & 31) == 0)
        partial[(blockIdx.y * gridDim.x + blockIdx.x) * CHANNELS + (thread >> 5)] = sums[thread];
}

#define SURVEY(NAME, S, A)                                                                                             \
    extern "C" __global__ void __launch_bounds__(256) NAME(                                                            \
        const S* y, const S* u, const S* v, int y_pitch, int c_pitch, int form, const A* alpha, int width, int height, \
        float4* samples, int grid_width, int grid_height, float* coarse, int cells_across, int cells_down,             \
        float* partial) {                                                                                              \
        survey<S, A>(picture_of(y, u, v, y_pitch, c_pitch, form), alpha, width, height, samples, grid_width,     \
                           grid_height, coarse, cells_across, cells_down, partial);                                    \
    }
SURVEY(lm_survey_8_8, u8, u8)
LM_EXPORT_SYNC(lm_survey_8_8)
SURVEY(lm_survey_8_16, u8, u16)
LM_EXPORT_SYNC(lm_survey_8_16)
SURVEY(lm_survey_16_8, u16, u8)
LM_EXPORT_SYNC(lm_survey_16_8)
SURVEY(lm_survey_16_16, u16, u16)
LM_EXPORT_SYNC(lm_survey_16_16)

// --- means ---

// luma: (grid_height, grid_width) words F^ | B^ << 16 of Y; chroma: the same, two words for U and V. room: (blocks, 4)
// sums of B^. 256 threads, a block for every 32x8 samples.
extern "C" __global__ void __launch_bounds__(256) lm_means(
    const float4* samples, const float* coarse, const float* partial, int partial_blocks, int grid_width,
    int grid_height, int cells_across, int cells_down, int flat, u32* luma, uint2* chroma, u32* room) {
    __shared__ Shared shared;
    const int thread = (int)threadIdx.x, column = thread % MEANS_ACROSS, row = thread / MEANS_ACROSS;
    const int x0 = (int)blockIdx.x * MEANS_ACROSS, y0 = (int)blockIdx.y * MEANS_DOWN;
    const int x = x0 + column, y = y0 + row;
    const float across_scale = (float)cells_across / (float)grid_width;
    const float down_scale = (float)cells_down / (float)grid_height;
    const int first_x = tap_at(x0, across_scale, cells_across).first;
    const int first_y = tap_at(y0, down_scale, cells_down).first;
    sum_up(shared, partial, partial_blocks, thread);
    blur_cells(shared, coarse, cells_across, cells_down, first_x, first_y, thread);
    gather(shared, samples, grid_width, grid_height, x0, y0, thread);
    sum_rows(shared, thread);
    u32 back_sums[3] = {0u, 0u, 0u};
    if (x < grid_width && y < grid_height) {
        float front[3], back[3];
        const Tap across = tap_at(x, across_scale, cells_across), down = tap_at(y, down_scale, cells_down);
        means_of(shared, across, down, first_x, first_y, column, row, (float)flat, front, back);
        const float near = nearness(shared, x, y, x0, y0, grid_width, grid_height);
        u32 words[3];
#pragma unroll
        for (int k = 0; k < 3; ++k) {
            words[k] = packed((front[k] - (float)flat) * near + (float)flat, back[k]);
            back_sums[k] = words[k] >> 16;
        }
        luma[y * grid_width + x] = words[0];
        chroma[y * grid_width + x] = make_uint2(words[1], words[2]);
    }
    sum_room(shared, room, back_sums, thread);
}
LM_EXPORT_SYNC(lm_means)

// --- the screen's colour (matting/despill.py) ---

// One block of 256 threads. each: 1 / samples; the scales: units a sample; the rest: the colour matrix (screen.cuh).
extern "C" __global__ void __launch_bounds__(256) lm_screen(
    const u32* room, int blocks, float each, float luma_scale, float chroma_scale, float red, float blue, float green_u,
    float green_v, float from_red, float from_blue, int is_full, int bits, float* into) {
    __shared__ u64 sums[256];
    const int thread = (int)threadIdx.x, lane = thread & 63, channel = thread >> 6;
    u64 sum = 0;
    if (channel < 3)
        for (int i = lane; i < blocks; i += 64) sum += (u64)room[i * 4 + channel];
    sums[thread] = sum;
    __syncthreads();
    for (int half = 32; half > 0; half >>= 1) {
        if (lane < half) sums[thread] += sums[thread + half];
        __syncthreads();
    }
    if (thread == 0) {
        Screen screen;
        float mean[3];
        const Matrix matrix = {red, blue, green_u, green_v, from_red, from_blue};
        set_units(screen, luma_scale, chroma_scale, is_full, bits);
        for (int k = 0; k < 3; ++k)
            mean[k] = (float)sums[64 * k] * each * screen.scale[k] - screen.offset[k];
        choose(screen, mean, matrix, is_full, bits);
        for (int k = 0; k < 3; ++k) screen.reserved[k] = 0.0f;
        *reinterpret_cast<Screen*>(into) = screen;
    }
}
LM_EXPORT_SYNC(lm_screen)
