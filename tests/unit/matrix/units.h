// What the test and its kernels agree on: one wave multiplies 16 queries by 64 keys of 64 dims, and the rounded result by their values.
#pragma once

namespace rocforge::tests {

constexpr int kQueries = 16, kKeys = 64, kDims = 64;

struct UnitsCall {
    const void *q, *k, *v;  // 16-bit [kQueries, kDims], [kKeys, kDims], [kKeys, kDims]
    float* scores;          // q k^T, [kQueries, kKeys]
    float* out;             // rounded scores times v, [kQueries, kDims]
    float *largest, *sum;   // of each row of scores, [kQueries]
};

}  // namespace rocforge::tests
