// The storage types of attention's tensors on the host: f32, f16, bf16, bool and the two index types, read and written one element at a time.
// Slow and exact on purpose: rounding goes through double arithmetic, not through the bit tricks of a backend that might share its mistakes.
// Knows no type that it cannot judge: unknown dtypes are a std::invalid_argument.
#ifndef ROCFORGE_CONFORMANCE_STORAGE_H
#define ROCFORGE_CONFORMANCE_STORAGE_H

#include <rocforge/plugin.h>

#include <cstdint>
#include <span>

namespace rocforge::conformance {

inline constexpr rf_dtype kF32{RF_T_FLOAT, 32, 1}, kF16{RF_T_FLOAT, 16, 1}, kBf16{RF_T_BFLOAT, 16, 1};
inline constexpr rf_dtype kBool{RF_T_BOOL, 8, 1}, kI32{RF_T_INT, 32, 1}, kI64{RF_T_INT, 64, 1};

constexpr bool same(rf_dtype a, rf_dtype b) { return a.code == b.code && a.bits == b.bits && a.lanes == b.lanes; }
constexpr bool absent(rf_dtype type) { return same(type, rf_dtype{}); }
constexpr std::int64_t bytes_of(rf_dtype type) { return type.bits / 8; }

// "f16"
const char* name_of(rf_dtype type);

// Elements first, first + stride, ... of an array of `type`, as many as `to` holds; a bool's non-zero byte is 1.
void load_strided(rf_dtype type, const void* array, std::int64_t first, std::int64_t stride, std::span<double> to);
// Element `index`.
double load(rf_dtype type, const void* array, std::int64_t index);
// Writes the nearest representable value, ties to even; what is too large becomes infinite. A bool is stored as its byte.
void store(rf_dtype type, void* array, std::int64_t index, double value);
// i32 or i64.
std::int64_t load_index(rf_dtype type, const void* array, std::int64_t index);
void store_index(rf_dtype type, void* array, std::int64_t index, std::int64_t value);

// What store followed by load gives, for f32, f16 and bf16.
double rounded(rf_dtype type, double value);
// Distance from 1 to the next larger value: f32 2^-23, f16 2^-10, bf16 2^-7.
double epsilon(rf_dtype type);
// The largest finite value.
double largest(rf_dtype type);

// Offset of an element from a tensor's base, in elements; 64 bit throughout, since batch * head * seq * dim passes 2^31 in ordinary use.
constexpr std::int64_t offset_of(const rf_tensor& t, std::int64_t a0, std::int64_t a1, std::int64_t a2, std::int64_t a3) {
    return a0 * t.stride[0] + a1 * t.stride[1] + a2 * t.stride[2] + a3 * t.stride[3];
}

}  // namespace rocforge::conformance
#endif
