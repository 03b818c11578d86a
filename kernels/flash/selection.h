// What the host asks of a problem when it chooses a kernel, one definition for every kind of them. It chooses nothing itself.
#ifndef ROCFORGE_KERNELS_FLASH_SELECTION_H
#define ROCFORGE_KERNELS_FLASH_SELECTION_H

#include "kernels/common/attention.h"

namespace rocforge::kernels::flash {

constexpr std::int64_t divide_up(std::int64_t x, std::int64_t by) { return (x + by - 1) / by; }

// Anything that changes scores beyond a positive scale and bounds on keys: what kernels named _general are for.
constexpr bool general(const Attention& a) { return a.softcap > 0 || a.alibi || a.mask.present() || !(a.scale > 0); }

}  // namespace rocforge::kernels::flash
#endif
