// Rotary positions and their gradient: a pair of values a thread (README.md).
#include "../gpu.h"

namespace {

constexpr int THREADS = 256;

struct Strides {
    long long batch, head, token;      // in values; those of one head of one token lie side by side
};

template <typename T>
__global__ void __launch_bounds__(THREADS)
rotate(const T* x, const T* cosines, const T* sines, T* out, int heads, int tokens, int size, Strides from, Strides to,
       long long cosine_batch, bool back, long long pairs) {
    const int half = size / 2;
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long pair = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; pair < pairs; pair += stride) {
        // Heads inside tokens: that is how a projection's output lies.
        const int place = static_cast<int>(pair % half);
        long long left = pair / half;
        const long long head = left % heads;
        left /= heads;
        const long long token = left % tokens, batch = left / tokens;
        const T* source = x + batch * from.batch + head * from.head + token * from.token + place;
        T* target = out + batch * to.batch + head * to.head + token * to.token + place;
        const long long angle = batch * cosine_batch + token * size + place;
        const float one = wide(source[0]), other = wide(source[half]);
        const float cos_one = wide(cosines[angle]), cos_other = wide(cosines[angle + half]);
        const float sin_one = wide(sines[angle]), sin_other = wide(sines[angle + half]);
        // Each product is rounded to the type, as PyTorch's kernels round what they leave behind.
        const float across_one = wide(narrow<T>(back ? times(other, sin_other) : times(-other, sin_one)));
        const float across_other = wide(narrow<T>(back ? times(-one, sin_one) : times(one, sin_other)));
        target[0] = narrow<T>(plus(wide(narrow<T>(times(one, cos_one))), across_one));
        target[half] = narrow<T>(plus(wide(narrow<T>(times(other, cos_other))), across_other));
    }
}

}  // namespace

// out [batch, heads, tokens, size] of x, each with its strides; cosines, sines [batch or 1, tokens, size], `cosine_batch` values
// from one of a batch to the next (0 for one for all). back: the gradient of x where x is that of out.
EXPORTED edge_sleep_rope(const void* x, const void* cosines, const void* sines, void* out, int batch, int heads, int tokens, int size,
                         long long x_batch, long long x_head, long long x_token, long long out_batch, long long out_head,
                         long long out_token, long long cosine_batch, int back, int type, void* stream) {
    if (batch < 0 || heads < 0 || tokens < 0 || size < 2 || size % 2 != 0) return NOT_SUPPORTED;
    const long long pairs = static_cast<long long>(batch) * heads * tokens * (size / 2);
    if (pairs == 0) return 0;
    const long long needed = (pairs + THREADS - 1) / THREADS, blocks = needed < 1 << 16 ? needed : 1 << 16;
    return for_type(type, [=](auto number) {
        using T = decltype(number);
        LAUNCH((rotate<T>), blocks, THREADS, stream, static_cast<const T*>(x), static_cast<const T*>(cosines),
               static_cast<const T*>(sines), static_cast<T*>(out), heads, tokens, size, Strides{x_batch, x_head, x_token},
               Strides{out_batch, out_head, out_token}, cosine_batch, back != 0, pairs);
        return static_cast<int>(cudaGetLastError());
    });
}
