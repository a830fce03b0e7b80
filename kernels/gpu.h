// What the kernels need of a GPU: number types, 16-byte accesses, sums over a block, and the launch itself.
//
// Without nvcc the same source is C++ for g++, and host.h plays the GPU: every thread of a block is run for real, so that index
// arithmetic, tails, barriers and reductions are tested where there is no GPU. C++17; nothing newer than CUDA 11.8.
#pragma once
#include <stdint.h>

#ifdef __CUDACC__
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#define LAUNCH(kernel, blocks, threads, stream, ...) \
    (kernel)<<<static_cast<unsigned>(blocks), (threads), 0, static_cast<cudaStream_t>(stream)>>>(__VA_ARGS__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#include "host.h"
#endif

// What ctypes calls: an int that is 0 or a cudaError_t.
#define EXPORTED extern "C" __attribute__((visibility("default"))) int
#define BOTH __host__ __device__ inline

enum Type { FLOAT32 = 0, FLOAT16 = 1, BFLOAT16 = 2 };
constexpr int NOT_SUPPORTED = 1;       // cudaErrorInvalidValue

template <typename T> BOTH float wide(T value);
template <> BOTH float wide(float value) { return value; }
template <> BOTH float wide(__half value) { return __half2float(value); }
template <> BOTH float wide(__nv_bfloat16 value) { return __bfloat162float(value); }

// To the nearest, ties to even, as PyTorch rounds.
template <typename T> BOTH T narrow(float value);
template <> BOTH float narrow(float value) { return value; }
template <> BOTH __half narrow(float value) { return __float2half_rn(value); }
template <> BOTH __nv_bfloat16 narrow(float value) { return __float2bfloat16_rn(value); }

// A product, and a sum, each rounded: never contracted to one rounding, which would be another value than PyTorch's.
__device__ inline float times(float one, float other) { return __fmul_rn(one, other); }
__device__ inline float plus(float one, float other) { return __fadd_rn(one, other); }

template <typename T> constexpr int PER_ACCESS = 16 / sizeof(T);
template <typename T> union Access {
    uint4 raw;
    T at[PER_ACCESS<T>];
};

inline bool aligned(const void* pointer, size_t bytes) { return reinterpret_cast<uintptr_t>(pointer) % bytes == 0; }

template <typename T> __device__ inline Access<T> load(const T* from) {
    Access<T> found;
    found.raw = *reinterpret_cast<const uint4*>(from);
    return found;
}

template <typename T> __device__ inline void store(T* to, const Access<T>& values) { *reinterpret_cast<uint4*>(to) = values.raw; }

struct Sum {
    static constexpr float none = 0.0f;
    __device__ static float of(float one, float other) { return one + other; }
};
struct Largest {
    static constexpr float none = -INFINITY;
    // As torch.maximum: a NaN stays one.
    __device__ static float of(float one, float other) { return one != one || one > other ? one : other; }
};

// `value` of every thread of the block put together, for each of them. All threads call it; at most 1,024, in whole warps.
template <typename Kind> __device__ float across_block(float value) {
    __shared__ float of_warp[32];
    const int lane = threadIdx.x % 32, warps = blockDim.x / 32;
    for (int step = 16; step > 0; step /= 2) value = Kind::of(value, __shfl_xor_sync(0xffffffffu, value, step));
    if (lane == 0) of_warp[threadIdx.x / 32] = value;
    __syncthreads();
    value = lane < warps ? of_warp[lane] : Kind::none;
    for (int step = 16; step > 0; step /= 2) value = Kind::of(value, __shfl_xor_sync(0xffffffffu, value, step));
    __syncthreads();                   // before the next call writes of_warp
    return value;
}

// body<T>() for the type of a number; NOT_SUPPORTED for another. The body is a generic lambda that takes a T.
template <typename Body> int for_type(int type, Body body) {
    switch (type) {
        case FLOAT32: return body(float());
        case FLOAT16: return body(__half());
        case BFLOAT16: return body(__nv_bfloat16());
        default: return NOT_SUPPORTED;
    }
}
