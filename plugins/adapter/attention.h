// plugin.h's problems and arguments as kernels see them. One definition for every backend of this project; it judges nothing (limits.h does).
#ifndef ROCFORGE_PLUGINS_ADAPTER_ATTENTION_H
#define ROCFORGE_PLUGINS_ADAPTER_ATTENTION_H

#include <rocforge/plugin.h>

#include "kernels/common/attention.h"

namespace rocforge::adapter {

// The storage type of an rf_dtype; absent for what no kernel reads.
kernels::Type type_of(const rf_dtype& dtype);

// Of a problem within a backend's limits. Fields of features that are off stay at Attention's defaults.
kernels::Attention attention_of(const rf_problem& problem);

// dropout_p: the plan's.
kernels::Pointers pointers_of(const rf_args& args, float dropout_p);

}  // namespace rocforge::adapter
#endif
