// One backend called through its table, as a core calls it and with nothing between: what it answers is what it said. Keeps the core's own promises
// (a bit that is not declared is refused before the backend is asked, structs are zeroed, messages cleared) and checks those of the other side:
// where the backend breaks the contract, Broken says how. Loads no file: the entry is the caller's.
#ifndef ROCFORGE_CONFORMANCE_BACKEND_H
#define ROCFORGE_CONFORMANCE_BACKEND_H

#include "lent_threads.h"
#include "memory.h"

#include <rocforge/plugin.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rocforge::conformance {

// The backend broke its contract, and how.
class Broken : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// "RF_NO_MEMORY"
std::string name_of_code(rf_code);
// "code RF_DEVICE: out of registers", or that there is no message.
std::string told(rf_code, const rf_error&);
rf_error empty_error();

// The tables that the entry registers, called once. Throws Broken where it says no or registers none.
std::vector<const rf_backend_api*> registered_by(rf_plugin_entry);

using Options = std::vector<std::pair<std::string, std::string>>;  // key, value: in place of a preset

// Takes a line of the backend's log, from any thread. Level RF_LOG_*; neither text is NULL.
using TakeLog = std::function<void(std::int32_t level, const char* backend, const char* message)>;

// What a context lends to a backend.
struct Lending {
    std::uint32_t workers = 3;
    Order order = Order::as_they_come;
    Options options{};
    TakeLog log{};
};

struct Reason {
    std::int32_t code = 0;
    std::string field, have, need, hint;
    bool operator==(const Reason&) const = default;
};
// "head_dim is told as people read it: q.shape[3] is 520, needs at most 512"
std::string text_of(const std::vector<Reason>&);

struct Answer {
    bool supported = false;
    std::vector<Reason> reasons{};
    bool operator==(const Answer&) const = default;
};

// A context's instance of a backend, from init to shutdown.
class Backend {
public:
    // Throws Broken where init fails.
    Backend(const rf_backend_api&, const Lending&);
    ~Backend();
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    const rf_backend_api& api() const { return api_; }
    rf_backend* self() const { return self_; }
    // The index-th device. RF_OK, RF_NOT_FOUND or what the backend failed with, and why.
    rf_code device(std::int32_t index, rf_device&, std::string& why) const;

    rf_code describe(const std::string& arch, rf_device&) const;

    // Feature bits of the problem that the backend does not declare: the core refuses those itself.
    rf_features undeclared(const rf_problem& p) const { return p.features & ~api_.features; }
    // With a sink: every reason. Throws Broken on an answer that is none.
    Answer ask(const rf_device&, const rf_problem&) const;
    // Without a sink.
    bool supports(const rf_device&, const rf_problem&) const;

private:
    struct Host;
    const rf_backend_api& api_;
    std::unique_ptr<Host> host_;
    rf_backend* self_ = nullptr;
};

// A plan, freed with the object or before.
class Plan {
public:
    Plan() = default;
    ~Plan() { free(); }
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;

    // RF_OK, or the code and why.
    rf_code make(const Backend&, const rf_device&, const rf_problem&, std::string& why, std::uint32_t algo = 0);
    rf_code forward(const rf_args&, std::string& why) const;
    void free();
    const rf_plan_info& info() const { return info_; }
    // batch = 0, seq_q = 0: the core does not call forward then.
    bool nothing_to_do() const { return nothing_to_do_; }
    explicit operator bool() const { return plan_ != nullptr; }

private:
    const rf_backend_api* api_ = nullptr;
    rf_plan* plan_ = nullptr;
    rf_plan_info info_{};
    bool nothing_to_do_ = false;
};

// Workspace and counters of one call in host memory, each before a page that nobody may touch; the workspace starts as NaNs.
class HostScratch {
public:
    explicit HostScratch(const Plan&);
    void lend(rf_args&) const;
    // What a call broke: bytes past the end, counters not left zero. "" if nothing.
    std::string damage() const;

private:
    Buffer workspace_, zeroed_;
};

}  // namespace rocforge::conformance
#endif
