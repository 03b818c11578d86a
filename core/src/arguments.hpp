// What a plan demands of rf_args: which pointers, how they are aligned, how much scratch memory. Checked before each forward, so that a backend need
// not: the check allocates nothing and takes nanoseconds; words are made for a fault alone. Reads no memory but the struct.
#pragma once

#include <rocforge/plugin.h>

#include <array>
#include <cstdint>
#include <string>

namespace rocforge {

class PlanArguments {
public:
    PlanArguments() = default;
    explicit PlanArguments(const rf_problem& complete);
    // What the plan has stated.
    void demand_scratch(const rf_plan_info&);

    // The first thing that the plan cannot take.
    struct Fault {
        enum What : std::uint8_t { none, struct_size, reserved, null, alignment, workspace, zeroed };
        What what = none;
        std::uint32_t pointer = 0;  // of null and alignment
        explicit operator bool() const noexcept { return what != none; }
    };
    Fault check(const rf_args&) const noexcept;
    // "args.k is NULL"
    std::string text_of(Fault, const rf_args&) const;

private:
    struct Pointer {
        std::uint32_t offset = 0;  // in rf_args
        std::uint32_t align = 1;
        const char* name = "";
    };
    void add(std::size_t offset, std::uint32_t align, const char* name);
    void add(std::size_t offset, const rf_tensor&, const char* name);

    std::uint32_t count_ = 0;
    std::array<Pointer, 14> pointers_{};
    std::uint64_t workspace_bytes_ = 0, zeroed_bytes_ = 0;
};

bool has_elements(const rf_tensor&) noexcept;

// The problem as the one-call form keys it: with the pointers' own alignment, in steps so coarse that addresses do not make a plan each.
rf_problem with_alignment_of(const rf_problem& from_caller, const rf_args& args);

}  // namespace rocforge
