// What the tests of the host API share: a context that finds no plugin file, backends that do nothing (support/fake_backend.hpp), a problem for them.
#pragma once

#include <rocforge/rocforge.hpp>

#include <cstdint>
#include <optional>
#include <string>

#include "support/fake_backend.hpp"
#include "support/thrown.hpp"

inline constexpr fake::Behaviour kGood{.name = "good"}, kSmall{.name = "small", .most_dim = 64}, kAbsent{.name = "absent", .device_missing = true},
    kScratch{.name = "scratch", .workspace_bytes = 1000};
extern template const rf_backend_api& fake::table<kGood>();
extern template const rf_backend_api& fake::table<kSmall>();
extern template const rf_backend_api& fake::table<kAbsent>();
extern template const rf_backend_api& fake::table<kScratch>();

// A context of its own whose configuration is `toml`: "select.order = ['small', '*']\n".
class World {
public:
    explicit World(const std::string& toml = "");
    ~World();
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    rocforge::Context& operator*() { return *context_; }
    rocforge::Context* operator->() { return &*context_; }
    void close() { context_.reset(); }

private:
    std::string folder_;
    std::optional<rocforge::Context> context_;
};

rf_device cpu();
rf_problem problem(std::int64_t dim = 32, std::int64_t seq = 8);
// Every tensor at one place.
rf_args args();
