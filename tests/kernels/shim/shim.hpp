// CUDA's way of running threads, on the CPU: a kernel's source compiles unchanged (common.cuh includes this file).
//
// Blocks run one after another. Within a block, the threads of a kernel without barriers run as a plain loop; those of
// one with barriers run as fibers that change places at each barrier, and under the thread sanitizer (LM_SHIM_THREADS)
// as real threads with std::barrier. Every second launch goes through blocks and threads backwards, so that what depends
// on an order shows. Shared memory is filled with 0xFF before each block. A thread that misses a barrier ends the
// process with a sentence.
#pragma once

#include <algorithm>
#include <barrier>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#define LM_SHIM_ADDRESS 1
#endif

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x, y, z; };
#define LM_VECTOR(name, type, align2, align4)                                       \
    struct alignas(align2) name##2 { type x, y; };                                  \
    struct alignas(align4) name##4 { type x, y, z, w; };                            \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }         \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
LM_VECTOR(uchar, unsigned char, 2, 4)
LM_VECTOR(ushort, unsigned short, 4, 8)
LM_VECTOR(int, int, 8, 16)
LM_VECTOR(uint, unsigned, 8, 16)
LM_VECTOR(float, float, 8, 16)
#undef LM_VECTOR

namespace lmshim {

#ifdef LM_SHIM_THREADS
#define LM_PER_THREAD thread_local
#else
#define LM_PER_THREAD
#endif

struct Where {
    uint3 thread, block;
    unsigned number;  // of the thread in its block
};
static LM_PER_THREAD Where here;
static dim3 grid_size, block_size;
static const char* kernel_name = "";
static unsigned char* dynamic_memory = nullptr;

[[noreturn]] static inline void die(const char* what) {
    std::fprintf(stderr, "shim: %s: %s (block %u,%u,%u thread %u,%u,%u)\n", kernel_name, what, here.block.x, here.block.y,
                 here.block.z, here.thread.x, here.thread.y, here.thread.z);
    std::fflush(stderr);
    std::abort();
}

static inline unsigned block_threads() { return block_size.x * block_size.y * block_size.z; }

static inline void stand_at_thread(unsigned number) {
    here.number = number;
    here.thread = {number % block_size.x, number / block_size.x % block_size.y, number / block_size.x / block_size.y};
}
static inline void stand_at_block(unsigned long long number) {
    here.block = {static_cast<unsigned>(number % grid_size.x), static_cast<unsigned>(number / grid_size.x % grid_size.y),
                  static_cast<unsigned>(number / grid_size.x / grid_size.y)};
}

}  // namespace lmshim

// __shared__ variables lie in a section of their own, so that they can be spoilt before each block. The address
// sanitizer only guards variables outside of named sections.
#if defined(LM_SHIM_ADDRESS) || defined(LM_SHIM_THREADS)
#define __shared__ static
namespace lmshim {
static inline void spoil_shared(unsigned bytes) {
    if (bytes) std::memset(dynamic_memory, 0xFF, bytes);
}
}
#else
#define __shared__ static __attribute__((section("lm_shared")))
extern "C" {
extern unsigned char __start_lm_shared[] __attribute__((weak, visibility("hidden")));
extern unsigned char __stop_lm_shared[] __attribute__((weak, visibility("hidden")));
}
namespace lmshim {
static inline void spoil_shared(unsigned bytes) {
    if (__start_lm_shared) std::memset(__start_lm_shared, 0xFF, __stop_lm_shared - __start_lm_shared);
    if (bytes) std::memset(dynamic_memory, 0xFF, bytes);
}
}
#endif

namespace lmshim {

using Body = void (*)(void** arguments);

#ifdef LM_SHIM_THREADS

static std::barrier<>* block_barrier = nullptr;
static std::vector<std::unique_ptr<std::barrier<>>> warp_barriers;
static uint32_t lanes[1024];

static inline void wait_for_block() {
    if (!block_barrier) die("__syncthreads in a kernel that was exported by LM_EXPORT; use LM_EXPORT_SYNC");
    block_barrier->arrive_and_wait();
}
static inline void wait_for_warp() {
    if (warp_barriers.empty()) die("a warp intrinsic in a kernel exported by LM_EXPORT, or a block of no whole warps");
    warp_barriers[here.number / 32]->arrive_and_wait();
}

// Without barriers: four threads share all threads of all blocks, so that blocks race as well.
static inline void run_plain(Body body, void** arguments, bool) {
    unsigned long long blocks = 1ull * grid_size.x * grid_size.y * grid_size.z;
    unsigned each = block_threads();
    std::vector<std::thread> team;
    for (unsigned member = 0; member < 4; ++member) {
        team.emplace_back([=] {
            for (unsigned long long k = member; k < blocks * each; k += 4) {
                stand_at_block(k / each);
                stand_at_thread(static_cast<unsigned>(k % each));
                body(arguments);
            }
        });
    }
    for (auto& member : team) member.join();
}

static inline void run_synced(Body body, void** arguments, bool, unsigned shared_bytes) {
    unsigned long long blocks = 1ull * grid_size.x * grid_size.y * grid_size.z;
    unsigned each = block_threads();
    std::barrier<> barrier(each);
    block_barrier = &barrier;
    if (each % 32 == 0) {
        for (unsigned warp = 0; warp < each / 32; ++warp) warp_barriers.push_back(std::make_unique<std::barrier<>>(32));
    }
    std::vector<std::thread> team;
    for (unsigned number = 0; number < each; ++number) {
        team.emplace_back([&, number] {
            for (unsigned long long block = 0; block < blocks; ++block) {
                stand_at_block(block);
                stand_at_thread(number);
                if (number == 0) spoil_shared(shared_bytes);
                barrier.arrive_and_wait();
                body(arguments);
                barrier.arrive_and_wait();
            }
        });
    }
    for (auto& member : team) member.join();
    warp_barriers.clear();
    block_barrier = nullptr;
}

#else

enum class State : unsigned char { ready, block, warp, done };

struct Fiber {
    void* stack_pointer = nullptr;
    std::unique_ptr<char[]> stack;
    void* fake_stack = nullptr;
    State state = State::ready;
};

#ifdef LM_SHIM_ADDRESS
static constexpr size_t STACK_BYTES = 256 << 10;
#else
static constexpr size_t STACK_BYTES = 64 << 10;
#endif

static std::vector<Fiber> fibers;
static void* main_stack_pointer = nullptr;
#ifdef LM_SHIM_ADDRESS
static const void* main_stack = nullptr;
static size_t main_stack_bytes = 0;
static void* main_fake_stack = nullptr;
#endif
static Body running_body = nullptr;
static void** running_arguments = nullptr;
static uint32_t lanes[1024];
static bool has_fibers = false;

#if !defined(__x86_64__)
#error "the shim's fibers are written for x86-64; build with LM_SHIM_THREADS elsewhere"
#endif

extern "C" void lmshim_switch(void** save, void* load) __attribute__((visibility("hidden")));
asm(R"(
    .text
    .hidden lmshim_switch
    .globl lmshim_switch
    .type lmshim_switch, @function
lmshim_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size lmshim_switch, .-lmshim_switch
)");

static inline void to_main(Fiber& fiber) {
#ifdef LM_SHIM_ADDRESS
    __sanitizer_start_switch_fiber(&fiber.fake_stack, main_stack, main_stack_bytes);
#endif
    lmshim_switch(&fiber.stack_pointer, main_stack_pointer);
#ifdef LM_SHIM_ADDRESS
    __sanitizer_finish_switch_fiber(fiber.fake_stack, &main_stack, &main_stack_bytes);
#endif
}

static inline void to_fiber(unsigned number) {
    Fiber& fiber = fibers[number];
    stand_at_thread(number);
#ifdef LM_SHIM_ADDRESS
    __sanitizer_start_switch_fiber(&main_fake_stack, fiber.stack.get(), STACK_BYTES);
#endif
    lmshim_switch(&main_stack_pointer, fiber.stack_pointer);
#ifdef LM_SHIM_ADDRESS
    __sanitizer_finish_switch_fiber(main_fake_stack, nullptr, nullptr);
#endif
}

// Where a fiber begins: one block after another, for ever; `here` says which thread it is.
static void lmshim_begin() {
    Fiber& fiber = fibers[here.number];
#ifdef LM_SHIM_ADDRESS
    __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_stack_bytes);
#endif
    for (;;) {
        running_body(running_arguments);
        fiber.state = State::done;
        to_main(fiber);
    }
}

static inline void wait_as(State state) {
    if (!has_fibers) die("a barrier or warp intrinsic in a kernel that was exported by LM_EXPORT; use LM_EXPORT_SYNC");
    Fiber& fiber = fibers[here.number];
    fiber.state = state;
    to_main(fiber);
}
static inline void wait_for_block() { wait_as(State::block); }
static inline void wait_for_warp() {
    if (block_threads() % 32) die("a warp intrinsic in a block that is no whole number of warps");
    wait_as(State::warp);
}

static inline void prepare_fibers(unsigned count) {
    fibers.clear();
    fibers.resize(count);
    for (Fiber& fiber : fibers) {
        fiber.stack.reset(new char[STACK_BYTES]);
        auto top = (reinterpret_cast<uintptr_t>(fiber.stack.get()) + STACK_BYTES) & ~uintptr_t{15};
        auto* slot = reinterpret_cast<void**>(top);
        *--slot = nullptr;                                      // nobody to return to
        *--slot = reinterpret_cast<void*>(&lmshim_begin);       // popped by ret
        for (int k = 0; k < 6; ++k) *--slot = nullptr;          // six registers
        fiber.stack_pointer = slot;
    }
}

// Warps of which all 32 wait go on; false where there is none.
static inline bool release_warps() {
    bool released = false;
    for (size_t first = 0; first + 32 <= fibers.size(); first += 32) {
        auto begin = fibers.begin() + static_cast<long>(first);
        if (!std::all_of(begin, begin + 32, [](const Fiber& f) { return f.state == State::warp; })) continue;
        for (auto it = begin; it != begin + 32; ++it) it->state = State::ready;
        released = true;
    }
    return released;
}

static inline void run_block(bool backwards) {
    unsigned count = static_cast<unsigned>(fibers.size());
    for (Fiber& fiber : fibers) fiber.state = State::ready;
    for (;;) {
        for (unsigned k = 0; k < count; ++k) {
            unsigned number = backwards ? count - 1 - k : k;
            if (fibers[number].state == State::ready) to_fiber(number);
        }
        if (release_warps()) continue;
        auto waiting = std::count_if(fibers.begin(), fibers.end(), [](const Fiber& f) { return f.state == State::block; });
        auto done = std::count_if(fibers.begin(), fibers.end(), [](const Fiber& f) { return f.state == State::done; });
        if (done == count) return;
        if (waiting != count) {
            std::fprintf(stderr, "shim: %ld of %u threads wait at a barrier and %ld have returned\n", waiting, count, done);
            die("barrier divergence: every thread of a block must reach every __syncthreads");
        }
        for (Fiber& fiber : fibers) fiber.state = State::ready;
    }
}

static inline void run_synced(Body body, void** arguments, bool backwards, unsigned shared_bytes) {
    running_body = body;
    running_arguments = arguments;
    prepare_fibers(block_threads());
    has_fibers = true;
    unsigned long long blocks = 1ull * grid_size.x * grid_size.y * grid_size.z;
    for (unsigned long long k = 0; k < blocks; ++k) {
        stand_at_block(backwards ? blocks - 1 - k : k);
        spoil_shared(shared_bytes);
        run_block(backwards);
    }
    has_fibers = false;
    fibers.clear();
}

static inline void run_plain(Body body, void** arguments, bool backwards) {
    unsigned long long blocks = 1ull * grid_size.x * grid_size.y * grid_size.z;
    unsigned each = block_threads();
    for (unsigned long long k = 0; k < blocks; ++k) {
        stand_at_block(backwards ? blocks - 1 - k : k);
        for (unsigned number = 0; number < each; ++number) {
            stand_at_thread(backwards ? each - 1 - number : number);
            body(arguments);
        }
    }
}

#endif

static std::mutex one_launch;  // a kernel's shared memory exists once

static inline void run(
    const char* name, Body body, bool synced, dim3 grid, dim3 block, unsigned shared_bytes, void** arguments) {
    std::lock_guard<std::mutex> alone(one_launch);
    static unsigned launches = 0;
    bool backwards = launches++ % 2 == 1;
    kernel_name = name;
    grid_size = grid;
    block_size = block;
    // Exactly this long, so that the address sanitizer sees an overrun; malloc aligns to 16.
    dynamic_memory = static_cast<unsigned char*>(std::malloc(shared_bytes ? shared_bytes : 1));
    if (synced) {
        run_synced(body, arguments, backwards, shared_bytes);
    } else {
        run_plain(body, arguments, backwards);
    }
    std::free(dynamic_memory);
    dynamic_memory = nullptr;
}

template <class Function>
struct Call;
template <class... Arguments>
struct Call<void (*)(Arguments...)> {
    static constexpr size_t COUNT = sizeof...(Arguments);
    template <void (*kernel)(Arguments...), size_t... at>
    static void with(void** arguments, std::index_sequence<at...>) {
        std::tuple<std::remove_cv_t<Arguments>...> values;
        (std::memcpy(static_cast<void*>(&std::get<at>(values)), arguments[at], sizeof(std::get<at>(values))), ...);
        kernel(std::get<at>(values)...);
    }
    struct Sizes {
        unsigned value[sizeof...(Arguments) + 1] = {static_cast<unsigned>(sizeof(Arguments))..., 0u};
    };
};

template <auto kernel>
static void body_of(void** arguments) {
    using Made = Call<decltype(kernel)>;
    Made::template with<kernel>(arguments, std::make_index_sequence<Made::COUNT>{});
}

}  // namespace lmshim

#define LM_SHIM_VISIBLE __attribute__((visibility("default")))
#define LM_SHIM_EXPORT(kernel, synced)                                                                               \
    extern "C" LM_SHIM_VISIBLE void kernel##__run(unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,   \
                                                  unsigned bz, unsigned shared_bytes, void** arguments) {            \
        lmshim::run(#kernel, &lmshim::body_of<&kernel>, synced, {gx, gy, gz}, {bx, by, bz}, shared_bytes, arguments); \
    }                                                                                                                \
    extern "C" {                                                                                                     \
    extern LM_SHIM_VISIBLE const lmshim::Call<decltype(&kernel)>::Sizes kernel##__sizes;                             \
    const lmshim::Call<decltype(&kernel)>::Sizes kernel##__sizes{};                                                  \
    }
#define LM_EXPORT(kernel) LM_SHIM_EXPORT(kernel, false)
#define LM_EXPORT_SYNC(kernel) LM_SHIM_EXPORT(kernel, true)
#define LM_DYNAMIC_SHARED(type, name) type* name = reinterpret_cast<type*>(lmshim::dynamic_memory)

// --- CUDA's words ---
#define __global__
#define __device__ static inline
#define __host__
#define __forceinline__
#define __launch_bounds__(...)
#define __align__(bytes) alignas(bytes)
#define threadIdx (lmshim::here.thread)
#define blockIdx (lmshim::here.block)
#define blockDim (lmshim::block_size)
#define gridDim (lmshim::grid_size)

static inline void __syncthreads() { lmshim::wait_for_block(); }
static inline void __syncwarp(unsigned = 0xffffffffu) { lmshim::wait_for_warp(); }

template <class T>
static inline T lmshim_exchange(unsigned mask, T value, unsigned lane) {
    static_assert(sizeof(T) == 4, "shuffles take values of 4 bytes");
    if (mask != 0xffffffffu) lmshim::die("a shuffle with less than the full mask");
    unsigned number = lmshim::here.number;
    std::memcpy(&lmshim::lanes[number], &value, 4);
    lmshim::wait_for_warp();
    T got;
    std::memcpy(&got, &lmshim::lanes[(number & ~31u) | (lane & 31u)], 4);
    lmshim::wait_for_warp();
    return got;
}
template <class T>
static inline T __shfl_sync(unsigned mask, T value, int lane) { return lmshim_exchange(mask, value, lane); }
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int lanes) {
    return lmshim_exchange(mask, value, (lmshim::here.number & 31u) ^ static_cast<unsigned>(lanes));
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned by) {
    unsigned lane = lmshim::here.number & 31u;
    return lmshim_exchange(mask, value, lane + by < 32 ? lane + by : lane);
}

template <class T>
static inline T atomicAdd(T* at, T value) {
    static_assert(std::is_integral_v<T>, "only whole numbers: the order of float additions is not fixed");
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}
template <class T>
static inline T lmshim_swap_if(T* at, T value, bool (*is_better)(T, T)) {
    T old = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (is_better(value, old) && !__atomic_compare_exchange_n(at, &old, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}
template <class T>
static inline T atomicMax(T* at, T value) { return lmshim_swap_if<T>(at, value, [](T a, T b) { return a > b; }); }
template <class T>
static inline T atomicMin(T* at, T value) { return lmshim_swap_if<T>(at, value, [](T a, T b) { return a < b; }); }
static inline unsigned atomicOr(unsigned* at, unsigned bits) { return __atomic_fetch_or(at, bits, __ATOMIC_RELAXED); }
static inline unsigned atomicAnd(unsigned* at, unsigned bits) { return __atomic_fetch_and(at, bits, __ATOMIC_RELAXED); }

template <class T>
static inline T __ldg(const T* at) { return *at; }
static inline float __uint_as_float(unsigned bits) { float value; std::memcpy(&value, &bits, 4); return value; }
static inline unsigned __float_as_uint(float value) { unsigned bits; std::memcpy(&bits, &value, 4); return bits; }
static inline float __int_as_float(int bits) { float value; std::memcpy(&value, &bits, 4); return value; }
static inline int __float_as_int(float value) { int bits; std::memcpy(&bits, &value, 4); return bits; }
static inline int __float2int_rn(float value) { return static_cast<int>(rintf(value)); }

// Unlike std::min, CUDA's take mixed whole numbers by conversion; only equal types are allowed here.
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }
static inline long long min(long long a, long long b) { return a < b ? a : b; }
static inline long long max(long long a, long long b) { return a > b ? a : b; }
