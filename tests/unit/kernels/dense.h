// The problem that tests of the fused kernels' choice begin with, and the machines that they choose for.
#ifndef ROCFORGE_TESTS_UNIT_KERNELS_DENSE_H
#define ROCFORGE_TESTS_UNIT_KERNELS_DENSE_H

#include <cstdint>
#include <string>

#include "kernels/flash/flash.h"

namespace rocforge::kernels {

constexpr std::uint64_t kNoLimit = UINT64_MAX;
constexpr Machine kHopper{Family::sm90, 132}, kAmpere{Family::sm80, 108};

inline Operand packed(Type type, std::int64_t heads, std::int64_t sequence, std::int64_t dim) {
    return {type, heads * sequence * dim, sequence * dim, dim, 1};
}

// 2 sequences, 8 query heads, 2 kv heads, bf16.
inline Attention dense(std::int64_t seq_q, std::int64_t seq_kv, std::int64_t dim, bool causal = false) {
    Attention a;
    a.batch = 2, a.head_q = 8, a.head_kv = 2;
    a.max_seq_q = a.q_tokens = seq_q, a.max_seq_kv = a.kv_tokens = seq_kv;
    a.dim = a.dim_v = dim, a.causal = causal;
    a.q = a.out = packed(Type::bf16, a.head_q, seq_q, dim);
    a.k = a.v = packed(Type::bf16, a.head_kv, seq_kv, dim);
    return a;
}

// One head a sequence: only the number of pairs counts.
inline Attention pairs(std::int64_t number, std::int64_t seq_q, std::int64_t seq_kv, std::int64_t dim, bool causal = false) {
    Attention a = dense(seq_q, seq_kv, dim, causal);
    a.batch = number, a.head_q = a.head_kv = 1;
    return a;
}

inline Recipe chosen(const Attention& a, const Machine& machine = kHopper) { return flash::choose(a, machine, kNoLimit); }

}  // namespace rocforge::kernels
#endif
