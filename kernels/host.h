// A GPU played by one thread of a CPU, for tests: every thread of a block is a fiber, and blocks follow one another.
//
// From one barrier to the next the fibers run in an order that is drawn anew each time, so that a missing barrier gives wrong
// values; threads of which some wait and others have ended are an error, as is a launch that no GPU takes.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <setjmp.h>
#include <ucontext.h>
#include <vector>

#define __global__ static
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(...)

struct alignas(16) uint4 {
    uint32_t x, y, z, w;
};
struct dim3 {
    unsigned x = 1, y = 1, z = 1;
};

// static: every library that is loaded plays a GPU of its own.
static dim3 threadIdx, blockIdx, blockDim, gridDim;

struct __half {
    _Float16 value;
};
struct __nv_bfloat16 {
    uint16_t bits;
};

inline float __half2float(__half number) { return static_cast<float>(number.value); }
inline __half __float2half_rn(float number) { return {static_cast<_Float16>(number)}; }
inline float __bfloat162float(__nv_bfloat16 number) {
    const uint32_t bits = static_cast<uint32_t>(number.bits) << 16;
    float found;
    std::memcpy(&found, &bits, 4);
    return found;
}
inline __nv_bfloat16 __float2bfloat16_rn(float number) {
    uint32_t bits;
    std::memcpy(&bits, &number, 4);
    if (number != number) return {0x7fff};
    return {static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16)};
}
inline float __fmul_rn(float one, float other) { return one * other; }      // with -ffp-contract=off
inline float __fadd_rn(float one, float other) { return one + other; }
inline float rsqrtf(float number) { return 1.0f / std::sqrt(number); }

namespace played {

struct Fiber {
    ucontext_t context;
    jmp_buf at;                        // where it waits; a jump asks nothing of the system, unlike swapcontext
    std::vector<char> stack = std::vector<char>(1 << 16);
    bool begun = false, ended = false;
};

static std::vector<Fiber> fibers;
static jmp_buf scheduler;
static size_t running;
static int error;
static std::function<void()> body;
static std::mt19937 dice(1);

inline void begin() {
    body();
    fibers[running].ended = true;
    _longjmp(scheduler, 1);
}

inline void barrier() {
    if (_setjmp(fibers[running].at) == 0) _longjmp(scheduler, 1);
}

// Lets a fiber run to its next barrier, or to its end.
__attribute__((noinline)) static void resume(size_t thread) {
    running = thread;
    threadIdx.x = static_cast<unsigned>(thread);
    if (_setjmp(scheduler) != 0) return;
    Fiber& fiber = fibers[thread];
    if (fiber.begun) _longjmp(fiber.at, 1);
    fiber.begun = true;
    setcontext(&fiber.context);
}

inline void block() {
    const size_t count = blockDim.x;
    for (size_t thread = 0; thread < count; ++thread) {
        Fiber& fiber = fibers[thread];
        fiber.begun = fiber.ended = false;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = nullptr;
        makecontext(&fiber.context, begin, 0);
    }
    std::vector<size_t> order(count);
    for (size_t thread = 0; thread < count; ++thread) order[thread] = thread;
    for (size_t ended = 0; ended < count;) {
        std::shuffle(order.begin(), order.end(), dice);
        for (size_t thread : order) resume(thread);
        ended = std::count_if(fibers.begin(), fibers.begin() + count, [](const Fiber& fiber) { return fiber.ended; });
        if (ended != 0 && ended != count) {
            error = 719;               // cudaErrorLaunchFailure: some threads wait for others that have ended
            return;
        }
    }
}

inline void launch(unsigned blocks, unsigned threads, std::function<void()> what) {
    if (blocks == 0 || threads == 0 || threads > 1024 || threads % 32 != 0 || error != 0) {
        error = error != 0 ? error : 9;                                     // cudaErrorInvalidConfiguration
        return;
    }
    if (fibers.size() < threads) fibers.resize(threads);
    body = what;
    blockDim.x = threads;
    gridDim.x = blocks;
    for (blockIdx.x = 0; blockIdx.x < blocks && error == 0; ++blockIdx.x) block();
}

template <typename T> T exchange(T value, int mask) {
    static T slots[1024];
    const unsigned own = threadIdx.x;
    slots[own] = value;
    barrier();
    const T found = slots[own ^ static_cast<unsigned>(mask)];
    barrier();
    return found;
}

}  // namespace played

inline void __syncthreads() { played::barrier(); }
// Every thread of a block must take part, which a GPU asks of a warp only.
template <typename T> T __shfl_xor_sync(unsigned, T value, int mask) { return played::exchange(value, mask); }

inline int cudaGetLastError() {
    const int found = played::error;
    played::error = 0;
    return found;
}

#define LAUNCH(kernel, blocks, threads, stream, ...) \
    (static_cast<void>(stream), played::launch(static_cast<unsigned>(blocks), (threads), [=] { (kernel)(__VA_ARGS__); }))
