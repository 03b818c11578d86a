// The spine: configuration, files, plugins and registry become a context; a problem becomes a choice, a choice a plan, a plan a call.
#pragma once

#include "arguments.hpp"
#include "discovery.hpp"
#include "log.hpp"
#include "plan_cache.hpp"
#include "registry.hpp"
#include "selection.hpp"
#include "threads.hpp"
#include "workspace.hpp"

#include <memory>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

namespace rocforge {

// A refusal that owns its strings.
struct Reason {
    std::int32_t code = 0;
    std::string field, have, need, hint;
};

// What one backend answered.
struct Verdict {
    Backend* backend = nullptr;
    bool supported = false;
    bool partial = false;  // a feature bit is missing: supports() was not asked
    bool dropped_in = false;
    std::vector<Reason> reasons;
};

class Runtime;

}  // namespace rocforge

// The C API's handles.
struct rocforge_context {
    std::shared_ptr<rocforge::Runtime> runtime;
};

struct rocforge_choice {
    std::shared_ptr<rocforge::Runtime> runtime;
    rf_problem problem{};
    rf_device device{};  // as the winner sees it
    rocforge::Backend* winner = nullptr;
    std::int32_t device_kind = 0;
    std::string why;      // one line
    bool named = false;   // somebody asked for the winner by name
    std::string refusal;  // with every reason; "" where there is a winner
    bool fell_back = false;
    std::vector<rocforge::Verdict> verdicts;
};

struct rocforge_plan_t {
    std::shared_ptr<rocforge::Runtime> runtime;
    std::atomic<std::uint32_t> references{1};
    rocforge::Backend* backend = nullptr;
    rf_plan* plan = nullptr;
    rf_plan_info info{};
    bool nothing_to_do = false;  // batch or seq_q is 0
    rocforge::PlanArguments arguments;
    rf_device device{};
    std::string kernel, why;
    bool fell_back = false;

    rocforge_plan_t() = default;
    rocforge_plan_t(const rocforge_plan_t&) = delete;
    rocforge_plan_t& operator=(const rocforge_plan_t&) = delete;
    ~rocforge_plan_t();
};

namespace rocforge {

using PlanPointer = std::unique_ptr<rocforge_plan_t, void (*)(rocforge_plan_t*)>;

class Runtime : public std::enable_shared_from_this<Runtime> {
public:
    static Result<std::shared_ptr<Runtime>> open(const char* config_file, const rocforge_hooks& hooks);
    void close() {
        cache_.clear();
        zeroed_.clear();
    }

    Result<bool> load(const char* file);
    Result<bool> register_backend(const rf_backend_api* api);
    Result<bool> set_default(const char* backend);

    // Fills in a choice; its code is RF_OK or RF_UNSUPPORTED with all verdicts.
    Result<rf_code> select(const rf_device& device, const rf_problem& from_caller, const char* backend, rocforge_choice& out);
    Result<rf_kv_layout> kv_layout(const rf_device& device, const rf_problem& from_caller, std::uint32_t index);
    Result<PlanPointer> plan(const rf_device& device, const rf_problem& from_caller);
    Result<PlanPointer> plan_choice(const rocforge_choice& choice);
    Result<bool> attention(const rf_device& device, const rf_problem& from_caller, const rf_args& args);
    Result<rf_device> find_device(const char* name, const char* backend);

    // Guards what load(), register_backend() and set_default() change. Take it shared to read the registry.
    std::shared_mutex& guard() const { return guard_; }
    Registry& registry() { return registry_; }
    const Config& config() const { return config_; }
    const std::vector<Config::Setting>& settings() const { return settings_; }
    const std::vector<Place>& config_files() const { return config_files_; }
    const std::vector<Place>& folders() const { return folders_; }
    const std::vector<std::string>& warnings() const { return warnings_; }
    // Every backend's place in the order, over all kinds.
    std::vector<Ranked> ranking() const;

private:
    Runtime(Config config, Environment env, const rocforge_hooks& hooks);
    Result<bool> load_all(const Installation& installation);
    void warn_of_leftovers(const Installation& installation);
    void registry_changed();

    // The backend that the caller, the environment or a default names for every kind, or "".
    std::string chosen_name(const char* backend) const;
    Policy policy(const rf_device& device, const rf_problem& problem, const char* backend) const;
    bool supports(Backend& backend, const rf_device& device, const rf_problem& problem);
    Verdict examine(Backend& backend, const rf_device& device, const rf_problem& problem);
    Error missing(const Decision& decision) const;
    Result<PlanPointer> plan_on(Backend& backend, const rf_device& device, const rf_problem& problem);
    struct Failure {
        const Backend* backend;  // that could not plan
        Error error;
    };
    // `failure`: of the one that was tried before.
    Result<PlanPointer> first_plan(const Policy& policy, const rf_device& device, const rf_problem& problem, std::optional<Failure> failure);
    Error nobody(const Decision& decision, const rf_device& device, const rf_problem& problem);
    Result<PlanPointer> cached_plan(const PlanKey& key, const rf_device& device);
    // Zeroed memory of one forward of that plan, zero in the stream's order.
    Result<ZeroedBlocks::Block> take_zeroed(const rocforge_plan_t& plan, void* stream);
    void tell_fallback(const std::string& chosen, const std::string& why) const;

    const Config config_;
    const Environment env_;
    const Log log_;
    const Threads threads_;
    Workspaces workspaces_;
    ZeroedBlocks zeroed_;
    mutable std::shared_mutex guard_;
    Registry registry_;
    std::vector<Candidate> candidates_;           // the registry's backends, index by index, as selection sees them
    std::optional<std::string> default_backend_;  // rocforge_set_default
    std::vector<Place> config_files_, folders_;
    std::vector<Config::Setting> settings_;
    std::vector<std::string> warnings_;
    PlanCache cache_;
};

// One forward of a plan. RF_INVALID for arguments that it cannot take.
rf_code forward_plan(const rocforge_plan_t& plan, const rf_args& args, rf_error* error) noexcept;

// The RF_INVALID of an argument of the C API that must not be NULL.
rf_code null_argument(rf_error* error, const char* name) noexcept;

}  // namespace rocforge
