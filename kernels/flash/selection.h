// What the host asks of a problem when it chooses a kernel, one definition for every kind of them. It chooses nothing itself.
#ifndef ROCFORGE_KERNELS_FLASH_SELECTION_H
#define ROCFORGE_KERNELS_FLASH_SELECTION_H

#include "kernels/common/attention.h"

namespace rocforge::kernels::flash {

constexpr std::int64_t divide_up(std::int64_t x, std::int64_t by) { return (x + by - 1) / by; }

// A scale that the kernels without _general can take into the exponential's: positive, and no infinity when it is multiplied with log2(e).
constexpr bool folds(float scale) { return scale > 0 && scale < 1e38f; }

// Anything that changes scores beyond such a scale and bounds on keys: what kernels named _general are for.
constexpr bool general(const Attention& a) { return a.softcap > 0 || a.alibi || a.mask.present() || !folds(a.scale); }

}  // namespace rocforge::kernels::flash
#endif
