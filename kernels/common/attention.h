// One attention problem as kernels see it: plain geometry and pointers, the same for every backend and on every device. It knows no ABI type,
// allocates nothing and validates nothing: a backend's limits have refused what its kernels do not run.
#ifndef ROCFORGE_KERNELS_COMMON_ATTENTION_H
#define ROCFORGE_KERNELS_COMMON_ATTENTION_H

#include <cstdint>

#include "kernels/common/extent.h"
#include "kernels/common/philox.h"

namespace rocforge::kernels {

enum class Type : std::uint8_t { absent, f32, f16, bf16, boolean };

constexpr std::int64_t bytes_of(Type type) { return type == Type::f32 ? 4 : type == Type::boolean ? 1 : 2; }

// Where element (batch | page, head, sequence, last) of a tensor lies: strides in elements.
struct Operand {
    Type type = Type::absent;
    std::int64_t batch = 0, head = 0, sequence = 0, last = 0;

    constexpr bool present() const { return type != Type::absent; }
    constexpr std::int64_t offset(std::int64_t b, std::int64_t h, std::int64_t s) const { return b * batch + h * head + s * sequence; }
};

// Geometry: what a plan keeps. Fields as in rf_problem.
struct Attention {
    std::int64_t batch = 0, head_q = 0, head_kv = 0, max_seq_q = 0, max_seq_kv = 0, dim = 0, dim_v = 0;
    std::int64_t q_tokens = 0, kv_tokens = 0;  // capacity of the sequence axis, all sequences together: bounds cu_seqlens
    std::int64_t page_size = 0, pages = 0, block_table_stride = 0;
    Operand q, k, v, out, mask, lse, k_scale, v_scale;
    std::int64_t k_scale_group = 1, v_scale_group = 1;  // elements of dim that share a scale
    std::int64_t window_left = -1, window_right = -1, diagonal = 0;
    float scale = 1, softcap = 0, dropout_p = 0;  // softcap 0: none
    bool causal = false, bottom_right = false, alibi = false, sink = false, dropout = false;
    bool kv_lengths = false, ragged_q = false, ragged_kv = false, paged = false, wide_index = false;

    constexpr std::int64_t group() const { return head_q / head_kv; }
};

// The pointers of one call.
struct Pointers {
    const void *q, *k, *v;
    void* out;
    float* lse;
    const void* mask;
    const float *alibi_slopes, *sink;
    const void *kv_lengths, *cu_seqlens_q, *cu_seqlens_kv, *block_table;
    const void *k_scale, *v_scale;
    Dropout dropout;
};

}  // namespace rocforge::kernels
#endif
