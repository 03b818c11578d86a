// A context of the library, and what selection said, as values: the commands' way to the public host API. Decides nothing.
#pragma once

#include <rocforge/rocforge.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "status.hpp"
#include "terminal.hpp"

namespace rocforge::cli {

struct Close {
    void operator()(rocforge_context* context) const noexcept { rocforge_close(context); }
    void operator()(rocforge_choice* choice) const noexcept { rocforge_choice_release(choice); }
    void operator()(rocforge_plan_t* plan) const noexcept { rocforge_plan_release(plan); }
};
using Context = std::unique_ptr<rocforge_context, Close>;
using Choice = std::unique_ptr<rocforge_choice, Close>;
using Plan = std::unique_ptr<rocforge_plan_t, Close>;

// Flags that every command takes.
struct CommonFlags {
    std::string config;  // --config FILE, else the usual places
    std::string log;     // --log LEVEL, else ROCFORGE_LOG
};

// Throws Quit: kFile when the file of --config cannot be read, kUsage when a configuration is wrong.
Context open_context(const CommonFlags& flags);

// Empty strings: not named. Throws Quit.
rf_device find_device(rocforge_context* context, const std::string& device, const std::string& backend);

struct Reason {
    std::string code, field, have, need, hint;
};

struct Candidate {
    std::string name;
    std::int32_t device_kind = 0;
    bool supported = false, dropped_in = false, partial = false;
    std::vector<Reason> reasons;
};

// What selection said about one problem; `backend` is empty when none was chosen.
struct Verdict {
    Choice choice;
    std::string backend, why;
    std::int32_t device_kind = 0;  // of `backend`
    bool fell_back = false;
    std::vector<Candidate> candidates;

    bool chosen_was_dropped_in() const;
};

// Throws Quit only where there is no verdict: an invalid problem, an unknown name. No backend for a valid problem is a verdict.
Verdict select(rocforge_context* context, const rf_device& device, const rf_problem& problem, const std::string& backend);

// `device` as the backend that was chosen describes it: another backend may have named it, in other words. `device` where it does not list it.
rf_device device_as_named_by(rocforge_context* context, const Verdict& verdict, const rf_device& device);

// Every index from 0 until RF_NOT_FOUND, as `get(context, index, &info)` fills it.
template <class Info, class Get> std::vector<Info> collect(rocforge_context* context, Get get) {
    std::vector<Info> all;
    for (std::uint32_t index = 0;; ++index) {
        Info info{};
        info.struct_size = sizeof info;
        if (get(context, index, &info) != RF_OK) return all;
        all.push_back(info);
    }
}

// A backend's devices, or why it has none.
struct Devices {
    std::vector<rf_device> devices;
    std::string unavailable;
};
Devices devices_of(rocforge_context* context, const rocforge_backend_info& backend);

// "head_dim: q.shape[3] is 520, need at most 512; use backend "gpu""
std::string describe(const Reason& reason);
// Every candidate that said no, each with all of its reasons, in the colours of that terminal; those for other kinds of devices on one line.
std::vector<std::string> refusal_lines(const Terminal& terminal, const std::vector<Candidate>& candidates);
nlohmann::ordered_json to_json(const std::vector<Candidate>& candidates);
// The status 3 of a verdict without a winner.
Quit refused(const Verdict& verdict);

}  // namespace rocforge::cli
