// Sound problems at random, as far as the core would let them through ("What the core guarantees" in sdk/README.md): odd extents up to 2^40, every
// type, any strides, every combination of features that may be combined. The same seed gives the same problems on every machine.
#ifndef ROCFORGE_CONFORMANCE_RANDOM_PROBLEM_H
#define ROCFORGE_CONFORMANCE_RANDOM_PROBLEM_H

#include <rocforge/plugin.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace rocforge::conformance {

class RandomProblems {
public:
    // Of features that a problem may leave out, only `allowed` ones are used.
    RandomProblems(std::uint64_t seed, rf_features allowed) : state_(seed * 0x9E3779B97F4A7C15ull + 1), allowed_(allowed) {}
    rf_problem next();

private:
    std::uint64_t roll(std::uint64_t sides);
    bool one_in(std::uint64_t n) { return roll(n) == 0; }
    std::int64_t pick(std::initializer_list<std::int64_t> from) { return from.begin()[roll(from.size())]; }
    std::int64_t extent();
    rf_dtype number_type();
    rf_dtype float_type();
    bool may(rf_features bits) const { return (allowed_ & bits) == bits; }
    rf_features features();
    rf_tensor tensor(rf_dtype, std::int64_t, std::int64_t, std::int64_t, std::int64_t);
    void lengths(rf_problem&);
    void tensors(rf_problem&, std::int64_t head_q, std::int64_t head_kv);
    void extras(rf_problem&);
    rf_problem attempt();

    std::uint64_t state_;
    rf_features allowed_;
};

}  // namespace rocforge::conformance
#endif
