// Which problems Hopper's own prefill kernels take, and the launch for one. Pure.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_HOPPER_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_HOPPER_H

#include <cstdint>

#include "kernels/common/launch.h"

namespace rocforge::kernels::flash::hopper {

// False: the portable kernel runs it.
bool takes(const Attention&, const Machine&);

// For a problem that takes() says yes to. heads_per_section: as in Cut.
Recipe prefill(const Attention&, const Machine&, std::int32_t heads_per_section);

}  // namespace rocforge::kernels::flash::hopper
#endif
