// From the tensors of a safetensors file to a problem and its arguments in host memory: which tensors there are decides between dense, ragged
// and paged. Shapes are checked against each other and contents (lengths, cu_seqlens, block table) against their limits before anything is
// computed; a message names the tensor, the index, the value and the limit. Chooses no backend.
#pragma once

#include <rocforge/rocforge.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "memory.hpp"
#include "problem.hpp"
#include "safetensors.hpp"

namespace rocforge::cli {

// q, k, v              required; F64, F32, F16 or BF16. F64 is cast to F32.
// mask                 BOOL or float, rank <= 4, aligned at the right, each axis full or 1: [batch, head_q, seq_q, seq_kv]
// kv_lens              [batch], in [0, capacity of k]; absent: all keys
// alibi_slopes, sink   float [head_q]
// cu_seqlens_q         [batch + 1]: ragged; q is then [1, head_q, tokens, dim] or [head_q, tokens, dim]
// cu_seqlens_kv        the same for k and v; never with kv_lens
// block_table          [batch, pages a row]: paged; k is then [pages, head_kv, page_size, dim]. Never with cu_seqlens_kv.
// Integers are I32 or I64. Axes of q, k, v are in the layout of --layout.
struct AttentionInput {
    rf_problem problem{};
    rf_args args{};                       // points into buffers
    std::vector<std::int64_t> out_shape;  // as written: q's rank and layout
    std::vector<std::int64_t> lse_shape;  // [batch, head_q, seq_q], ragged [1, head_q, tokens] or of rank 2
    std::vector<std::string> unused;      // tensors of the file that attention does not read
    std::vector<std::string> mistyped;    // what stands near them: "Mask" is not read; did you mean 'mask'?
    std::vector<std::string> narrowed;    // tensors that were cast from F64 to F32
    std::vector<Buffer> buffers;
    Buffer out, lse;  // zeroed: rows past a sequence's end stay 0
};

// `dtype` casts q, k and v. Throws safetensors::Error and Quit.
AttentionInput read_attention(const safetensors::Reader& reader, const Rules& rules, Layout layout, std::optional<rf_dtype> dtype);

}  // namespace rocforge::cli
