// Chooses a backend for one problem. Pure: no I/O, no globals, so that policy is table-tested.
#pragma once

#include "config.hpp"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace rocforge {

// A backend, as far as policy cares.
struct Candidate {
    std::string name;
    std::int32_t kind = 0;
    bool approximate = false;
};

// What rules may ask of a problem and its device.
struct Facts {
    std::string device;  // "rocm"
    std::string arch;    // "gfx942:sramecc+:xnack-"
    std::string dtype;   // "bf16"
    std::int64_t batch = 0, head_q = 0, head_kv = 0, head_dim = 0, dim_v = 0, seq_q = 0, seq_kv = 0;
    bool causal = false, paged = false, ragged = false;
};

// A backend that somebody asked for by name.
struct Named {
    std::string backend;
    std::string source;  // "ROCFORGE_BACKEND", "select.rule, /etc/rocforge/rocforge.toml:12:1"
};

// A place in the order.
struct Ranked {
    std::size_t candidate = 0;
    bool dropped_in = false;  // through "*": nobody named it
};

struct Policy {
    std::vector<Named> named;  // strongest first
    std::vector<std::string> order;
    std::string order_origin;
    Fallback fallback = Fallback::error;
};

struct Decision {
    rf_code code = RF_UNSUPPORTED;  // RF_OK; RF_UNSUPPORTED: none, or the named one refuses; RF_NOT_FOUND: named.backend is registered nowhere
    std::size_t winner = 0;         // when RF_OK
    std::string why;                // what named it, or what failed
    bool fell_back = false;
    const Named* named = nullptr;  // the named choice that applied, into the policy
};

// The named choices in order of strength: the API's, the environment's, the first rule that matches, the default of the kind.
std::vector<Named> named_choices(const Config& config, const Facts& facts, const std::string& from_api, const std::string& from_environment);

// The candidates of `kind` (0: of every kind) in the order's sequence; "*" is every one not named, sorted by name. Approximate ones never stand in
// it.
std::vector<Ranked> spell_out(const std::vector<std::string>& order, std::span<const Candidate> candidates, std::int32_t kind);

// `supports` is asked of as few candidates as the decision needs, of each at most once.
Decision choose(std::span<const Candidate> candidates, std::int32_t kind, const Policy& policy, const std::function<bool(std::size_t)>& supports);

}  // namespace rocforge
