// What the cpu backend runs, as one table of geometry. Backend::supports asks it, then adds the two refusals that need more than geometry (another
// kind of device, a workspace limit below one worker's); plan() asks supports. schedule.cpp refuses wrong index tensors, call by call.
#ifndef ROCFORGE_PLUGINS_CPU_LIMITS_H
#define ROCFORGE_PLUGINS_CPU_LIMITS_H

#include <rocforge/plugin.hpp>

#include "plugins/cpu/attention.h"

namespace rocforge::cpu {

constexpr std::int64_t kMaxDim = 1024;                            // bounds a worker's scratch: 384 rows of q and out in f32, 3 MiB
constexpr std::int64_t kMaxLength = (std::int64_t{1} << 31) - 1;  // Philox counts rows and keys in 32 bits

// The storage type of an rf_dtype; absent for what the kernels do not read.
Type type_of(const rf_dtype& dtype);

// Reports everything about the problem's geometry that the kernels do not run.
void check_limits(const rf_problem& problem, Reasons& reasons);

}  // namespace rocforge::cpu
#endif
