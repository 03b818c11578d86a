// Masks of AVX-512's lanes, for kernels on its intrinsics. Integers alone.
#ifndef ROCFORGE_PLUGINS_CPU_LANES_H
#define ROCFORGE_PLUGINS_CPU_LANES_H

#include <cstdint>

namespace rocforge::cpu {

// The first `count` of 32 lanes, none where it is negative; cut to 16 bits, of 16 lanes.
inline std::uint32_t first_lanes(std::int64_t count) { return count <= 0 ? 0u : count >= 32 ? ~0u : (1u << count) - 1; }

}  // namespace rocforge::cpu
#endif
