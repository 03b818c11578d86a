// Makes a case's tensors in host memory: inputs in exact-size allocations (a sanitizer sees the first byte read past them), outputs full of
// poison between poisoned guards. Values depend on a tensor's logical index, not on its layout, so layouts of one case are comparable.
// Knows nothing of devices: spans() lists what a caller must copy.
#ifndef ROCFORGE_CONFORMANCE_MATERIALISE_H
#define ROCFORGE_CONFORMANCE_MATERIALISE_H

#include "cases.h"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace rocforge::conformance {

// 256-aligned memory; an output has poison around it.
class Buffer {
public:
    Buffer(std::int64_t bytes, bool output);
    std::byte* data() const { return memory_.get() + guard_bytes_; }
    std::int64_t bytes() const { return bytes_; }
    bool guards_intact() const;

private:
    struct Free {
        void operator()(std::byte*) const;
    };
    std::int64_t bytes_, guard_bytes_;
    std::unique_ptr<std::byte, Free> memory_;
};

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
    explicit Materialised(const Case&);
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
