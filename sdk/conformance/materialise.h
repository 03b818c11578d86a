// Makes a case's tensors in host memory, placed so that a step past one is seen (memory.h), outputs full of poison. Values depend on a tensor's
// logical index, not on its layout, so layouts of one case are comparable.
// Knows nothing of devices: spans() lists what a caller must copy.
#ifndef ROCFORGE_CONFORMANCE_MATERIALISE_H
#define ROCFORGE_CONFORMANCE_MATERIALISE_H

#include "cases.h"
#include "memory.h"

#include <cstddef>
#include <string>
#include <vector>

namespace rocforge::conformance {

// The pointers of rf_args that a case may have, workspace and zeroed apart.
struct Argument {
    const char* name;
    std::size_t args_offset;
};
inline constexpr Argument kArguments[] = {{"q", offsetof(rf_args, q)},
                                          {"k", offsetof(rf_args, k)},
                                          {"v", offsetof(rf_args, v)},
                                          {"out", offsetof(rf_args, out)},
                                          {"lse", offsetof(rf_args, lse)},
                                          {"mask", offsetof(rf_args, mask)},
                                          {"alibi_slopes", offsetof(rf_args, alibi_slopes)},
                                          {"sink", offsetof(rf_args, sink)},
                                          {"kv_lengths", offsetof(rf_args, kv_lengths)},
                                          {"cu_seqlens_q", offsetof(rf_args, cu_seqlens_q)},
                                          {"cu_seqlens_kv", offsetof(rf_args, cu_seqlens_kv)},
                                          {"block_table", offsetof(rf_args, block_table)},
                                          {"k_scale", offsetof(rf_args, k_scale)},
                                          {"v_scale", offsetof(rf_args, v_scale)}};
const char* name_of_argument(std::size_t args_offset);

// A pointer of rf_args and the memory behind it: [base, base + bytes). q, k and v of a packed tensor share one.
struct Span {
    std::size_t args_offset;  // offsetof(rf_args, ...)
    std::byte* base;
    std::int64_t bytes;
    bool output;
    rf_dtype type;
};

// A case's problem and arguments over memory that it owns.
class Materialised {
public:
    explicit Materialised(const Case&, Placement = Placement::heap);
    // Lengths and tables alone: the tensors have their places and no values. For who asks about the problem and runs nothing.
    static Materialised without_values(const Case&);
    const rf_problem& problem() const { return problem_; }
    const rf_args& args() const { return args_; }
    const std::vector<Span>& spans() const { return spans_; }

    // Fills out and lse with poison, live rows included.
    void poison();
    // Takes the inputs as they are now for intended: for a caller that changed lengths or values through spans().
    void seal();
    // What a call broke beyond its results: a guard, a gap between rows, a row past a sequence's end, an input. "" if nothing.
    std::string damage() const;
    // A live element of out or lse that still holds the poison. "" if none.
    std::string unwritten() const;

private:
    friend class Builder;
    Materialised() = default;
    // By offset: the elements of out, or of lse, that a call must write.
    std::vector<bool> live(const rf_tensor&, std::int64_t elements) const;
    rf_problem problem_{};
    rf_args args_{};
    std::vector<Buffer> buffers_;
    std::vector<Span> spans_;
    std::vector<std::uint64_t> input_hashes_;  // by span; 0 for outputs
};

}  // namespace rocforge::conformance
#endif
