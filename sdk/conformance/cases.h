// The conformance cases: a named table of attention problems, each a recipe from which materialise.h makes tensors on the host.
// A recipe is data and device-neutral; the seed of a case follows from its name, so that adding a case changes no other. Valid problems only:
// what a library must refuse is for tests of that library.
#ifndef ROCFORGE_CONFORMANCE_CASES_H
#define ROCFORGE_CONFORMANCE_CASES_H

#include "storage.h"

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace rocforge::conformance {

// Where the elements of q, k, v and out lie. In every gap stands a NaN (in out: poison that must survive).
enum class Layout {
    bhsd,         // contiguous; paged: [pages, head_kv, page_size, dim]
    bshd,         // tokens before heads
    padded,       // bhsd with gaps after rows, heads and sequences
    padded_by_8,  // the same, but the gaps are multiples of 8 elements, as vector loads of 16-bit types like them
    packed_qkv,   // one [batch, seq, 3, head, dim] tensor: head_q == head_kv, seq_q == seq_kv, one type, dim_v == dim
};

enum class Pattern {
    random,           // a quarter of the keys excluded, and every third row attends to nothing
    keep_all,         // true, or random finite values
    one_key,          // row i keeps key (3 i + 1) % seq_kv alone
    prefix_half,      // the upper half of the keys is excluded
    every_other_key,  // odd keys are excluded
    checkered_64,     // every other block of 64 rows by 64 keys is excluded
    holes,            // true, or zero, but for one excluded key in one of every 16 rows
    lowest_row,       // additive: row 1 is the type's lowest finite value throughout, other rows random
};

struct MaskRecipe {
    rf_dtype type = kBool;
    Pattern pattern = Pattern::random;
    std::uint32_t broadcast_axes = 0;  // bit a: axis a of [batch, head_q, seq_q, seq_kv] has stride 0
};

// Random values in [-amplitude, amplitude].
struct Values {
    double amplitude = 1;
    bool constant = false;  // all equal to amplitude
    bool twins = false;     // each odd token differs from the one before it by one part in 10^4
};

// One special value, put in after everything else; d < 0 sets the whole row. k and v: h counts kv heads.
struct Poke {
    char tensor;  // 'q', 'k', 'v' or 'm'
    std::int64_t b, h, i, d;
    double value;
};

struct ScaleRecipe {
    std::int64_t groups = 1;           // shape[3]: dim / group
    std::uint32_t broadcast_axes = 0;  // bit a: axis a has stride 0
};

struct Case {
    std::string name;
    rf_features features = RF_F_LSE;                                                               // without the derived bits
    std::int64_t batch = 2, head_q = 2, head_kv = 2, seq_q = 7, seq_kv = 11, dim = 16, dim_v = 0;  // dim_v 0: dim
    rf_dtype type = kF32, k_type{}, v_type{}, out_type{};                                          // absent: as q's
    Layout layout = Layout::bhsd;
    std::int64_t shift_elems = 0;  // moves q, k, v and out off their natural alignment
    std::uint32_t align = 0;       // bytes, promised of q's, k's, v's and out's pointers; at most 256

    float scale = NAN;  // NaN: 1/sqrt(dim)
    float softcap = 0, dropout_p = 0;
    std::uint64_t dropout_seed = 0, dropout_offset = 0;
    std::int64_t window_left = -1, window_right = -1, diagonal = 0;
    MaskRecipe mask;
    ScaleRecipe k_scale, v_scale;
    std::vector<double> sinks;  // empty: random

    // Lengths per sequence, where the feature is on; seq_q and seq_kv are the capacities then. Empty: generated, one of them 0 or full.
    std::vector<std::int64_t> kv_lengths, q_lengths, ragged_kv_lengths;
    std::int64_t spare_tokens = 3;  // ragged: capacity behind the last sequence
    std::int64_t page_size = 4;
    std::int64_t spare_columns = 0;  // block_table_stride beyond the columns in use
    bool shared_first_page = false;  // paged: all sequences start with the same page
    bool live_hints = false;         // live_* carry the true maxima
    rf_dtype index_type = kI32;

    Values q, k, v;
    bool hide_nan = false;  // a key that no row attends to is NaN in k and v (else a large finite value)
    std::vector<Poke> pokes;
    std::uint64_t seed = 1;
    bool f32_alone = false;  // q is f32, and no other case of the table is this one in a 16-bit type
};

// Every case. Another seed gives the same tables with other random values.
std::vector<Case> all_cases(std::uint64_t seed = 1);
// More cases in the geometry of matrix units, where a kernel of tiles does what it does nowhere else: 16-bit types, dims in multiples of 8, rows and
// keys over several tiles and just past their ends, splits of long keys, whole blocks excluded. Groups NAME-bf16 and NAME-f16 are small enough for an
// emulator. A backend whose kernels know no tiles learns little here that all_cases() does not tell.
std::vector<Case> tile_cases(std::uint64_t seed = 1);

// The case as a backend without f32 may take it, in the order in which to ask: in f16, then in bf16, q and what else of q, k, v and out is f32. Named
// "NAME-as-f16", where an f32 mask changes its type too "NAME-and-mask-as-f16". None for a case that the table has in 16 bits anyhow.
std::vector<Case> in_16_bits(const Case&);

}  // namespace rocforge::conformance
#endif
