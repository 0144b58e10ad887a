// Straight foreground colours: the edge cleaned of the room, the room filled over. matting/foreground.py on the device.
//
// Note [Foreground on the device]
//     Over the grid of local means that means.cu made, one launch goes over the picture: it copies what is opaque,
//     fills the room with F^ (one flat colour beyond three samples of the grid) and unmixes the band, in integers as
//     the host does. It may write to the picture it reads. With despill it also writes by how much each chroma sample
//     exceeds the screen's neighbours, and a second launch takes that out of the band.
#include "common.cuh"
#include "parameters.cuh"
#include "picture420.cuh"
#include "screen.cuh"

// The grid of means under a picture.
struct Grid {
    const u32* luma;
    const u32* chroma;
    int width, height;
};

template <typename S>
struct Band {
    static constexpr int least = sizeof(S) == 1 ? 26 : 6554;  // alpha 0.1: below it a pixel shows nothing of its own
    static constexpr float gain_scale = sizeof(S) == 1 ? 255.0f / (229.0f * 229.0f) : 65535.0f / (58981.0f * 58981.0f);

    // How far the residual is believed: ((alpha - 0.1) / 0.9)^2.
    static LM_MEMBER int gain(int share) {
        const float above = (float)(max(share, least) - least);
        return (int)rintf(above * above * gain_scale);
    }
};

// One sample: F^ of the grid, and F where something of its own shows.
template <typename S>
__device__ __forceinline__ int unmixed(const Walk& walk, float along, int source, int share, int sample_peak) {
    const int front = walk.value(0, along);
    const int gain = Band<S>::gain(share);
    if (gain == 0) return min(front, sample_peak);
    const int back = walk.value(1, along);
    const int expected = moved<S>(back, front, back, share);
    return min(moved<S>(front, source, expected, gain), sample_peak);
}

template <typename S, typename A>
__device__ __forceinline__ void clean_luma(
    const Eight<A> (&alpha)[2], const Unit<S>& source, const Where& at, const Grid& grid, float across, float down,
    int sample_peak, Unit<S>& result) {
#pragma unroll
    for (int row = 0; row < 2; ++row) {
        Walk walk;
        walk.start(grid.luma, 1, grid.width, tap_at(at.y + min(row, at.rows - 1), down, grid.height));
        result.y[row].clear();
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const Tap tap = tap_at(at.x + min(i, at.columns - 1), across, grid.width);
            const int share = alpha[row].at(i);
            walk.go(tap);
            const int own = source.y[row].at(i);
            const int cleaned = unmixed<S>(walk, tap.share, own, weight_for<S, A>(share), sample_peak);
            result.y[row].put(i, share == Scale<A>::peak ? own : cleaned);
        }
    }
}

template <typename S, typename A>
__device__ __forceinline__ void clean_chroma(
    const Eight<A> (&alpha)[2], const Unit<S>& source, const Where& at, const Grid& grid, float across, float down,
    int sample_peak, Unit<S>& result) {
    const Tap row = tap_at(at.y >> 1, down, grid.height);
    Walk blue, red;
    blue.start(grid.chroma, 2, grid.width, row);
    red.start(grid.chroma + 1, 2, grid.width, row);
    result.c.clear();
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        const Tap tap = tap_at((at.x >> 1) + min(k, at.chroma_columns() - 1), across, grid.width);
        bool is_opaque;
        const int share = weight_for<S, A>(chroma_alpha<A>(alpha, k, is_opaque));
        blue.go(tap);
        red.go(tap);
        const int u = source.c.at(2 * k), v = source.c.at(2 * k + 1);
        result.c.put(2 * k, is_opaque ? u : unmixed<S>(blue, tap.share, u, share, sample_peak));
        result.c.put(2 * k + 1, is_opaque ? v : unmixed<S>(red, tap.share, v, share, sample_peak));
    }
}

// By how much each chroma sample of the unit exceeds the screen's neighbours, times `amount`.
template <typename S>
__device__ __forceinline__ void write_excess(
    const Unit<S>& unit, const Where& at, const Screen& screen, float amount, float* excess, int chroma_width) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        if (k >= at.chroma_columns()) continue;
        const float y = (float)luma_under(unit, k) * screen.scale[0] - screen.offset[0];
        const float u = (float)unit.c.at(2 * k) * screen.scale[1] - screen.offset[1];
        const float v = (float)unit.c.at(2 * k + 1) * screen.scale[2] - screen.offset[2];
        const float over = screen.row[0] * y + screen.row[1] * u + screen.row[2] * v;
        excess[(at.y >> 1) * chroma_width + (at.x >> 1) + k] = fmaxf(over, 0.0f) * amount;
    }
}

// What `clean` was asked for.
constexpr int KEEP_BACKGROUND = 1;
constexpr int WRITE_EXCESS = 2;
constexpr int IN_PLACE = 4;

// 16x16 threads, a unit each.
template <typename S, typename A>
__device__ __forceinline__ void clean(
    const Picture<S>& from, const A* alpha, const Picture<S>& to, int width, int height, const Grid& grid,
    int bits, int wish, float* excess, const float* screen, const Parameters* parameters) {
    const Where at = unit_at((int)(blockIdx.x * blockDim.x + threadIdx.x), (int)(blockIdx.y * blockDim.y + threadIdx.y),
                             width, height);
    if (!at.exists()) return;
    Eight<A> share[2];
    load_rows(alpha, width * (int)sizeof(A), at, share);
    const bool all = share[0].is_all(0xffffffffu) && share[1].is_all(0xffffffffu);
    const bool none = share[0].is_all(0u) && share[1].is_all(0u);
    const bool keeps = all || (wish & KEEP_BACKGROUND);
    if (keeps && (wish & IN_PLACE) && !(wish & WRITE_EXCESS)) return;
    Unit<S> source, result;
    if (none && !keeps) {
        source.y[0].clear();
        source.y[1].clear();
        source.c.clear();
    } else {
        load_unit<S>(from, at, source);
    }
    const int chroma_width = (width + 1) >> 1, chroma_height = (height + 1) >> 1;
    if (keeps) {
        result = source;
    } else {
        const int peak = (1 << bits) - 1;
        clean_luma<S, A>(share, source, at, grid, (float)grid.width / (float)width, (float)grid.height / (float)height,
                         peak, result);
        clean_chroma<S, A>(share, source, at, grid, (float)grid.width / (float)chroma_width,
                           (float)grid.height / (float)chroma_height, peak, result);
    }
    if (wish & WRITE_EXCESS)
        write_excess(result, at, *reinterpret_cast<const Screen*>(screen), parameters->despill, excess, chroma_width);
    if (!(keeps && (wish & IN_PLACE))) store_unit(to, at, result);
}

#define CLEAN(NAME, S, A)                                                                                              \
    extern "C" __global__ void __launch_bounds__(256) NAME(                                                            \
        const S* y, const S* u, const S* v, int y_pitch, int c_pitch, int form, const A* alpha, int width, int height, \
        S* to_y, S* to_u, S* to_v, int to_y_pitch, int to_c_pitch, int to_form, const u32* luma, const u32* chroma,    \
        int grid_width, int grid_height, int bits, int wish, float* excess, const float* screen,                       \
        const Parameters* parameters) {                                                                                \
        Grid grid;                                                                                                     \
        grid.luma = luma;                                                                                              \
        grid.chroma = chroma;                                                                                          \
        grid.width = grid_width;                                                                                       \
        grid.height = grid_height;                                                                                     \
        clean<S, A>(picture_of(y, u, v, y_pitch, c_pitch, form), alpha,                                                \
                    picture_of(to_y, to_u, to_v, to_y_pitch, to_c_pitch, to_form), width, height, grid, bits, wish,    \
                    excess, screen, parameters);                                                                       \
    }
CLEAN(lm_clean_8_8, u8, u8)
LM_EXPORT(lm_clean_8_8)
CLEAN(lm_clean_8_16, u8, u16)
LM_EXPORT(lm_clean_8_16)
CLEAN(lm_clean_16_8, u16, u8)
LM_EXPORT(lm_clean_16_8)
CLEAN(lm_clean_16_16, u16, u16)
LM_EXPORT(lm_clean_16_16)

// --- despill ---

__device__ __forceinline__ float spread_at(const float* excess, int width, const Tap& across, const Tap& down) {
    const float* upper = excess + down.first * width;
    const float* lower = excess + down.second * width;
    return between(between(upper[across.first], upper[across.second], across.share),
                   between(lower[across.first], lower[across.second], across.share), down.share);
}

__device__ __forceinline__ int lowered(int sample, float change, int peak) {
    return clamp_int((int)rintf((float)sample - change), 0, peak);
}

// In place on a cleaned picture; 16x16 threads, a unit each.
template <typename S, typename A>
__device__ __forceinline__ void despill(
    const Picture<S>& picture, const A* alpha, int width, int height, int bits, const float* excess,
    const Screen& screen) {
    const Where at = unit_at((int)(blockIdx.x * blockDim.x + threadIdx.x), (int)(blockIdx.y * blockDim.y + threadIdx.y),
                             width, height);
    if (!at.exists() || screen.is_on == 0.0f) return;
    Eight<A> share[2];
    load_rows(alpha, width * (int)sizeof(A), at, share);
    if (share[0].is_all(0xffffffffu) && share[1].is_all(0xffffffffu)) return;
    if (share[0].is_all(0u) && share[1].is_all(0u)) return;
    const int chroma_width = (width + 1) >> 1, chroma_height = (height + 1) >> 1, peak = (1 << bits) - 1;
    Unit<S> source, result;
    load_unit<S>(picture, at, source);
#pragma unroll
    for (int row = 0; row < 2; ++row) {
        const Tap down = tap_at(at.y + row, (float)chroma_height / (float)height, chroma_height);
        result.y[row].clear();
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            const int a = share[row].at(i);
            int sample = source.y[row].at(i);
            if (a > 0 && a < Scale<A>::peak) {
                const Tap across = tap_at(at.x + i, (float)chroma_width / (float)width, chroma_width);
                sample = lowered(sample, spread_at(excess, chroma_width, across, down) * screen.change[0], peak);
            }
            result.y[row].put(i, sample);
        }
    }
    result.c.clear();
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        bool is_opaque;
        const int a = chroma_alpha<A>(share, k, is_opaque);
        int u = source.c.at(2 * k), v = source.c.at(2 * k + 1);
        if (a > 0 && !is_opaque) {
            const float spread = excess[(at.y >> 1) * chroma_width + (at.x >> 1) + min(k, at.chroma_columns() - 1)];
            u = lowered(u, spread * screen.change[1], peak);
            v = lowered(v, spread * screen.change[2], peak);
        }
        result.c.put(2 * k, u);
        result.c.put(2 * k + 1, v);
    }
    store_unit(picture, at, result);
}

#define DESPILL(NAME, S, A)                                                                                            \
    extern "C" __global__ void __launch_bounds__(256)                                                                  \
        NAME(S* y, S* u, S* v, int y_pitch, int c_pitch, int form, const A* alpha, int width, int height, int bits,    \
             const float* excess, const float* screen) {                                                               \
        despill<S, A>(picture_of(y, u, v, y_pitch, c_pitch, form), alpha, width, height, bits, excess,                 \
                      *reinterpret_cast<const Screen*>(screen));                                                       \
    }
DESPILL(lm_despill_8_8, u8, u8)
LM_EXPORT(lm_despill_8_8)
DESPILL(lm_despill_8_16, u8, u16)
LM_EXPORT(lm_despill_8_16)
DESPILL(lm_despill_16_8, u16, u8)
LM_EXPORT(lm_despill_16_8)
DESPILL(lm_despill_16_16, u16, u16)
LM_EXPORT(lm_despill_16_16)
