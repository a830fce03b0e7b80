// NF4 made readable, its quantised scales decoded on the way (README.md).
#include "nf4.h"

namespace {

constexpr int THREADS = 256;
// Values of a word of four bytes: one 16-byte store of a narrow type. Neighbouring threads write neighbouring bytes.
constexpr int PER_WORD = 8;
constexpr long long MOST_BLOCKS = 1 << 16;

template <typename T> __device__ T value_at(const uint8_t* packed, const nf4::Scales& scales, long long place, int shift, const float* code) {
    const int index = nf4::index_of(packed[place >> 1], static_cast<int>(place & 1));
    return narrow<T>(times(code[index], nf4::scale_of(scales, place >> shift)));
}

// WORDS: whole words where both sides are aligned for them; the rest, or everything, value by value.
template <typename T, bool WORDS>
__global__ void __launch_bounds__(THREADS)
dequantise(const uint8_t* packed, nf4::Scales scales, T* out, long long count, int shift) {
    __shared__ float code[16];         // sixteen banks, and a broadcast where threads read the same
    if (threadIdx.x < 16) code[threadIdx.x] = nf4::code(threadIdx.x);
    __syncthreads();
    const long long first = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x;
    const long long stride = static_cast<long long>(gridDim.x) * blockDim.x;
    const long long words = WORDS ? count / PER_WORD : 0;
    for (long long word = first; word < words; word += stride) {
        const uint32_t bits = reinterpret_cast<const uint32_t*>(packed)[word];
        // A block has at least 32 values, a multiple of a word's.
        const float scale = nf4::scale_of(scales, word * PER_WORD >> shift);
        constexpr int EACH = PER_ACCESS<T>;
        UNROLL for (int part = 0; part < PER_WORD / EACH; ++part) {
            Access<T> values;
            UNROLL for (int place = 0; place < EACH; ++place) {
                const int number = part * EACH + place;
                values.at[place] = narrow<T>(times(code[nf4::index_of(bits >> (number / 2 * 8) & 255, number % 2)], scale));
            }
            store(out + word * PER_WORD + part * EACH, values);
        }
    }
    for (long long place = words * PER_WORD + first; place < count; place += stride)
        out[place] = value_at<T>(packed, scales, place, shift, code);
}

int log2_of(int size) {
    int shift = 0;
    while (size > 1 << shift) ++shift;
    return size == 1 << shift ? shift : -1;
}

}  // namespace

// out [count] of `type` from packed [(count + 1) / 2]. codes (or null), table [256], scale, offset: as in nf4::Scales.
// blocksize: values a block, a power of two from 32; nested: blocks that share a scale of their scales, a power of two.
EXPORTED edge_sleep_nf4_dequantise(const void* packed, const void* codes, const float* table, const float* scale, const float* offset,
                                   int blocksize, int nested, void* out, long long count, int type, void* stream) {
    const int shift = log2_of(blocksize), above = codes == nullptr ? 0 : log2_of(nested);
    if (count == 0) return 0;
    if (shift < 5 || above < 0 || count < 0) return NOT_SUPPORTED;
    const nf4::Scales scales{static_cast<const uint8_t*>(codes), table, scale, offset, above};
    const uint8_t* bytes = static_cast<const uint8_t*>(packed);
    return for_type(type, [=](auto number) {
        using T = decltype(number);
        T* values = static_cast<T*>(out);
        const bool words = aligned(packed, 4) && aligned(out, 16);
        const long long needed = ((words ? count / PER_WORD : count) + THREADS - 1) / THREADS;
        const long long blocks = needed < 1 ? 1 : needed < MOST_BLOCKS ? needed : MOST_BLOCKS;
        if (words) LAUNCH((dequantise<T, true>), blocks, THREADS, stream, bytes, scales, values, count, shift);
        else LAUNCH((dequantise<T, false>), blocks, THREADS, stream, bytes, scales, values, count, shift);
        return static_cast<int>(cudaGetLastError());
    });
}
