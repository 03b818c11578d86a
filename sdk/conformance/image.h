// The tensors of a case laid out in one block, as a host copy of what a device holds: one allocation on the device and one copy each way a run.
// Guard bands lie between the tensors; what was written there, or to an input, is told. Knows no device: the caller copies.
#ifndef ROCFORGE_CONFORMANCE_IMAGE_H
#define ROCFORGE_CONFORMANCE_IMAGE_H

#include "materialise.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rocforge::conformance {

// The problem with the alignment that its pointers have, up to 256 bytes, where it promises none: kernels that read 16 bytes at once want to be told.
rf_problem with_true_alignment(rf_problem, const rf_args&);

// A case's problem, so aligned, as it would be asked about.
rf_problem problem_of(const Case&);

class Image {
public:
    Image(const Materialised&, std::uint64_t zeroed_bytes);
    std::uint64_t bytes() const { return host_.size(); }
    // Takes the tensors as they are now; guard bands and zeroed memory anew.
    const std::byte* refresh();
    // The arguments as pointers into a block at `base` of the device.
    rf_args args(std::byte* base) const;
    // From a copy of the block after a call: outputs go to the case's own tensors. Returns what was written where nothing may be, or "".
    std::string collect(const std::byte* after) const;

private:
    struct Piece {
        const Span* span;
        std::uint64_t offset;
    };
    const Materialised& tensors_;
    std::vector<Piece> pieces_;
    std::uint64_t zeroed_offset_ = 0, zeroed_bytes_ = 0;
    std::vector<std::byte> host_;
};

}  // namespace rocforge::conformance
#endif
