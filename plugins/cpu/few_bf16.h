// Both products of few rows by AVX512-BF16 or AMX, for machines that have them.
#ifndef ROCFORGE_PLUGINS_CPU_FEW_BF16_H
#define ROCFORGE_PLUGINS_CPU_FEW_BF16_H

#include "plugins/cpu/attention.h"
#include "plugins/cpu/tile_kernel.h"

namespace rocforge::cpu {

// For the life of the process; null on other architectures.
const FewBf16* few_bf16_by(MatrixUnit);

}  // namespace rocforge::cpu
#endif
