// From flags to the library's problem: the rules that flags set, and dense, ragged or paged problems of given extents without any data.
#pragma once

#include <rocforge/rocforge.h>

#include <cstdint>
#include <optional>

#include "names.hpp"

namespace rocforge::cli {

// What flags say about the rules of attention, whatever the tensors are.
struct Rules {
    Causal causal = Causal::kNone;
    std::optional<Diagonal> align;  // --causal bottom-right implies bottom-right
    std::int64_t window_left = -1, window_right = -1;
    std::optional<float> scale;
    float softcap = 0, dropout_p = 0;
    bool lse = false;
};

// Sets the rules' fields and feature bits. Call it once RF_F_ALIBI is decided: the diagonal belongs to causal, window and ALiBi, and where
// none of them is on its bit stays off. Throws Quit where --causal and --align contradict each other.
void apply_rules(const Rules& rules, rf_problem& problem);

// Features whose arrays are of the problem's index_dtype.
inline constexpr rf_features kIndexFeatures = RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_RAGGED_KV | RF_F_PAGED_KV;

// A problem by its extents alone.
struct Extents {
    rf_dtype dtype = kF32;
    std::int64_t batch = 1, head_q = 1, head_kv = 1, seq_q = 1, seq_kv = 1, dim = 1, dim_v = 1;
    Layout layout = Layout::kBhsd;
    bool ragged = false;  // q of batch * seq_q tokens; k and v likewise unless paged or with lengths
    bool kv_lengths = false;
    std::int64_t page_size = 0;        // 0: not paged
    rf_dtype mask{};                   // none, kBool or a float type
    rf_dtype kv_dtype{}, out_dtype{};  // absent: dtype
    std::int64_t scale_group = 0;      // elements of dim that share a scale of k and v; 0: no scales
    std::int64_t diagonal = 0;
    bool alibi = false, sink = false, deterministic = false;
};

// Extents are checked for overflow and scale groups for dividing dim (Quit kUsage), everything else is left to the library to judge.
rf_problem problem_of(const Extents& extents, const Rules& rules);

// Arithmetic of forward at most, where every length is at its capacity: 2 for each multiplication and addition, halved when causal.
double flops_of(const rf_problem& problem);

// Strides and shape [batch, head, seq, dim] of a contiguous tensor in `layout`, at the 256-aligned address that every buffer here has.
// Throws Quit when its elements do not fit in 63 bits.
rf_tensor dense_tensor(rf_dtype dtype, std::int64_t batch, std::int64_t head, std::int64_t seq, std::int64_t dim, Layout layout);

// a * b of extents; throws Quit naming `what` on overflow.
std::int64_t multiply(std::int64_t a, std::int64_t b, const char* what);
constexpr std::int64_t divide_up(std::int64_t a, std::int64_t b) { return a / b + (a % b != 0); }

// Bytes of a tensor that dense_tensor() made; no overflow: checked there.
std::int64_t bytes_of(const rf_tensor& tensor);

}  // namespace rocforge::cli
