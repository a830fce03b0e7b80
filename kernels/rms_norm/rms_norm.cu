// RMSNorm and its gradient, one row a block, one read of the row from memory and one from the cache (README.md).
#include "../gpu.h"

namespace {

constexpr int THREADS = 128;

// EACH: values an access; 1 where a row does not begin on 16 bytes.
template <typename T, int EACH, typename Body> __device__ void along_row(int width, Body body) {
    for (int place = threadIdx.x * EACH; place < width; place += blockDim.x * EACH) body(place);
}

template <typename T, int EACH> struct Part {
    T at[EACH];
    __device__ static Part of(const T* from) {
        Part found;
        if constexpr (EACH == 1) {
            found.at[0] = *from;
        } else {
            const Access<T> values = load(from);
            for (int place = 0; place < EACH; ++place) found.at[place] = values.at[place];
        }
        return found;
    }
    __device__ void to(T* place_to) const {
        if constexpr (EACH == 1) {
            *place_to = at[0];
        } else {
            Access<T> values;
            for (int place = 0; place < EACH; ++place) values.at[place] = at[place];
            store(place_to, values);
        }
    }
};

template <typename T, int EACH>
__global__ void __launch_bounds__(THREADS)
forward(const T* x, const T* weight, T* out, float* inverse, int width, float epsilon) {
    const long long row = blockIdx.x;
    x += row * width;
    out += row * width;
    float squares = 0.0f;
    along_row<T, EACH>(width, [&](int place) {
        const auto values = Part<T, EACH>::of(x + place);
        for (int number = 0; number < EACH; ++number) squares += wide(values.at[number]) * wide(values.at[number]);
    });
    const float scale = rsqrtf(across_block<Sum>(squares) / static_cast<float>(width) + epsilon);
    if (threadIdx.x == 0) inverse[row] = scale;
    along_row<T, EACH>(width, [&](int place) {
        auto values = Part<T, EACH>::of(x + place);
        const auto by = Part<T, EACH>::of(weight + place);
        // Rounded before the weight, as the models of transformers do it.
        for (int number = 0; number < EACH; ++number)
            values.at[number] = narrow<T>(times(wide(narrow<T>(times(wide(values.at[number]), scale))), wide(by.at[number])));
        values.to(out + place);
    });
}

template <typename T, int EACH>
__global__ void __launch_bounds__(THREADS)
backward(const T* given, const T* x, const T* weight, const float* inverse, T* of_x, int width) {
    const long long row = blockIdx.x;
    given += row * width;
    x += row * width;
    of_x += row * width;
    const float scale = inverse[row];
    float share = 0.0f;
    along_row<T, EACH>(width, [&](int place) {
        const auto values = Part<T, EACH>::of(x + place), by = Part<T, EACH>::of(weight + place), from = Part<T, EACH>::of(given + place);
        for (int number = 0; number < EACH; ++number)
            share += wide(narrow<T>(times(wide(from.at[number]), wide(by.at[number])))) * (wide(values.at[number]) * scale);
    });
    share = across_block<Sum>(share) / static_cast<float>(width);
    along_row<T, EACH>(width, [&](int place) {
        auto values = Part<T, EACH>::of(x + place);
        const auto by = Part<T, EACH>::of(weight + place), from = Part<T, EACH>::of(given + place);
        for (int number = 0; number < EACH; ++number) {
            const float along = wide(narrow<T>(times(wide(from.at[number]), wide(by.at[number]))));
            values.at[number] = narrow<T>((along - wide(values.at[number]) * scale * share) * scale);
        }
        values.to(of_x + place);
    });
}

template <typename T> bool whole(int width, const void* one, const void* two, const void* three, const void* four) {
    return width % PER_ACCESS<T> == 0 && aligned(one, 16) && aligned(two, 16) && aligned(three, 16) && aligned(four, 16);
}

}  // namespace

// out [rows, width] of x [rows, width] and weight [width]; inverse [rows] float32 is what the backward pass needs.
EXPORTED edge_sleep_rms_norm(const void* x, const void* weight, void* out, float* inverse, long long rows, int width, float epsilon,
                             int type, void* stream) {
    if (rows == 0) return 0;
    if (rows < 0 || rows > INT32_MAX || width < 1) return NOT_SUPPORTED;
    return for_type(type, [=](auto number) {
        using T = decltype(number);
        const T *from = static_cast<const T*>(x), *by = static_cast<const T*>(weight);
        T* to = static_cast<T*>(out);
        if (whole<T>(width, x, weight, out, out)) LAUNCH((forward<T, PER_ACCESS<T>>), rows, THREADS, stream, from, by, to, inverse, width, epsilon);
        else LAUNCH((forward<T, 1>), rows, THREADS, stream, from, by, to, inverse, width, epsilon);
        return static_cast<int>(cudaGetLastError());
    });
}

// of_x [rows, width] of the upstream gradient `given`; all as in the forward pass. of_x may be `given`.
EXPORTED edge_sleep_rms_norm_backward(const void* given, const void* x, const void* weight, const float* inverse, void* of_x,
                                      long long rows, int width, int type, void* stream) {
    if (rows == 0) return 0;
    if (rows < 0 || rows > INT32_MAX || width < 1) return NOT_SUPPORTED;
    return for_type(type, [=](auto number) {
        using T = decltype(number);
        const T *upstream = static_cast<const T*>(given), *from = static_cast<const T*>(x), *by = static_cast<const T*>(weight);
        T* to = static_cast<T*>(of_x);
        if (whole<T>(width, given, x, weight, of_x)) LAUNCH((backward<T, PER_ACCESS<T>>), rows, THREADS, stream, upstream, from, by, inverse, to, width);
        else LAUNCH((backward<T, 1>), rows, THREADS, stream, upstream, from, by, inverse, to, width);
        return static_cast<int>(cudaGetLastError());
    });
}
