#include "plan_cache.hpp"

#include <rocforge/plugin.hpp>

#include <array>
#include <cstring>
#include <type_traits>
#include <vector>

namespace rocforge {
namespace {

static_assert(std::has_unique_object_representations_v<rf_tensor>, "padding would make equal problems differ");
constexpr std::size_t kWords = sizeof(rf_problem) / 8;
static_assert(sizeof(rf_problem) % 8 == 0);

__extension__ using Wide = unsigned __int128;

// Folds the 128-bit product: two words a multiplication.
std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

}  // namespace

PlanKey::PlanKey(const rf_device& device, const rf_problem& from_caller)
    : device_kind(device.kind), ordinal(device.ordinal), problem(sized_copy(&from_caller)) {
    for (const char* c = device.arch; c && *c; ++c) arch_hash = (arch_hash ^ static_cast<unsigned char>(*c)) * 0x100000001b3;  // FNV's prime
}

bool PlanKey::operator==(const PlanKey& other) const noexcept {
    if (device_kind != other.device_kind || ordinal != other.ordinal || arch_hash != other.arch_hash) return false;
    // NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): the bytes are the key; 0 and -0 may well be two plans
    return std::memcmp(&problem, &other.problem, sizeof problem) == 0;
}

std::uint64_t PlanKey::hash() const noexcept {
    std::array<std::uint64_t, kWords> words;
    std::memcpy(words.data(), &problem, sizeof problem);
    // Odd constants of high entropy (fractions of the golden ratio and of sqrt 2).
    std::uint64_t a = 0x9e3779b97f4a7c15,
                  b = arch_hash ^ 0x6a09e667f3bcc909 ^ (static_cast<std::uint64_t>(device_kind) << 32 | static_cast<std::uint32_t>(ordinal));
    std::size_t i = 0;
    for (; i + 4 <= kWords; i += 4) {  // two chains, so that the multiplications overlap
        a = mix(words[i] ^ a, words[i + 1] ^ 0x9e3779b97f4a7c15);
        b = mix(words[i + 2] ^ b, words[i + 3] ^ 0xbb67ae8584caa73b);
    }
    for (; i < kWords; ++i) a = mix(words[i] ^ a, 0xbb67ae8584caa73b);
    return mix(a ^ 0x9e3779b97f4a7c15, b);
}

rocforge_plan_t* PlanCache::find(const PlanKey& key) {
    const std::uint64_t hash = key.hash();
    const std::lock_guard lock(guard_);
    const auto found = by_hash_.find(hash);
    if (found == by_hash_.end() || !(found->second->key == key)) return nullptr;
    by_use_.splice(by_use_.begin(), by_use_, found->second);
    return rocforge_plan_retain(found->second->plan);
}

void PlanCache::add(const PlanKey& key, rocforge_plan_t* plan, std::uint64_t generation) {
    const std::uint64_t hash = key.hash();
    rocforge_plan_t* leaves = nullptr;
    {
        const std::lock_guard lock(guard_);
        if (generation != generation_) return;
        if (const auto same = by_hash_.find(hash); same != by_hash_.end()) {  // another thread was first, or another problem has this hash
            leaves = same->second->plan;
            by_use_.erase(same->second);
            by_hash_.erase(same);
        } else if (by_use_.size() == kMost) {
            leaves = by_use_.back().plan;
            by_hash_.erase(by_use_.back().key.hash());
            by_use_.pop_back();
        }
        by_use_.push_front({key, rocforge_plan_retain(plan)});
        by_hash_[hash] = by_use_.begin();
    }
    rocforge_plan_release(leaves);
}

std::uint64_t PlanCache::generation() {
    const std::lock_guard lock(guard_);
    return generation_;
}

void PlanCache::clear() {
    std::list<Entry> leave;
    {
        const std::lock_guard lock(guard_);
        leave.swap(by_use_);
        by_hash_.clear();
        ++generation_;
    }
    for (const Entry& entry : leave) rocforge_plan_release(entry.plan);
}

}  // namespace rocforge
