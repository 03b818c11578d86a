// The words of flags, files and JSON for types, layouts and devices, and the parsing of numbers and shapes. Pure.
// Every parse function throws std::invalid_argument with a text that continues "--flag: ".
#pragma once

#include <rocforge/rocforge.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace rocforge::cli {

inline constexpr rf_dtype kF32{RF_T_FLOAT, 32, 1}, kF16{RF_T_FLOAT, 16, 1}, kBF16{RF_T_BFLOAT, 16, 1}, kBool{RF_T_BOOL, 8, 1};
inline constexpr rf_dtype kI32{RF_T_INT, 32, 1}, kI64{RF_T_INT, 64, 1};

constexpr bool same(rf_dtype a, rf_dtype b) noexcept { return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes; }
constexpr std::int64_t element_bytes(rf_dtype dtype) noexcept { return dtype.bits / 8; }

std::string safetensors_name(rf_dtype dtype);      // "BF16"
std::string torch_name(rf_dtype dtype);            // "bfloat16"
std::string device_name(const rf_device& device);  // as --device takes it: "cpu", "rocm:1"; the arch of a hypothetical one

// Which axis lies outside which in q, k, v and out.
enum class Layout { kBhsd, kBshd };
enum class Diagonal { kTopLeft, kBottomRight };
enum class Causal { kNone, kTopLeft, kBottomRight };

rf_dtype parse_dtype(std::string_view text);  // f32, f16, bf16
const char* layout_name(Layout layout);       // "bhsd"
Layout parse_layout(std::string_view text);
Diagonal parse_diagonal(std::string_view text);
Causal parse_causal(std::string_view text);
std::int64_t parse_integer(std::string_view text);
std::int64_t parse_extent(std::string_view text);     // an integer >= 0
std::int64_t parse_positive(std::string_view text);   // an integer >= 1
std::int64_t parse_window(std::string_view text);     // an integer >= -1
std::uint64_t parse_unsigned(std::string_view text);  // 64 bits
float parse_finite(std::string_view text);
float parse_softcap(std::string_view text);                      // >= 0
float parse_probability(std::string_view text);                  // in [0, 1)
std::array<std::int64_t, 4> parse_shape(std::string_view text);  // "2x16x512x64"

}  // namespace rocforge::cli
