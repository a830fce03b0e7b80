// The arithmetic of one value in NF4, and where it lies (README.md); the same for a GPU and a CPU.
#pragma once
#include "../gpu.h"

namespace nf4 {

// Quantiles of a normal distribution, scaled to [-1, 1] (QLoRA: Dettmers et al., 2023).
BOTH float code(int index) {
    constexpr float CODE[16] = {-1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f,
                                -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f,
                                0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
                                0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};
    return CODE[index];
}

// The first of two values is in the upper half of their byte.
BOTH int index_of(uint8_t byte, int odd) { return odd ? byte & 15 : byte >> 4; }

// Scales of the blocks, plain or quantised themselves. codes is null where `scale` holds one float a block.
struct Scales {
    const uint8_t* codes;              // of each block
    const float* table;                // [256] what a code stands for
    const float* scale;                // of each block, or of each 2^shift blocks
    const float* offset;               // one, added at the end
    int shift;
};

__device__ inline float scale_of(const Scales& scales, long long block) {
    if (scales.codes == nullptr) return scales.scale[block];
    return plus(times(scales.table[scales.codes[block]], scales.scale[block >> scales.shift]), *scales.offset);
}

}  // namespace nf4
