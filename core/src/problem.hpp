// Makes a caller's problem exact: checks it, resolves defaults, derives feature bits, spells out broadcasts. After this every backend may rely on
// what plugin.h says of a problem. Pure.
#pragma once

#include "result.hpp"

#include <string>
#include <vector>

namespace rocforge {

// The problem as backends see it, or RF_INVALID naming the field, its value and the rule.
Result<rf_problem> complete_problem(const rf_problem& from_caller);

// "softcap", "kv_lengths": the bits set in `features`, for people and programs; "bit 40" for one that plugin.h does not know.
std::vector<std::string> feature_names(rf_features features);
// nullptr for a bit that this core does not know.
const char* feature_name(std::uint32_t bit);

// Bytes of an element of a type of at least 8 bits.
inline std::int64_t element_bytes(rf_dtype dtype) { return dtype.bits / 8; }

}  // namespace rocforge
