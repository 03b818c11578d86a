// How kernels are described to whoever holds a GPU runtime: the launches that make up one attention.
// Nothing here touches a GPU, so that a choice can be made, printed and tested for hardware that is absent.
#ifndef ROCFORGE_KERNELS_COMMON_LAUNCH_H
#define ROCFORGE_KERNELS_COMMON_LAUNCH_H

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/common/call.h"
#include "kernels/common/family.h"

namespace rocforge::kernels {

// The GPU that a choice is made for.
struct Machine {
    Family family;
    std::uint32_t compute_units;
};

struct Launch {
    std::string function;               // the kernel's symbol in the code object
    std::uint32_t grid[3] = {1, 1, 1};  // blocks: x up to 2^31 - 1, y and z up to 65,535
    std::uint32_t threads = 0;          // of a block
    std::uint32_t shared_bytes = 0;     // dynamic shared memory; AMD's is static and this is 0
};

// What a MappedCall's tensors look like; their addresses come with the call.
struct BoxedTensors {
    platform::BoxedTensor q, k, v, out;
    std::optional<platform::BoxedTensor> mask;
};

// One attention as launches on one stream, in order, all with the same Call.
struct Recipe {
    std::string name;  // for people and for tuned decisions
    std::vector<Launch> launches;
    Cut cut;
    std::optional<BoxedTensors> boxed;  // where the launches take a MappedCall
    std::uint64_t workspace_bytes = 0, zeroed_bytes = 0;
};

// Device code embedded in this library. arch: "gfx942", "sm_90a".
struct CodeObject {
    const char* arch;
    const unsigned char* begin;
    const unsigned char* end;
};

}  // namespace rocforge::kernels
#endif
