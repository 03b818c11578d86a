// Converts elements between the float types of safetensors, rounding to nearest, ties to even, once: F64 to F16 does not pass through F32,
// which would round twice. Pure.
#pragma once

#include <rocforge/rocforge.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace rocforge::cli {

// What becomes of a finite value that is too large for the target. kInfinity: IEEE's rule. kLargest: the largest finite value; for additive
// masks, where -inf excludes a key and no finite value does.
enum class Overflow { kInfinity, kLargest };

bool is_float(std::string_view safetensors_dtype) noexcept;  // F64, F32, F16, BF16

// `from` holds elements of a dtype for which is_float() holds, `into` as many of `to`: f32, f16 or bf16.
void convert(std::string_view from_dtype, std::span<const std::byte> from, rf_dtype to, std::span<std::byte> into, Overflow overflow);

}  // namespace rocforge::cli
