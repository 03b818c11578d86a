// The scores of a few rows by AVX512-BF16, for machines that have it.
#ifndef ROCFORGE_PLUGINS_CPU_FEW_BF16_H
#define ROCFORGE_PLUGINS_CPU_FEW_BF16_H

#include "plugins/cpu/attention.h"

namespace rocforge::cpu {

// Null on other architectures.
ScoreBf16 few_bf16_scores();

}  // namespace rocforge::cpu
#endif
