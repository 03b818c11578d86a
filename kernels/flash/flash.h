// Fused attention on GPUs: which kernels run a problem, and the code that they are in. Pure; what the kernels cannot run, the caller has refused.
#ifndef ROCFORGE_KERNELS_FLASH_FLASH_H
#define ROCFORGE_KERNELS_FLASH_FLASH_H

#include <cstdint>
#include <span>

#include "kernels/common/launch.h"

namespace rocforge::kernels::flash {

constexpr std::int64_t kMaxLength = (std::int64_t{1} << 30) - 1;     // keys and packed rows are counted in 32 bits
constexpr std::int64_t kMaxKeyStride = (std::int64_t{1} << 25) - 1;  // elements: a block of 64 keys is addressed in 32 bits of bytes

// The launches for one problem. workspace_bytes stays within the limit: with less of it the keys of a decode are shared out over fewer blocks.
Recipe choose(const Attention&, const Machine&, std::uint64_t workspace_limit_bytes);

// The device code of this library, one object an architecture and source.
std::span<const CodeObject> code_objects();

}  // namespace rocforge::kernels::flash
#endif
