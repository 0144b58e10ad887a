// The kernels of the contract suite, for a real GPU (NVRTC); kernels_host.c is the same for the processor.
extern "C" __global__ void lm_test_add(float* out, const float* in, float term, int count) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x;
  if (at < count) out[at] = in[at] + term;
}

// Adds one element after another on one thread: slow enough that a reader without a wait comes too early.
extern "C" __global__ void lm_test_slow(float* out, const float* in, int count, int rounds) {
  for (int round = 0; round < rounds; ++round)
    for (int at = 0; at < count; ++at) out[at] = in[at] + (float)round;
}

// out[0] = a sum of one value of each kind, to see that each arrives with its own width.
extern "C" __global__ void lm_test_kinds(
    double* out, unsigned char a, short b, int c, long long d, float e, double f, const float* pointer) {
  *out = a + b + c + (double)d + e + f + pointer[1];
}

extern "C" __global__ void lm_test_nothing() {}
