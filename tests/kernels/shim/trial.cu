// Small kernels for the shim's own tests; with a macro each of them is wrong in one way.
#include "common.cuh"

// Reverses each block's stretch of 64 numbers through shared memory.
extern "C" __global__ void __launch_bounds__(64) lm_reverse(const float* __restrict__ in, float* __restrict__ out, int count) {
    __shared__ float tile[64];
    int at = blockIdx.x * 64 + threadIdx.x;
    if (at < count) tile[threadIdx.x] = in[at];
#ifdef NO_BARRIER
#elif defined(EARLY_RETURN)
    if (at >= count) return;
    __syncthreads();
#else
    __syncthreads();
#endif
    int other = 63 - threadIdx.x;
    if (blockIdx.x * 64 + other < static_cast<unsigned>(count)) {
        out[blockIdx.x * 64 + other] = tile[other];
    }
}
LM_EXPORT_SYNC(lm_reverse)

// A warp's sum by shuffles, and a count by atomics; dynamic shared memory holds the warps' sums.
extern "C" __global__ void __launch_bounds__(64) lm_sum(const int* __restrict__ in, int* total, unsigned* seen, int count) {
    LM_DYNAMIC_SHARED(int, sums);
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    int value = at < count ? in[at] : 0;
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffffu, value, lanes);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = value;
#ifdef SHARED_OVERRUN
    if (threadIdx.x == 0) sums[blockDim.x / 32] = value;
#endif
    __syncthreads();
    if (threadIdx.x == 0) {
        atomicAdd(total, sums[0] + sums[1]);
        atomicMax(seen, blockIdx.x + 1);
    }
}
LM_EXPORT_SYNC(lm_sum)

// One number a thread, no barrier.
extern "C" __global__ void __launch_bounds__(64) lm_square(const float* __restrict__ in, float* __restrict__ out, int count) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
#ifdef OVERRUN
    if (at <= count) out[at] = in[at] * in[at];
#elif defined(RACE)
    if (at < count) out[at / 2] = in[at] * in[at];
#elif defined(MISALIGNED)
    if (at < count / 4) {
        float4 four = *reinterpret_cast<const float4*>(reinterpret_cast<const char*>(in) + 4);
        out[at] = four.x;
    }
#else
    if (at < count) out[at] = in[at] * in[at];
#endif
}
LM_EXPORT(lm_square)

extern "C" __global__ void lm_halves(const u16* __restrict__ in, float* __restrict__ wide, u16* __restrict__ back, int count) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) {
        wide[at] = half_to_float(in[at]);
        back[at] = float_to_half(wide[at]);
    }
}
LM_EXPORT(lm_halves)

extern "C" __global__ void lm_to_half(const float* __restrict__ in, u16* __restrict__ out, int count) {
    int at = blockIdx.x * blockDim.x + threadIdx.x;
    if (at < count) out[at] = float_to_half(in[at]);
}
LM_EXPORT(lm_to_half)
