// The smallest host for a GPU plugin: takes its tables and asks one of them. No core, so that a problem reaches the backend as the test wrote it.
#pragma once

#include <rocforge/plugin.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tiny {

struct Refusal {
    std::int32_t code;
    std::string field, have, need, hint;
};

// What a call that takes an rf_error gave.
struct Outcome {
    rf_code code;
    std::int32_t native;
    std::string message;
};

// The backends that an entry registers.
std::vector<const rf_backend_api*> tables_of(rf_plugin_entry entry);
// The entry of a plugin's file.
rf_plugin_entry entry_of(const char* file);

// One backend object.
class Backend {
public:
    explicit Backend(const rf_backend_api& table);
    ~Backend();
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    const rf_backend_api& table() const { return table_; }
    rf_backend* self() const { return self_; }

    Outcome device(std::int32_t index, rf_device& out) const;
    // Throws where the backend does not know the arch.
    rf_device describe(const char* arch) const;
    // The refusals that supports() reports; empty: it is supported. The verdict without a sink must be the same.
    std::vector<Refusal> refusals(const rf_device&, const rf_problem&) const;

    // Runs call(self, ..., &error).
    template <class Call> static Outcome outcome(Call&& call) {
        rf_error error{};
        error.struct_size = sizeof error;
        const rf_code code = call(&error);
        return {code, error.native, error.message};
    }

private:
    const rf_backend_api& table_;
    rf_backend* self_ = nullptr;
};

// A plan, or why there is none.
class Plan {
public:
    Plan(const Backend&, const rf_device&, const rf_problem&, std::uint32_t algo = 0);
    ~Plan();
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;

    const Outcome& outcome() const { return outcome_; }
    const rf_plan_info& info() const { return info_; }
    Outcome forward(const rf_args&) const;

private:
    const Backend& backend_;
    rf_plan* plan_ = nullptr;
    rf_plan_info info_{};
    Outcome outcome_;
};

}  // namespace tiny
