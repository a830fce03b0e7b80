// SwiGLU and its gradients, value by value (README.md). What PyTorch rounds between two of its kernels is rounded here as well.
#include "../gpu.h"

namespace {

constexpr int THREADS = 256;

template <typename T> __device__ T forward_of(T gate, T up) {
    const float value = wide(gate);
    return narrow<T>(times(wide(narrow<T>(value / (1.0f + expf(-value)))), wide(up)));
}

// Both gradients, in the places of what they are of.
template <typename T> __device__ void backward_of(T given, T& gate, T& up) {
    const float value = wide(gate), chance = 1.0f / (1.0f + expf(-value));
    const T of_up = narrow<T>(times(wide(narrow<T>(value / (1.0f + expf(-value)))), wide(given)));
    const float along = wide(narrow<T>(times(wide(up), wide(given))));
    gate = narrow<T>(along * chance * (1.0f + value * (1.0f - chance)));
    up = of_up;
}

template <typename T>
__global__ void __launch_bounds__(THREADS) forward(const T* gate, const T* up, T* out, long long count, bool whole) {
    const long long first = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    constexpr int EACH = PER_ACCESS<T>;
    const long long parts = whole ? count / EACH : 0;
    for (long long part = first; part < parts; part += stride) {
        const Access<T> one = load(gate + part * EACH), other = load(up + part * EACH);
        Access<T> found;
        for (int place = 0; place < EACH; ++place) found.at[place] = forward_of(one.at[place], other.at[place]);
        store(out + part * EACH, found);
    }
    for (long long place = parts * EACH + first; place < count; place += stride) out[place] = forward_of(gate[place], up[place]);
}

template <typename T>
__global__ void __launch_bounds__(THREADS) backward(const T* given, T* gate, T* up, long long count, bool whole) {
    const long long first = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    constexpr int EACH = PER_ACCESS<T>;
    const long long parts = whole ? count / EACH : 0;
    for (long long part = first; part < parts; part += stride) {
        const Access<T> from = load(given + part * EACH);
        Access<T> one = load(gate + part * EACH), other = load(up + part * EACH);
        for (int place = 0; place < EACH; ++place) backward_of(from.at[place], one.at[place], other.at[place]);
        store(gate + part * EACH, one);
        store(up + part * EACH, other);
    }
    for (long long place = parts * EACH + first; place < count; place += stride) backward_of(given[place], gate[place], up[place]);
}

template <typename T> long long blocks_for(long long count) {
    constexpr long long each = static_cast<long long>(THREADS) * PER_ACCESS<T>, most = 1 << 16;
    const long long needed = (count + each - 1) / each;
    return needed < most ? needed : most;
}

}  // namespace

// out [count] = silu(gate) * up.
EXPORTED edge_sleep_swiglu(const void* gate, const void* up, void* out, long long count, int type, void* stream) {
    if (count == 0) return 0;
    if (count < 0) return NOT_SUPPORTED;
    const bool whole = aligned(gate, 16) && aligned(up, 16) && aligned(out, 16);
    return for_type(type, [=](auto number) {
        using T = decltype(number);
        LAUNCH((forward<T>), blocks_for<T>(count), THREADS, stream, static_cast<const T*>(gate), static_cast<const T*>(up),
               static_cast<T*>(out), count, whole);
        return static_cast<int>(cudaGetLastError());
    });
}

// The gradients of gate and up, written over them, for the upstream gradient `given` [count].
EXPORTED edge_sleep_swiglu_backward(const void* given, void* gate, void* up, long long count, int type, void* stream) {
    if (count == 0) return 0;
    if (count < 0) return NOT_SUPPORTED;
    const bool whole = aligned(given, 16) && aligned(gate, 16) && aligned(up, 16);
    return for_type(type, [=](auto number) {
        using T = decltype(number);
        LAUNCH((backward<T>), blocks_for<T>(count), THREADS, stream, static_cast<const T*>(given), static_cast<T*>(gate),
               static_cast<T*>(up), count, whole);
        return static_cast<int>(cudaGetLastError());
    });
}
