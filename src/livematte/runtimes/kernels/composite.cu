// The person over something else, and the ways out: planes, RGBA, an alpha plane. compositing/* on the device.
//
// Note [Composite on the device]
//     out = alpha F + (1 - alpha) B on the planes in integers, as compositing/compositor.py's Note [Over]; chroma takes
//     the mean alpha of its 2x2 pixels. RGBA is made in the same pass: chroma, composited, is interpolated between its
//     samples (they lie in the middle of 2x2 pixels) and turned into full-range RGB. The blurred room comes from the
//     grid of means that blur.cu makes.
#include "common.cuh"
#include "parameters.cuh"
#include "picture420.cuh"

// --- what stands behind the person ---

// One colour, from the parameter block.
struct BehindColour {
    int y, u, v;

    template <typename S>
    LM_MEMBER void unit(const Where&, Unit<S>& into) const {
        into.y[0].clear();
        into.y[1].clear();
        into.c.clear();
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            into.y[0].put(i, y);
            into.y[1].put(i, y);
            into.c.put(i, i & 1 ? v : u);
        }
    }
    LM_MEMBER int luma(int, int) const { return y; }
    LM_MEMBER void chroma(int, int, int& blue, int& red) const {
        blue = u;
        red = v;
    }
};

// A picture of the same size and depth.
template <typename P>
struct BehindPicture {
    Picture<P> picture;

    template <typename S>
    LM_MEMBER void unit(const Where& at, Unit<S>& into) const {
        load_unit<S>(picture, at, into);
    }
    LM_MEMBER int luma(int x, int row) const { return picture.luma(row)[x] >> picture.shift(); }
    LM_MEMBER void chroma(int cx, int cy, int& blue, int& red) const {
        blue = picture.blue(cy)[cx * picture.step()] >> picture.shift();
        red = picture.red(cy)[cx * picture.step()] >> picture.shift();
    }
};

// The blurred room: a grid of (Y, U | V << 16) whose samples cover `step` chroma samples.
struct BehindBlur {
    const uint2* means;
    int width, height;
    float luma_scale, chroma_scale;  // grid samples a pixel, and a chroma sample

    template <typename S>
    LM_MEMBER void unit(const Where& at, Unit<S>& into) const {
        const u32* words = reinterpret_cast<const u32*>(means);
        Walk walk;
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            walk.start(words, 2, width, tap_at(at.y + row, luma_scale, height));
            into.y[row].clear();
#pragma unroll
            for (int i = 0; i < 8; ++i) {
                const Tap tap = tap_at(at.x + i, luma_scale, width);
                walk.go(tap);
                into.y[row].put(i, walk.value(0, tap.share));
            }
        }
        walk.start(words + 1, 2, width, tap_at(at.y >> 1, chroma_scale, height));
        into.c.clear();
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const Tap tap = tap_at((at.x >> 1) + k, chroma_scale, width);
            walk.go(tap);
            into.c.put(2 * k, walk.value(0, tap.share));
            into.c.put(2 * k + 1, walk.value(1, tap.share));
        }
    }
    LM_MEMBER int luma(int x, int row) const {
        const Tap tap = tap_at(x, luma_scale, width);
        Walk walk;
        walk.start(reinterpret_cast<const u32*>(means), 2, width, tap_at(row, luma_scale, height));
        walk.go(tap);
        return walk.value(0, tap.share);
    }
    LM_MEMBER void chroma(int cx, int cy, int& blue, int& red) const {
        const Tap tap = tap_at(cx, chroma_scale, width);
        Walk walk;
        walk.start(reinterpret_cast<const u32*>(means) + 1, 2, width, tap_at(cy, chroma_scale, height));
        walk.go(tap);
        blue = walk.value(0, tap.share);
        red = walk.value(1, tap.share);
    }
};

__device__ __forceinline__ BehindColour colour_of(const Parameters* block) {
    BehindColour behind;
    behind.y = block->colour[0];
    behind.u = block->colour[1];
    behind.v = block->colour[2];
    return behind;
}

template <typename S>
__device__ __forceinline__ BehindPicture<S> picture_behind(const Picture<S>& picture) {
    BehindPicture<S> behind;
    behind.picture = picture;
    return behind;
}

__device__ __forceinline__ BehindBlur blur_of(const uint2* means, int width, int height, const Parameters* block) {
    const int step = block->blur_step;
    BehindBlur behind;
    behind.means = means;
    behind.width = div_up((width + 1) >> 1, step);
    behind.height = div_up((height + 1) >> 1, step);
    behind.luma_scale = 0.5f / (float)step;
    behind.chroma_scale = 1.0f / (float)step;
    return behind;
}

// --- to planes ---

template <typename S>
__device__ __forceinline__ int mixed(int behind, int front, int weight) {
    return moved<S>(behind, front, behind, weight);
}

// 16x16 threads, a unit each.
template <typename S, typename A, typename B>
__device__ __forceinline__ void over(
    const Picture<S>& front, const A* alpha, int width, int height, const B& behind, const Picture<S>& to) {
    const Where at = unit_at((int)(blockIdx.x * blockDim.x + threadIdx.x), (int)(blockIdx.y * blockDim.y + threadIdx.y),
                             width, height);
    if (!at.exists()) return;
    Eight<A> share[2];
    load_rows(alpha, width * (int)sizeof(A), at, share);
    Unit<S> person, room;
    const bool all = share[0].is_all(0xffffffffu) && share[1].is_all(0xffffffffu);
    const bool none = share[0].is_all(0u) && share[1].is_all(0u);
    if (!none) load_unit<S>(front, at, person);
    if (all) {
        store_unit(to, at, person);
        return;
    }
    behind.unit(at, room);
    if (!none) {
        Unit<S> result;
#pragma unroll
        for (int row = 0; row < 2; ++row) {
            result.y[row].clear();
#pragma unroll
            for (int i = 0; i < 8; ++i)
                result.y[row].put(i, mixed<S>(room.y[row].at(i), person.y[row].at(i),
                                              weight_for<S, A>(share[row].at(i))));
        }
        result.c.clear();
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            bool is_opaque;
            const int weight = weight_for<S, A>(chroma_alpha<A>(share, k, is_opaque));
            result.c.put(2 * k, mixed<S>(room.c.at(2 * k), person.c.at(2 * k), weight));
            result.c.put(2 * k + 1, mixed<S>(room.c.at(2 * k + 1), person.c.at(2 * k + 1), weight));
        }
        room = result;
    }
    store_unit(to, at, room);
}

// --- to RGBA ---

constexpr int RGBA_ACROSS = 64;  // pixels of a block
constexpr int RGBA_DOWN = 16;

// YUV samples to full-range 8-bit RGB: y = (Y - y_zero) * y_scale, chroma less its middle, then the matrix.
struct ToRgb {
    float y_zero, y_scale, middle, red_v, green_u, green_v, blue_u;
};

__device__ __forceinline__ u32 byte_of(float value) { return (u32)clamp_int((int)rintf(value), 0, 255); }

__device__ __forceinline__ u32 rgb_of(const ToRgb& matrix, float y, float u, float v) {
    const float luma = (y - matrix.y_zero) * matrix.y_scale, blue = u - matrix.middle, red = v - matrix.middle;
    return byte_of(luma + matrix.red_v * red) | byte_of(luma + matrix.green_u * blue + matrix.green_v * red) << 8 |
           byte_of(luma + matrix.blue_u * blue) << 16;
}

struct ChromaTile {
    float u[RGBA_DOWN / 2 + 2][RGBA_ACROSS / 2 + 2];
    float v[RGBA_DOWN / 2 + 2][RGBA_ACROSS / 2 + 2];
};

// Between the middles of chroma samples, where the pixel (x, y) of the block lies.
__device__ __forceinline__ float chroma_at(const float (*tile)[RGBA_ACROSS / 2 + 2], int x, int y) {
    const int column = (x + 1) >> 1, row = (y + 1) >> 1;  // the sample to the left and above, in a tile with one around
    const float right = x & 1 ? 0.25f : 0.75f, down = y & 1 ? 0.25f : 0.75f;
    return between(between(tile[row][column], tile[row][column + 1], right),
                   between(tile[row + 1][column], tile[row + 1][column + 1], right), down);
}

// The block's composited chroma with one sample around; threads are in step again at its end.
template <typename S, typename A, typename B>
__device__ __forceinline__ void fill_chroma(
    ChromaTile& tile, const Picture<S>& front, const A* alpha, int width, int height, const B& behind, int is_over) {
    constexpr int across = RGBA_ACROSS / 2 + 2, down = RGBA_DOWN / 2 + 2;
    const int x0 = (int)blockIdx.x * (RGBA_ACROSS / 2) - 1, y0 = (int)blockIdx.y * (RGBA_DOWN / 2) - 1;
    for (int i = (int)(threadIdx.y * blockDim.x + threadIdx.x); i < across * down; i += 256) {
        const int cx = clamp_int(x0 + i % across, 0, ((width + 1) >> 1) - 1);
        const int cy = clamp_int(y0 + i / across, 0, ((height + 1) >> 1) - 1);
        int u = front.blue(cy)[cx * front.step()] >> front.shift();
        int v = front.red(cy)[cx * front.step()] >> front.shift();
        if (is_over) {
            int room_u, room_v;
            behind.chroma(cx, cy, room_u, room_v);
            const int weight = weight_for<S, A>(chroma_alpha_at(alpha, width, height, cx, cy));
            u = mixed<S>(room_u, u, weight);
            v = mixed<S>(room_v, v, weight);
        }
        tile.u[i / across][i % across] = (float)u;
        tile.v[i / across][i % across] = (float)v;
    }
    __syncthreads();
}

// out: (height, width) words R | G << 8 | B << 16 | A << 24. 16x16 threads, 4 pixels of a row each. `is_over` 0: the
// person's own colours with alpha; 1: over what is behind, opaque.
template <typename S, typename A, typename B>
__device__ __forceinline__ void to_rgba(
    const Picture<S>& front, const A* alpha, int width, int height, const B& behind, int is_over, const ToRgb& matrix,
    u32* out) {
    __shared__ ChromaTile tile;
    fill_chroma(tile, front, alpha, width, height, behind, is_over);
    const int column = (int)threadIdx.x * 4, row = (int)threadIdx.y;
    const int x = (int)blockIdx.x * RGBA_ACROSS + column, y = (int)blockIdx.y * RGBA_DOWN + row;
    if (x >= width || y >= height) return;
    const S* luma = front.luma(y);
    const A* share = alpha + (u64)y * (u64)width;
    u32* line = out + (u64)y * (u64)width + x;
    const int count = min(4, width - x);
    u32 words[4] = {0u, 0u, 0u, 0u};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        if (i >= count) continue;
        int sample = luma[x + i] >> front.shift();
        u32 opacity = 255u;
        if (is_over)
            sample = mixed<S>(behind.luma(x + i, y), sample, weight_for<S, A>(share[x + i]));
        else
            opacity = (u32)weight_for<u8, A>(share[x + i]);
        const float u = chroma_at(tile.u, column + i, row), v = chroma_at(tile.v, column + i, row);
        words[i] = rgb_of(matrix, (float)sample, u, v) | opacity << 24;
    }
    if (count == 4 && ((u64)line & 15u) == 0u) {
        *reinterpret_cast<uint4*>(line) = make_uint4(words[0], words[1], words[2], words[3]);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
        if (i < count) line[i] = words[i];
}

#define ROOM(S) const S *b_y, const S *b_u, const S *b_v, int b_y_pitch, int b_c_pitch, int b_form
#define ROOM_PICTURE picture_of(b_y, b_u, b_v, b_y_pitch, b_c_pitch, b_form)
#define MATRIX float y_zero, float y_scale, float middle, float red_v, float green_u, float green_v, float blue_u
#define MATRIX_OF {y_zero, y_scale, middle, red_v, green_u, green_v, blue_u}

// The six ways, for one type of samples and one of alpha.
#define COMPOSITE(TYPES, S, A)                                                                                        \
    extern "C" __global__ void __launch_bounds__(256)                                                                 \
        lm_over_colour_##TYPES(FRONT(S, A), TARGET(S), const Parameters* block) {                                     \
        over(FRONT_PICTURE, alpha, width, height, colour_of(block), TARGET_PICTURE);                                  \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                                                 \
        lm_over_image_##TYPES(FRONT(S, A), TARGET(S), ROOM(S)) {                                                      \
        over(FRONT_PICTURE, alpha, width, height, picture_behind(ROOM_PICTURE), TARGET_PICTURE);                      \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                                                 \
        lm_over_blur_##TYPES(FRONT(S, A), TARGET(S), const uint2* means, const Parameters* block) {                   \
        over(FRONT_PICTURE, alpha, width, height, blur_of(means, width, height, block), TARGET_PICTURE);              \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                                                 \
        lm_rgba_colour_##TYPES(FRONT(S, A), u32* out, MATRIX, int is_over, const Parameters* block) {                 \
        const ToRgb matrix = MATRIX_OF;                                                                               \
        to_rgba(FRONT_PICTURE, alpha, width, height, colour_of(block), is_over, matrix, out);                         \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                                                 \
        lm_rgba_image_##TYPES(FRONT(S, A), u32* out, MATRIX, ROOM(S)) {                                               \
        const ToRgb matrix = MATRIX_OF;                                                                               \
        to_rgba(FRONT_PICTURE, alpha, width, height, picture_behind(ROOM_PICTURE), 1, matrix, out);                   \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256)                                                                 \
        lm_rgba_blur_##TYPES(FRONT(S, A), u32* out, MATRIX, const uint2* means, const Parameters* block) {            \
        const ToRgb matrix = MATRIX_OF;                                                                               \
        to_rgba(FRONT_PICTURE, alpha, width, height, blur_of(means, width, height, block), 1, matrix, out);           \
    }

COMPOSITE(8_8, u8, u8)
LM_EXPORT(lm_over_colour_8_8)
LM_EXPORT(lm_over_image_8_8)
LM_EXPORT(lm_over_blur_8_8)
LM_EXPORT_SYNC(lm_rgba_colour_8_8)
LM_EXPORT_SYNC(lm_rgba_image_8_8)
LM_EXPORT_SYNC(lm_rgba_blur_8_8)
COMPOSITE(8_16, u8, u16)
LM_EXPORT(lm_over_colour_8_16)
LM_EXPORT(lm_over_image_8_16)
LM_EXPORT(lm_over_blur_8_16)
LM_EXPORT_SYNC(lm_rgba_colour_8_16)
LM_EXPORT_SYNC(lm_rgba_image_8_16)
LM_EXPORT_SYNC(lm_rgba_blur_8_16)
COMPOSITE(16_8, u16, u8)
LM_EXPORT(lm_over_colour_16_8)
LM_EXPORT(lm_over_image_16_8)
LM_EXPORT(lm_over_blur_16_8)
LM_EXPORT_SYNC(lm_rgba_colour_16_8)
LM_EXPORT_SYNC(lm_rgba_image_16_8)
LM_EXPORT_SYNC(lm_rgba_blur_16_8)
COMPOSITE(16_16, u16, u16)
LM_EXPORT(lm_over_colour_16_16)
LM_EXPORT(lm_over_image_16_16)
LM_EXPORT(lm_over_blur_16_16)
LM_EXPORT_SYNC(lm_rgba_colour_16_16)
LM_EXPORT_SYNC(lm_rgba_image_16_16)
LM_EXPORT_SYNC(lm_rgba_blur_16_16)

// --- an alpha plane of another depth ---

// out = alpha * top / peak, rounded half up (planes.alpha_to_bits). 8 samples of a row a thread; pitch in bytes.
template <typename A, typename T>
__device__ __forceinline__ void alpha_plane(const A* alpha, int width, int height, T* out, int pitch, int top) {
    const Where at = unit_at((int)(blockIdx.x * blockDim.x + threadIdx.x), 0, width, UNIT_ROWS);
    const int y = (int)(blockIdx.y * blockDim.y + threadIdx.y);
    if (!at.exists() || y >= height) return;
    const A* from = alpha + (u64)y * (u64)width + at.x;
    const Eight<A> source = at.columns == 8 && is_vector(from) ? load_vector(from) : load_some(from, at.columns);
    Eight<T> result;
    result.clear();
    const u32 peak = (u32)Scale<A>::peak;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        const u32 value = (u32)source.at(i);
        result.put(i, (int)((u32)top == peak ? value : (value * (u32)top + peak / 2u) / peak));
    }
    store_some(row_of(out, y, pitch) + at.x, result, at.columns);
}

#define ALPHA_PLANE(NAME, A, T)                                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                                                 \
        NAME(const A* alpha, int width, int height, T* out, int pitch, int top) {                                     \
        alpha_plane(alpha, width, height, out, pitch, top);                                                           \
    }
ALPHA_PLANE(lm_alpha_plane_8_8, u8, u8)
LM_EXPORT(lm_alpha_plane_8_8)
ALPHA_PLANE(lm_alpha_plane_8_16, u8, u16)
LM_EXPORT(lm_alpha_plane_8_16)
ALPHA_PLANE(lm_alpha_plane_16_8, u16, u8)
LM_EXPORT(lm_alpha_plane_16_8)
ALPHA_PLANE(lm_alpha_plane_16_16, u16, u16)
LM_EXPORT(lm_alpha_plane_16_16)
