// A picture's planes: to a network's input in one pass, and turned by quarter turns.
#include "common.cuh"
#include "area.cuh"

// What the pixels of a tile take from luma and chroma, worked out once a column and once a row.
constexpr int TILE_COLUMNS = 32;
constexpr int TILE_ROWS = 8;

struct TileReach {
    Reach luma_x[TILE_COLUMNS];
    Reach chroma_x[TILE_COLUMNS];
    Reach luma_y[TILE_ROWS];
    Reach chroma_y[TILE_ROWS];
};

struct Grids {
    Axis luma_x;
    Axis luma_y;
    Axis chroma_x;
    Axis chroma_y;
};

__device__ __forceinline__ void fill_reach(
    TileReach& tile, const Grids& grids, int left, int top, int thread, int threads) {
    for (int k = thread; k < 2 * (TILE_COLUMNS + TILE_ROWS); k += threads) {
        if (k < 2 * TILE_COLUMNS) {
            int column = k % TILE_COLUMNS;
            int x = min(left + column, grids.luma_x.out - 1);
            if (k < TILE_COLUMNS) {
                tile.luma_x[column] = reach_of(grids.luma_x, x);
            } else {
                tile.chroma_x[column] = reach_of(grids.chroma_x, x);
            }
        } else {
            int row = k % TILE_ROWS;
            int y = min(top + row, grids.luma_y.out - 1);
            if (k < 2 * TILE_COLUMNS + TILE_ROWS) {
                tile.luma_y[row] = reach_of(grids.luma_y, y);
            } else {
                tile.chroma_y[row] = reach_of(grids.chroma_y, y);
            }
        }
    }
}

// From YUV planes to a normalised tensor.
//
// Each plane is averaged over the tensor's pixel by its own ratio, chroma where its samples lie (`place_x`, `place_y`:
// quarters of a chroma sample, 1 for the left and the top). The mean YUV becomes RGB, clamped to 0..1, and
// value = rgb * gain + offset is written at origin + x * step_x + y * step_y + plane. Steps hold layout, rotation,
// mirroring and letterbox: (x, y) runs over the picture as it lies in memory. A block makes a tile of at most 32 x 8
// pixels; STAGED: its samples come through shared memory, fetched by wide loads that are all under way at once.
//
// Samples of more than 8 bits are taken as they lie (P010's in the high bits): y_scale, y_zero... account for that.
template <class Sample, bool INTERLEAVED, bool STAGED>
__device__ __forceinline__ void preprocess(
    const u8* __restrict__ luma, int luma_pitch, int luma_width, int luma_height,
    const u8* __restrict__ first, const u8* __restrict__ second, int chroma_pitch, int chroma_width, int chroma_height,
    int out_width, int out_height, int kind_x, int kind_y, int place_x, int place_y, int vectors,
    int luma_row_bytes, int luma_rows, int chroma_row_bytes, int chroma_rows,
    float y_zero, float y_scale, float c_zero, float v_to_r, float u_to_g, float v_to_g, float u_to_b,
    float gain_r, float gain_g, float gain_b, float offset_r, float offset_g, float offset_b,
    void* __restrict__ out, int is_half, int origin, int step_x, int step_y, int plane_r, int plane_g, int plane_b) {
    constexpr int SIZE = static_cast<int>(sizeof(Sample));
    constexpr int GROUP = INTERLEAVED ? 2 : 1;
    __shared__ TileReach tile;
    // A chroma plane may have fewer samples than the tensor has pixels where luma has more: then it is interpolated.
    Grids grids = {{luma_width, out_width, kind_x, 0},
                   {luma_height, out_height, kind_y, 0},
                   {chroma_width, out_width, chroma_width < out_width ? TRIANGLE : kind_x, place_x},
                   {chroma_height, out_height, chroma_height < out_height ? TRIANGLE : kind_y, place_y}};
    int left = blockIdx.x * blockDim.x;
    int top = blockIdx.y * blockDim.y;
    int column = threadIdx.x;
    int row = threadIdx.y;
    int thread = row * blockDim.x + column;
    int threads = blockDim.x * blockDim.y;
    fill_reach(tile, grids, left, top, thread, threads);
    __syncthreads();
    Window window_y = {luma, luma_pitch, 0, 0};
    Window window_u = {first, chroma_pitch, 0, 0};
    Window window_v = {second, chroma_pitch, 0, 0};
    if (STAGED) {
        LM_DYNAMIC_SHARED(u8, shared);
        int right = min(static_cast<int>(blockDim.x), out_width - left) - 1;
        int bottom = min(static_cast<int>(blockDim.y), out_height - top) - 1;
        Span rows = {tile.luma_y[0].first, tile.luma_y[bottom].last};
        window_y = stage_rows(shared, luma_row_bytes, luma, luma_pitch, rows, tile.luma_x[0].first * SIZE,
                              (tile.luma_x[right].last + 1) * SIZE - 1, vectors, thread, threads);
        u8* at = shared + luma_row_bytes * luma_rows;
        int first_byte = tile.chroma_x[0].first * GROUP * SIZE;
        int last_byte = (tile.chroma_x[right].last + 1) * GROUP * SIZE - 1;
        rows = {tile.chroma_y[0].first, tile.chroma_y[bottom].last};
        window_u = stage_rows(at, chroma_row_bytes, first, chroma_pitch, rows, first_byte, last_byte, vectors, thread,
                              threads);
        if (!INTERLEAVED) {
            at += chroma_row_bytes * chroma_rows;
            window_v = stage_rows(at, chroma_row_bytes, second, chroma_pitch, rows, first_byte, last_byte, vectors,
                                  thread, threads);
        }
        __syncthreads();
    }
    int x = left + column;
    int y = top + row;
    if (x < out_width && y < out_height) {
        float luma_mean[1];
        mean_of<Sample, 1>(
            window_y, grids.luma_x, grids.luma_y, tile.luma_x[column], tile.luma_y[row], x, y, luma_mean);
        const Reach& columns = tile.chroma_x[column];
        const Reach& rows = tile.chroma_y[row];
        float chroma[2];
        if (INTERLEAVED) {
            mean_of<Sample, 2>(window_u, grids.chroma_x, grids.chroma_y, columns, rows, x, y, chroma);
        } else {
            float one[1];
            mean_of<Sample, 1>(window_u, grids.chroma_x, grids.chroma_y, columns, rows, x, y, one);
            chroma[0] = one[0];
            mean_of<Sample, 1>(window_v, grids.chroma_x, grids.chroma_y, columns, rows, x, y, one);
            chroma[1] = one[0];
        }
        float grey = (luma_mean[0] - y_zero) * y_scale;
        float u = chroma[0] - c_zero;
        float v = chroma[1] - c_zero;
        float red = clamp_float(grey + v * v_to_r, 0.0f, 1.0f);
        float green = clamp_float((grey + u * u_to_g) + v * v_to_g, 0.0f, 1.0f);
        float blue = clamp_float(grey + u * u_to_b, 0.0f, 1.0f);
        long long at = origin + static_cast<long long>(x) * step_x + static_cast<long long>(y) * step_y;
        store_number(out, at + plane_r, is_half, red * gain_r + offset_r);
        store_number(out, at + plane_g, is_half, green * gain_g + offset_g);
        store_number(out, at + plane_b, is_half, blue * gain_b + offset_b);
    }
}

// Blocks that an SM must hold: with 5, the 576 of 1080p NV12 to 512x288 all run at once on 132 SMs. Turing holds 4, and
// with 5 the planar kernels would spill registers.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define BLOCKS 4
#else
#define BLOCKS 5
#endif

#define PREPROCESS(name, Sample, interleaved, staged, blocks)                                                          \
    extern "C" __global__ void __launch_bounds__(256, blocks) name(                                                    \
        const u8* __restrict__ luma, int luma_pitch, int luma_width, int luma_height, const u8* __restrict__ first,    \
        const u8* __restrict__ second, int chroma_pitch, int chroma_width, int chroma_height, int out_width,           \
        int out_height, int kind_x, int kind_y, int place_x, int place_y, int vectors, int luma_row_bytes,             \
        int luma_rows, int chroma_row_bytes, int chroma_rows, float y_zero, float y_scale, float c_zero,               \
        float v_to_r, float u_to_g, float v_to_g, float u_to_b, float gain_r, float gain_g, float gain_b,              \
        float offset_r, float offset_g, float offset_b, void* __restrict__ out, int is_half, int origin, int step_x,   \
        int step_y, int plane_r, int plane_g, int plane_b) {                                                           \
        preprocess<Sample, interleaved, staged>(                                                                       \
            luma, luma_pitch, luma_width, luma_height, first, second, chroma_pitch, chroma_width, chroma_height,       \
            out_width, out_height, kind_x, kind_y, place_x, place_y, vectors, luma_row_bytes, luma_rows,               \
            chroma_row_bytes, chroma_rows, y_zero, y_scale, c_zero, v_to_r, u_to_g, v_to_g, u_to_b, gain_r, gain_g,    \
            gain_b, offset_r, offset_g, offset_b, out, is_half, origin, step_x, step_y, plane_r, plane_g, plane_b);    \
    }

PREPROCESS(lm_preprocess_semi_u8, u8, true, true, BLOCKS)
LM_EXPORT_SYNC(lm_preprocess_semi_u8)
PREPROCESS(lm_preprocess_semi_u16, u16, true, true, BLOCKS)
LM_EXPORT_SYNC(lm_preprocess_semi_u16)
PREPROCESS(lm_preprocess_planar_u8, u8, false, true, 4)
LM_EXPORT_SYNC(lm_preprocess_planar_u8)
PREPROCESS(lm_preprocess_planar_u16, u16, false, true, 4)
LM_EXPORT_SYNC(lm_preprocess_planar_u16)
// Where a tile's samples do not fit into shared memory (a network of 32x32 for a picture of 8K).
PREPROCESS(lm_preprocess_semi_u8_direct, u8, true, false, BLOCKS)
LM_EXPORT_SYNC(lm_preprocess_semi_u8_direct)
PREPROCESS(lm_preprocess_semi_u16_direct, u16, true, false, BLOCKS)
LM_EXPORT_SYNC(lm_preprocess_semi_u16_direct)
PREPROCESS(lm_preprocess_planar_u8_direct, u8, false, false, 4)
LM_EXPORT_SYNC(lm_preprocess_planar_u8_direct)
PREPROCESS(lm_preprocess_planar_u16_direct, u16, false, false, 4)
LM_EXPORT_SYNC(lm_preprocess_planar_u16_direct)

// A pitched copy: 16 bytes a thread, blocks of 32 x 8. `vectors`: addresses and pitches are multiples of 16.
extern "C" __global__ void __launch_bounds__(256) lm_copy_plane(
    const u8* __restrict__ from, int from_pitch, u8* __restrict__ to, int to_pitch, int row_bytes, int rows,
    int vectors) {
    int byte = (blockIdx.x * blockDim.x + threadIdx.x) * 16;
    int row = blockIdx.y * blockDim.y + threadIdx.y;
    if (row >= rows || byte >= row_bytes) return;
    const u8* source = from + static_cast<long long>(row) * from_pitch + byte;
    u8* target = to + static_cast<long long>(row) * to_pitch + byte;
    if (vectors && byte + 16 <= row_bytes) {
        *reinterpret_cast<uint4*>(target) = *reinterpret_cast<const uint4*>(source);
        return;
    }
    int bytes = min(16, row_bytes - byte);
    for (int b = 0; b < bytes; ++b) target[b] = source[b];
}
LM_EXPORT(lm_copy_plane)

constexpr int TURN = 64;  // side of a tile, elements

__device__ __forceinline__ void load_four(const u8* from, u8 (&four)[4]) {
    u32 bits = *reinterpret_cast<const u32*>(from);
#pragma unroll
    for (int k = 0; k < 4; ++k) four[k] = static_cast<u8>(bits >> (8 * k));
}
__device__ __forceinline__ void load_four(const u8* from, u16 (&four)[4]) {
    uint2 bits = *reinterpret_cast<const uint2*>(from);
    four[0] = static_cast<u16>(bits.x);
    four[1] = static_cast<u16>(bits.x >> 16);
    four[2] = static_cast<u16>(bits.y);
    four[3] = static_cast<u16>(bits.y >> 16);
}
__device__ __forceinline__ void load_four(const u8* from, u32 (&four)[4]) {
    uint4 bits = *reinterpret_cast<const uint4*>(from);
    four[0] = bits.x;
    four[1] = bits.y;
    four[2] = bits.z;
    four[3] = bits.w;
}
__device__ __forceinline__ void store_four(u8* to, const u8 (&four)[4]) {
    *reinterpret_cast<u32*>(to) = four[0] | (four[1] << 8) | (four[2] << 16) | (static_cast<u32>(four[3]) << 24);
}
__device__ __forceinline__ void store_four(u8* to, const u16 (&four)[4]) {
    *reinterpret_cast<uint2*>(to) =
        make_uint2(four[0] | (static_cast<u32>(four[1]) << 16), four[2] | (static_cast<u32>(four[3]) << 16));
}
__device__ __forceinline__ void store_four(u8* to, const u32 (&four)[4]) {
    *reinterpret_cast<uint4*>(to) = make_uint4(four[0], four[1], four[2], four[3]);
}

// Turns a plane clockwise by 90, 180 or 270 degrees, exactly. One block a tile of 64 x 64 elements, read row by row
// and written row by row, four elements a thread where addresses allow. `quads`: bases and pitches are multiples of 4
// elements.
template <class Element>
__device__ __forceinline__ void turn_plane(
    Element (&tile)[TURN][TURN + 1], const u8* __restrict__ from, int from_pitch, int width, int height,
    u8* __restrict__ to, int to_pitch, int rotation, int quads) {
    constexpr int SIZE = static_cast<int>(sizeof(Element));
    int left = blockIdx.x * TURN;
    int top = blockIdx.y * TURN;
    int columns = min(TURN, width - left);
    int rows = min(TURN, height - top);
    int quad = threadIdx.x * 4;
    for (int row = threadIdx.y; row < rows; row += blockDim.y) {
        const u8* source = from + static_cast<long long>(top + row) * from_pitch + (left + quad) * SIZE;
        if (quads && quad + 4 <= columns) {
            Element four[4];
            load_four(source, four);
#pragma unroll
            for (int k = 0; k < 4; ++k) tile[row][quad + k] = four[k];
        } else {
            for (int k = 0; k < min(4, columns - quad); ++k) {
                tile[row][quad + k] = reinterpret_cast<const Element*>(source)[k];
            }
        }
    }
    __syncthreads();
    bool is_quarter = rotation != 180;
    int out_columns = is_quarter ? rows : columns;
    int out_rows = is_quarter ? columns : rows;
    int out_left = rotation == 90 ? height - top - rows : rotation == 180 ? width - left - columns : top;
    int out_top = rotation == 90 ? left : rotation == 180 ? height - top - rows : width - left - columns;
    for (int row = threadIdx.y; row < out_rows; row += blockDim.y) {
        u8* target = to + static_cast<long long>(out_top + row) * to_pitch + (out_left + quad) * SIZE;
        int across = rotation == 90 ? row : out_rows - 1 - row;
        Element four[4];
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            int along = rotation == 270 ? quad + k : out_columns - 1 - quad - k;
            if (quad + k < out_columns) four[k] = is_quarter ? tile[along][across] : tile[across][along];
        }
        if (quads && out_left % 4 == 0 && quad + 4 <= out_columns) {
            store_four(target, four);
        } else {
#pragma unroll
            for (int k = 0; k < 4; ++k) {
                if (quad + k < out_columns) reinterpret_cast<Element*>(target)[k] = four[k];
            }
        }
    }
}

#define TURN_PLANE(name, Element)                                                                                      \
    extern "C" __global__ void __launch_bounds__(256) name(                                                            \
        const u8* __restrict__ from, int from_pitch, int width, int height, u8* __restrict__ to, int to_pitch,         \
        int rotation, int quads) {                                                                                     \
        __shared__ Element tile[TURN][TURN + 1];                                                                       \
        turn_plane<Element>(tile, from, from_pitch, width, height, to, to_pitch, rotation, quads);                     \
    }

TURN_PLANE(lm_turn_u8, u8)
LM_EXPORT_SYNC(lm_turn_u8)
TURN_PLANE(lm_turn_u16, u16)
LM_EXPORT_SYNC(lm_turn_u16)
TURN_PLANE(lm_turn_u32, u32)
LM_EXPORT_SYNC(lm_turn_u32)
