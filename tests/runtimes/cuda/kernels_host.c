/* kernels.cu for the processor, in the form that the null driver and fakecuda load. */
#define KERNEL(name) \
  void name##__run(unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, \
                   void** args)
#define ARG(type, at) (*(type*)args[at])
#define UNUSED (void)gy, (void)gz, (void)by, (void)bz, (void)shared, (void)gx, (void)bx

const unsigned lm_test_add__sizes[] = {8, 8, 4, 4, 0};
KERNEL(lm_test_add) {
  float* out = ARG(float*, 0);
  const float* in = ARG(const float*, 1);
  const float term = ARG(float, 2);
  const unsigned count = (unsigned)ARG(int, 3);
  UNUSED;
  for (unsigned at = 0; at < gx * bx && at < count; ++at) out[at] = in[at] + term;
}

const unsigned lm_test_slow__sizes[] = {8, 8, 4, 4, 0};
KERNEL(lm_test_slow) {
  float* out = ARG(float*, 0);
  const float* in = ARG(const float*, 1);
  UNUSED;
  for (int at = 0; at < ARG(int, 2); ++at) out[at] = in[at] + (float)(ARG(int, 3) - 1);
}

const unsigned lm_test_kinds__sizes[] = {8, 1, 2, 4, 8, 4, 8, 8, 0};
KERNEL(lm_test_kinds) {
  UNUSED;
  *ARG(double*, 0) = ARG(unsigned char, 1) + ARG(short, 2) + ARG(int, 3) + (double)ARG(long long, 4) + ARG(float, 5) +
                     ARG(double, 6) + ARG(const float*, 7)[1];
}

const unsigned lm_test_nothing__sizes[] = {0};
KERNEL(lm_test_nothing) { UNUSED, (void)args; }
