// The edge controls of matting/edges.py: levels, shrink, feather, and the region's border.
//
// Note [Edges in a captured graph]
//     How far the edge moves and how wide it softens is read from the parameter block, so the launches are always the
//     same and each finds out by itself whether it has anything to do. Moving by r pixels is r unit steps: s square
//     ones and then r - s diamond ones (an octagon). One launch makes up to MOVE_STEPS of them in a tile of shared
//     memory; launch i works where r > MOVE_STEPS * i, from one of two buffers into the other, and whoever comes next
//     knows by r in which of the two the result lies.
#include "common.cuh"
#include "parameters.cuh"
#include "samples.cuh"

constexpr int MOVE_STEPS = 16;
constexpr int MOVE_COLUMNS = 64;
constexpr int MOVE_ROWS = 32;
constexpr int MOVE_PITCH = MOVE_COLUMNS + 2 * MOVE_STEPS;
constexpr int MOVE_LINES = MOVE_ROWS + 2 * MOVE_STEPS;
constexpr float SQUARE_SHARE = 0.41421356237309503f;  // (1 - 1 / sqrt 2) * sqrt 2 of the radius
constexpr float LEAST_PART = 1e-3f;
constexpr float BOXES_FROM_PX = 4.0f;  // sigma is half of it
constexpr int SOFT_RADIUS = 8;         // of the widest Gaussian below that, in uint16
constexpr int WIDEST_BOX = 255;        // the sum of a larger one would not fit into 32 bits

struct Move {
    int whole;      // unit steps
    int squares;    // of these, square ones; they come first
    float part;     // share of one more diamond step
    bool is_growth;
};

// `widest`: what the captured launches are enough for; a longer move is cut to it.
__device__ __forceinline__ Move move_of(const Parameters* parameters, float widest) {
    float px = parameters->shrink_px;
    float length = fminf(fabsf(px), widest);
    int whole = static_cast<int>(length);
    return {whole, static_cast<int>(rintf(static_cast<float>(whole) * SQUARE_SHARE)),
            length - static_cast<float>(whole), px < 0.0f};
}

__device__ __forceinline__ int moves_of(const Move& move) { return div_up(move.whole, MOVE_STEPS); }

__device__ __forceinline__ bool is_kept(const Parameters* parameters, int x, int y) {
    return x >= parameters->keep_px[0] && y >= parameters->keep_px[1] && x < parameters->keep_px[2] &&
           y < parameters->keep_px[3];
}

// matting/edges.py, stretch_levels.
__device__ __forceinline__ int levelled(int value, int peak, float black, float white) {
    float ramp = (static_cast<float>(value) / static_cast<float>(peak) - black) / (white - black);
    return static_cast<int>(rintf(clamp_float(ramp, 0.0f, 1.0f) * static_cast<float>(peak)));
}

template <class Alpha>
constexpr int PEAK = sizeof(Alpha) == 1 ? 255 : 65535;

// Levels, and 0 outside of the region where `keeps`. Four pixels a thread of `total`, row after row; `quads`: both
// pointers are aligned to four pixels. In place too.
template <class Alpha>
__device__ __forceinline__ void levels(
    const Alpha* from, Alpha* to, const Parameters* __restrict__ parameters, int width, u32 total, int keeps,
    int quads) {
    u32 at = (blockIdx.x * blockDim.x + threadIdx.x) * 4;
    if (at >= total) return;
    float black = parameters->levels[0];
    float white = parameters->levels[1];
    bool is_neutral = black == 0.0f && white == 1.0f;
    bool is_whole = quads && at + 4 <= total;
    int count = static_cast<int>(min(4u, total - at));
    u32 values[4] = {0, 0, 0, 0};
    if (is_whole) {
        load_quad(from + at, values);
    } else {
        for (int k = 0; k < count; ++k) values[k] = from[at + k];
    }
    int y = static_cast<int>(at / width);
    int x = static_cast<int>(at - static_cast<u32>(y) * width);
    Alpha made[4];
#pragma unroll
    for (int k = 0; k < 4; ++k) {
        int value = static_cast<int>(values[k]);
        if (!is_neutral) value = levelled(value, PEAK<Alpha>, black, white);
        if (keeps && !is_kept(parameters, x, y)) value = 0;
        made[k] = static_cast<Alpha>(value);
        if (++x == width) {
            x = 0;
            ++y;
        }
    }
    if (is_whole) {
        store_quad(to + at, made);
    } else {
        for (int k = 0; k < count; ++k) to[at + k] = made[k];
    }
}

__device__ __forceinline__ int least_of(int a, int b, int c) { return min(min(a, b), c); }

// Unit steps `number` * MOVE_STEPS and following of the move, as far as this launch goes. Growth is shrinking of the
// inverse. Cells outside of the picture never win.
template <class Alpha>
__device__ __forceinline__ void move_edge(
    Alpha (&now)[MOVE_LINES][MOVE_PITCH], Alpha (&next)[MOVE_LINES][MOVE_PITCH], const Alpha* __restrict__ from,
    Alpha* __restrict__ to, const Parameters* __restrict__ parameters, float widest, int number, int width,
    int height) {
    Move move = move_of(parameters, widest);
    int begin = number * MOVE_STEPS;
    int steps = min(move.whole - begin, MOVE_STEPS);
    if (steps <= 0) return;  // the same for every thread
    int squares = clamp_int(move.squares - begin, 0, steps);
    int flip = move.is_growth ? PEAK<Alpha> : 0;
    int left = blockIdx.x * MOVE_COLUMNS - steps;
    int top = blockIdx.y * MOVE_ROWS - steps;
    int columns = MOVE_COLUMNS + 2 * steps;
    int rows = MOVE_ROWS + 2 * steps;
    int lane = threadIdx.x % 32;
    int line = threadIdx.x / 32;
    for (int row = line; row < rows; row += 8) {
        for (int column = lane; column < columns; column += 32) {
            int x = left + column;
            int y = top + row;
            bool is_inside = x >= 0 && y >= 0 && x < width && y < height;
            int value = is_inside ? from[static_cast<long long>(y) * width + x] ^ flip : PEAK<Alpha>;
            now[row][column] = static_cast<Alpha>(value);
        }
    }
    __syncthreads();
    for (int step = 1; step <= steps; ++step) {
        bool is_square = step <= squares;
        for (int row = line + step; row < rows - step; row += 8) {
            for (int column = lane + step; column < columns - step; column += 32) {
                int least = min(least_of(now[row][column - 1], now[row][column], now[row][column + 1]),
                                least_of(now[row - 1][column], now[row + 1][column], now[row][column]));
                if (is_square) {
                    least = min(least, min(least_of(now[row - 1][column - 1], now[row - 1][column + 1], least),
                                           least_of(now[row + 1][column - 1], now[row + 1][column + 1], least)));
                }
                bool is_inside = left + column >= 0 && top + row >= 0 && left + column < width && top + row < height;
                next[row][column] = static_cast<Alpha>(is_inside ? least : PEAK<Alpha>);
            }
        }
        __syncthreads();
        for (int row = line + step; row < rows - step; row += 8) {
            for (int column = lane + step; column < columns - step; column += 32) now[row][column] = next[row][column];
        }
        __syncthreads();
    }
    for (int row = line; row < MOVE_ROWS; row += 8) {
        for (int column = lane; column < MOVE_COLUMNS; column += 32) {
            int x = left + steps + column;
            int y = top + steps + row;
            if (x < width && y < height) {
                to[static_cast<long long>(y) * width + x] = static_cast<Alpha>(now[row + steps][column + steps] ^ flip);
            }
        }
    }
}

// The last fraction of a step, a blend with one more diamond step; from whichever buffer the moves ended in.
template <class Alpha>
__device__ __forceinline__ void move_part(
    const Alpha* __restrict__ even, const Alpha* __restrict__ odd, Alpha* __restrict__ to,
    const Parameters* __restrict__ parameters, float widest, int width, int height) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x >= width || y >= height) return;
    Move move = move_of(parameters, widest);
    const Alpha* from = moves_of(move) % 2 ? odd : even;
    const Alpha* row = from + static_cast<long long>(y) * width;
    int value = row[x];
    if (move.part >= LEAST_PART) {
        int flip = move.is_growth ? PEAK<Alpha> : 0;
        int least = value ^ flip;
        least = min(least, row[max(x - 1, 0)] ^ flip);
        least = min(least, row[min(x + 1, width - 1)] ^ flip);
        least = min(least, from[static_cast<long long>(max(y - 1, 0)) * width + x] ^ flip);
        least = min(least, from[static_cast<long long>(min(y + 1, height - 1)) * width + x] ^ flip);
        float blend = static_cast<float>(value) * (1.0f - move.part) + static_cast<float>(least ^ flip) * move.part;
        value = static_cast<int>(rintf(blend));
    }
    to[static_cast<long long>(y) * width + x] = static_cast<Alpha>(value);
}

constexpr int SOFT_COLUMNS = 64;
constexpr int SOFT_ROWS = 16;

// A Gaussian of sigma feather / 2, for feathers below BOXES_FROM_PX; a copy where there is none, nothing where boxes
// follow.
template <class Alpha>
__device__ __forceinline__ void soften(
    float (&cells)[SOFT_ROWS + 2 * SOFT_RADIUS][SOFT_COLUMNS + 2 * SOFT_RADIUS],
    float (&across)[SOFT_ROWS + 2 * SOFT_RADIUS][SOFT_COLUMNS], const Alpha* __restrict__ from, Alpha* __restrict__ to,
    const Parameters* __restrict__ parameters, float widest, int width, int height) {
    float px = fminf(parameters->feather_px, widest);
    if (px >= BOXES_FROM_PX) return;  // the same for every thread
    float sigma = fmaxf(px / 2.0f, 0.05f);
    int radius = 0;
    float weights[SOFT_RADIUS + 1];
    if (px > 0.0f) {
        // OpenCV's kernel size for this depth, made odd: 3 or 4 sigma to each side.
        radius = static_cast<int>(rintf(sigma * (sizeof(Alpha) == 1 ? 6.0f : 8.0f) + 1.0f)) / 2;
        radius = min(radius, SOFT_RADIUS);
    }
    float total = 0.0f;
#pragma unroll
    for (int k = 0; k <= SOFT_RADIUS; ++k) {
        float distance = static_cast<float>(k);
        weights[k] = k <= radius ? expf(-(distance * distance) / (2.0f * sigma * sigma)) : 0.0f;
        total += k == 0 ? weights[k] : 2.0f * weights[k];
    }
#pragma unroll
    for (int k = 0; k <= SOFT_RADIUS; ++k) weights[k] /= total;
    int left = blockIdx.x * SOFT_COLUMNS - SOFT_RADIUS;
    int top = blockIdx.y * SOFT_ROWS - SOFT_RADIUS;
    int lane = threadIdx.x % 32;
    int line = threadIdx.x / 32;
    for (int row = line; row < SOFT_ROWS + 2 * SOFT_RADIUS; row += 8) {
        const Alpha* source = from + static_cast<long long>(clamp_int(top + row, 0, height - 1)) * width;
        for (int column = lane; column < SOFT_COLUMNS + 2 * SOFT_RADIUS; column += 32) {
            cells[row][column] = static_cast<float>(source[clamp_int(left + column, 0, width - 1)]);
        }
    }
    __syncthreads();
    for (int row = line; row < SOFT_ROWS + 2 * SOFT_RADIUS; row += 8) {
        for (int column = lane; column < SOFT_COLUMNS; column += 32) {
            float sum = weights[0] * cells[row][column + SOFT_RADIUS];
#pragma unroll
            for (int k = 1; k <= SOFT_RADIUS; ++k) {
                sum += weights[k] * (cells[row][column + SOFT_RADIUS - k] + cells[row][column + SOFT_RADIUS + k]);
            }
            across[row][column] = sum;
        }
    }
    __syncthreads();
    for (int row = line; row < SOFT_ROWS; row += 8) {
        for (int column = lane; column < SOFT_COLUMNS; column += 32) {
            int x = blockIdx.x * SOFT_COLUMNS + column;
            int y = blockIdx.y * SOFT_ROWS + row;
            float sum = weights[0] * across[row + SOFT_RADIUS][column];
#pragma unroll
            for (int k = 1; k <= SOFT_RADIUS; ++k) {
                sum += weights[k] * (across[row + SOFT_RADIUS - k][column] + across[row + SOFT_RADIUS + k][column]);
            }
            if (x < width && y < height) {
                to[static_cast<long long>(y) * width + x] =
                    static_cast<Alpha>(rintf(clamp_float(sum, 0.0f, static_cast<float>(PEAK<Alpha>))));
            }
        }
    }
}

// Width of box `number` (0, 1, 2) of the three that stand for a Gaussian of sigma feather / 2 (Wells 1986); 0: none.
__device__ __forceinline__ int box_width(const Parameters* parameters, float widest, int number) {
    float px = fminf(parameters->feather_px, widest);
    if (px < BOXES_FROM_PX) return 0;
    float sigma = px / 2.0f;
    float ideal = sqrtf(4.0f * sigma * sigma + 1.0f);
    int narrow = 2 * static_cast<int>((ideal - 1.0f) / 2.0f) + 1;
    float n = static_cast<float>(narrow);
    float narrow_ones =
        rintf((12.0f * sigma * sigma - 3.0f * n * n - 12.0f * n - 9.0f) / (-4.0f * n - 4.0f));
    return min(static_cast<float>(number) < narrow_ones ? narrow : narrow + 2, WIDEST_BOX);
}

constexpr int BOX_RUN = 8;                 // pixels that a thread makes one after another by a sliding sum
constexpr int BOX_COLUMNS = 32 * BOX_RUN;  // of a block's row
constexpr int BOX_SPAN = BOX_COLUMNS + WIDEST_BOX - 1;

// Box sums along rows. A block makes 256 pixels of 8 rows, a thread 8 in a row; every eighth cell is padded, so that
// the threads of a warp meet different banks.
template <class Alpha>
__device__ __forceinline__ void box_rows(
    Alpha (&cells)[8][BOX_SPAN + BOX_SPAN / 8 + 1], const Alpha* __restrict__ from, u32* __restrict__ sums,
    const Parameters* __restrict__ parameters, float widest, int number, int width, int height) {
    int box = box_width(parameters, widest, number);
    if (box == 0) return;  // the same for every thread
    int reach = box / 2;
    int left = blockIdx.x * BOX_COLUMNS;
    int lane = threadIdx.x % 32;
    int line = threadIdx.x / 32;
    int y = blockIdx.y * 8 + line;
    const Alpha* source = from + static_cast<long long>(min(y, height - 1)) * width;
    for (int k = lane; k < BOX_COLUMNS + box - 1; k += 32) {
        cells[line][k + k / 8] = source[clamp_int(left - reach + k, 0, width - 1)];
    }
    __syncthreads();
    int first = lane * BOX_RUN;
    u32 sum = 0;
    for (int k = first; k < first + box; ++k) sum += cells[line][k + k / 8];
    for (int k = 0; k < BOX_RUN; ++k) {
        int x = left + first + k;
        if (x < width && y < height) sums[static_cast<long long>(y) * width + x] = sum;
        if (k + 1 < BOX_RUN) {
            int gone = first + k;
            int come = gone + box;
            sum += static_cast<u32>(cells[line][come + come / 8]) - cells[line][gone + gone / 8];
        }
    }
}

constexpr int BOX_LINES = 64;  // rows that a thread runs down

// Box sums down the columns of row sums, and the mean rounded to a whole step (a box has an odd number of pixels, so
// there are no ties).
template <class Alpha>
__device__ __forceinline__ void box_columns(
    const u32* __restrict__ sums, Alpha* __restrict__ to, const Parameters* __restrict__ parameters, float widest,
    int number, int width, int height) {
    int box = box_width(parameters, widest, number);
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    if (box == 0 || x >= width) return;
    int reach = box / 2;
    u32 pixels = static_cast<u32>(box) * box;
    int top = blockIdx.y * BOX_LINES;
    u32 sum = 0;
    for (int k = -reach; k <= reach; ++k) {
        sum += sums[static_cast<long long>(clamp_int(top + k, 0, height - 1)) * width + x];
    }
    for (int y = top; y < min(top + BOX_LINES, height); ++y) {
        u32 mean = sum / pixels;
        if (2 * static_cast<u64>(sum - mean * pixels) > pixels) ++mean;
        to[static_cast<long long>(y) * width + x] = static_cast<Alpha>(mean);
        sum += sums[static_cast<long long>(min(y + 1 + reach, height - 1)) * width + x];
        sum -= sums[static_cast<long long>(max(y - reach, 0)) * width + x];
    }
}

// 0 outside of the region; touches nothing inside.
template <class Alpha>
__device__ __forceinline__ void keep_region(
    Alpha* __restrict__ alpha, const Parameters* __restrict__ parameters, int width, int height) {
    int x = blockIdx.x * blockDim.x + threadIdx.x;
    int y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x < width && y < height && !is_kept(parameters, x, y)) alpha[static_cast<long long>(y) * width + x] = 0;
}

#define EDGES(suffix, Alpha)                                                                                          \
    extern "C" __global__ void __launch_bounds__(256) lm_levels_##suffix(                                             \
        const Alpha* from, Alpha* to, const Parameters* __restrict__ parameters, int width, u32 total, int keeps,     \
        int quads) {                                                                                                  \
        levels<Alpha>(from, to, parameters, width, total, keeps, quads);                                              \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) lm_move_##suffix(                                               \
        const Alpha* __restrict__ from, Alpha* __restrict__ to, const Parameters* __restrict__ parameters,            \
        float widest, int number, int width, int height) {                                                            \
        __shared__ Alpha now[MOVE_LINES][MOVE_PITCH];                                                                 \
        __shared__ Alpha next[MOVE_LINES][MOVE_PITCH];                                                                \
        move_edge<Alpha>(now, next, from, to, parameters, widest, number, width, height);                             \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) lm_move_part_##suffix(                                          \
        const Alpha* __restrict__ even, const Alpha* __restrict__ odd, Alpha* __restrict__ to,                        \
        const Parameters* __restrict__ parameters, float widest, int width, int height) {                             \
        move_part<Alpha>(even, odd, to, parameters, widest, width, height);                                           \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) lm_soften_##suffix(                                             \
        const Alpha* __restrict__ from, Alpha* __restrict__ to, const Parameters* __restrict__ parameters,            \
        float widest, int width, int height) {                                                                        \
        __shared__ float cells[SOFT_ROWS + 2 * SOFT_RADIUS][SOFT_COLUMNS + 2 * SOFT_RADIUS];                          \
        __shared__ float across[SOFT_ROWS + 2 * SOFT_RADIUS][SOFT_COLUMNS];                                           \
        soften<Alpha>(cells, across, from, to, parameters, widest, width, height);                                    \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) lm_box_rows_##suffix(                                           \
        const Alpha* __restrict__ from, u32* __restrict__ sums, const Parameters* __restrict__ parameters,            \
        float widest, int number, int width, int height) {                                                            \
        __shared__ Alpha cells[8][BOX_SPAN + BOX_SPAN / 8 + 1];                                                       \
        box_rows<Alpha>(cells, from, sums, parameters, widest, number, width, height);                                \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) lm_box_columns_##suffix(                                        \
        const u32* __restrict__ sums, Alpha* __restrict__ to, const Parameters* __restrict__ parameters,              \
        float widest, int number, int width, int height) {                                                            \
        box_columns<Alpha>(sums, to, parameters, widest, number, width, height);                                      \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(256) lm_keep_##suffix(                                               \
        Alpha* __restrict__ alpha, const Parameters* __restrict__ parameters, int width, int height) {                \
        keep_region<Alpha>(alpha, parameters, width, height);                                                         \
    }

EDGES(u8, u8)
LM_EXPORT(lm_levels_u8)
LM_EXPORT_SYNC(lm_move_u8)
LM_EXPORT(lm_move_part_u8)
LM_EXPORT_SYNC(lm_soften_u8)
LM_EXPORT_SYNC(lm_box_rows_u8)
LM_EXPORT(lm_box_columns_u8)
LM_EXPORT(lm_keep_u8)
EDGES(u16, u16)
LM_EXPORT(lm_levels_u16)
LM_EXPORT_SYNC(lm_move_u16)
LM_EXPORT(lm_move_part_u16)
LM_EXPORT_SYNC(lm_soften_u16)
LM_EXPORT_SYNC(lm_box_rows_u16)
LM_EXPORT(lm_box_columns_u16)
LM_EXPORT(lm_keep_u16)
