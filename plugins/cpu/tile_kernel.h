// The bf16 prefill kernel on matrix units: which problems it takes, and whether this machine can run it. Items, splits and their merge are
// schedule.cpp's and the AVX-512 kernel's; plugins/cpu/README.md, section "Tiles", tells how it works.
#ifndef ROCFORGE_PLUGINS_CPU_TILE_KERNEL_H
#define ROCFORGE_PLUGINS_CPU_TILE_KERNEL_H

#include <string>

#include "plugins/cpu/attention.h"

namespace rocforge::cpu {

// amx: AMX-BF16's tiles; avx512_bf16: vdpbf16ps on the same packed operands.
enum class MatrixUnit { amx, avx512_bf16 };

// Does the tile kernel run this problem? bf16 q, k and v without scales and dropout, and more rows for a kv head than `few_rows`; out of any type.
bool tiles_take(const Attention&, std::int64_t few_rows);

// What the machine or the system lacks of it; empty: nothing, as far as can be known without asking for it.
std::string lacks(MatrixUnit);

// The kernel of a unit that is there. `general` is the AVX-512 kernel, which stays where it is: it runs the items of few rows that a ragged batch
// holds, and merges splits.
Kernel tile_kernel(MatrixUnit, const Kernel& general);

// Asks the system, once a process, for the 8 KiB of state that each thread then has in AMX; before amx's kernel runs. Empty: granted; else why not.
std::string claim_amx();

}  // namespace rocforge::cpu
#endif
