// One tile of the vocabulary on its way from logits to the gradient's factor, in place: one row a block (README.md).
#include "../gpu.h"

namespace {

constexpr int THREADS = 256;

// top, total, chosen [rows]: of the tiles before this one, and then with it. shrink [rows]: what earlier sums are multiplied by.
template <typename T>
__global__ void __launch_bounds__(THREADS)
softmax_tile(T* tile, const long long* targets, float* top, float* total, float* chosen, float* shrink, long long columns,
             long long begin, bool write, bool whole) {
    const long long row = blockIdx.x;
    tile += row * columns;
    constexpr int EACH = PER_ACCESS<T>;
    const long long parts = whole ? columns / EACH : 0;
    float largest = Largest::none;
    for (long long part = threadIdx.x; part < parts; part += blockDim.x) {
        const Access<T> logits = load(tile + part * EACH);
        for (int place = 0; place < EACH; ++place) largest = Largest::of(largest, wide(logits.at[place]));
    }
    for (long long place = parts * EACH + threadIdx.x; place < columns; place += blockDim.x)
        largest = Largest::of(largest, wide(tile[place]));
    const float before = top[row];
    const float now = Largest::of(before, across_block<Largest>(largest));
    const long long target = targets[row] - begin;
    const bool inside = target >= 0 && target < columns;
    const float at_target = inside ? wide(tile[target]) : 0.0f;
    // All have read the target's logit, which one of them writes over below; across_block waits before it, not after.
    __syncthreads();
    float sum = 0.0f;
    for (long long part = threadIdx.x; part < parts; part += blockDim.x) {
        Access<T> values = load(tile + part * EACH);
        for (int place = 0; place < EACH; ++place) {
            const float value = expf(wide(values.at[place]) - now);
            sum += value;
            values.at[place] = narrow<T>(part * EACH + place == target ? 0.0f : value);
        }
        if (write) store(tile + part * EACH, values);
    }
    for (long long place = parts * EACH + threadIdx.x; place < columns; place += blockDim.x) {
        const float value = expf(wide(tile[place]) - now);
        sum += value;
        if (write) tile[place] = narrow<T>(place == target ? 0.0f : value);
    }
    sum = across_block<Sum>(sum);
    if (threadIdx.x == 0) {
        const float factor = expf(before - now);
        top[row] = now;
        total[row] = total[row] * factor + sum;
        if (inside) chosen[row] = at_target;
        shrink[row] = factor;
    }
}

}  // namespace

// tile [rows, columns] of logits of the vocabulary's columns from `begin` on; targets [rows] int64; write: make the tile
// exp(logit - top), zero at the target, which the caller adds by itself.
EXPORTED edge_sleep_softmax_tile(void* tile, const long long* targets, float* top, float* total, float* chosen, float* shrink,
                                 long long rows, long long columns, long long begin, int write, int type, void* stream) {
    if (rows == 0) return 0;
    if (rows < 0 || rows > INT32_MAX || columns < 1) return NOT_SUPPORTED;
    return for_type(type, [=](auto number) {
        using T = decltype(number);
        const bool whole = columns % PER_ACCESS<T> == 0 && aligned(tile, 16);
        LAUNCH((softmax_tile<T>), rows, THREADS, stream, static_cast<T*>(tile), targets, top, total, chosen, shrink, columns, begin,
               write != 0, whole);
        return static_cast<int>(cudaGetLastError());
    });
}
