// Plans by problem and device, the ones used last. Bounded, so that a server that sees every length keeps its memory.
#pragma once

#include <rocforge/rocforge.h>

#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <unordered_map>

namespace rocforge {

// A problem as its caller wrote it and the device, compared as bytes: completing it first would cost more than the look-up.
struct PlanKey {
    std::int32_t device_kind = 0, ordinal = 0;
    std::uint64_t arch_hash = 0;  // rules may ask for it
    rf_problem problem{};

    PlanKey(const rf_device& device, const rf_problem& from_caller);
    bool operator==(const PlanKey& other) const noexcept;
    std::uint64_t hash() const noexcept;
};

// All functions may be called from any thread.
class PlanCache {
public:
    static constexpr std::size_t kMost = 256;  // about 1 KB each beside what the backend keeps

    // A reference for the caller, or NULL.
    rocforge_plan_t* find(const PlanKey& key);
    // Keeps a reference of its own; the plan used longest ago leaves when full. `generation` is what generation() was before planning began:
    // a plan made under an older registry is not kept.
    void add(const PlanKey& key, rocforge_plan_t* plan, std::uint64_t generation);
    std::uint64_t generation();
    // Drops all, because the registry or its default changed.
    void clear();

private:
    struct Entry {
        PlanKey key;
        rocforge_plan_t* plan;
    };
    std::mutex guard_;
    std::list<Entry> by_use_;  // used last in front
    std::unordered_map<std::uint64_t, std::list<Entry>::iterator> by_hash_;
    std::uint64_t generation_ = 0;
};

}  // namespace rocforge
