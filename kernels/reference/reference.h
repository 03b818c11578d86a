// The kernels of the safety net: every feature of attention's definition, unfused, on every GPU. This is their host side: which launches make up a
// problem, and the device code itself. It holds no limits of a backend and touches no GPU.
#ifndef ROCFORGE_KERNELS_REFERENCE_REFERENCE_H
#define ROCFORGE_KERNELS_REFERENCE_REFERENCE_H

#include <cstdint>
#include <span>

#include "kernels/common/launch.h"

namespace rocforge::kernels::reference {

// Largest dim and dim_v. Everything else of Attention is run: f32, f16 and bf16 in any mix, any strides and alignment, all features together.
constexpr std::int64_t kMaxDim = 576, kMaxDimV = 512;

// The launches for one problem within kMaxDim and kMaxDimV; none where there is no row. workspace_bytes stays within the limit: keys are split over
// fewer blocks, at last over none, which needs no workspace. Pure.
Recipe choose(const Attention&, const Machine&, std::uint64_t workspace_limit_bytes);

// The kernels, one object an architecture that they were built for.
std::span<const CodeObject> code_objects();

}  // namespace rocforge::kernels::reference
#endif
