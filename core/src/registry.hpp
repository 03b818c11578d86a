// Owns plugins and backends. Holds no policy: who is chosen is selection's business. Entries are added, never removed, so that references and
// strings live as long as the registry. Adding is the caller's to serialise; a Backend's own functions may be called from any thread.
#pragma once

#include "config.hpp"
#include "log.hpp"
#include "result.hpp"
#include "threads.hpp"

#include <rocforge/rocforge.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

// What the core lends to one plugin, or to the backends that the host registered; rf_host_api.self points here.
struct rf_host {
    rf_host_api api{};
    const rocforge::Log* log = nullptr;
    const rocforge::Threads* threads = nullptr;
    const rocforge::Config* config = nullptr;
    // Entries to rocforge_plugin_v1 register here; NULL outside of one.
    std::vector<const rf_backend_api*>* registering = nullptr;
    std::string refused;                          // what a registration did wrong
    std::vector<const rf_backend_api*> declared;  // whose options may be asked for
};

namespace rocforge {

// A registered backend with its state, made when first needed.
class Backend {
public:
    Backend(const rf_backend_api& api, const rf_host& host, std::uint32_t plugin) : api_(api), host_(host), plugin_(plugin) {}
    ~Backend();
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    const rf_backend_api& api() const { return api_; }
    const char* name() const { return api_.name; }
    std::int32_t kind() const { return api_.device_kind; }
    // What it declares of what this core knows: a bit from a later header means fields that nobody here has checked.
    rf_features features() const { return api_.features & RF_F_ALL; }
    bool approximate() const { return (api_.flags & RF_B_APPROXIMATE) != 0; }
    std::uint32_t plugin() const { return plugin_; }

    // After init(), which runs once; its failure is remembered.
    Result<rf_backend*> instance();
    // All devices, asked for once; or why there is none.
    Result<const std::vector<rf_device>*> devices();
    Result<rf_device> first_device();
    // `wanted` as this backend sees it: of the same ordinal, or for ordinal -1 of the same arch.
    Result<rf_device> device_like(const rf_device& wanted);
    Result<rf_device> describe(const char* arch);

private:
    void find_devices();

    const rf_backend_api& api_;
    const rf_host& host_;
    std::uint32_t plugin_;
    std::once_flag init_once_, devices_once_;
    std::atomic<rf_backend*> instance_{nullptr};
    Error init_error_;
    std::vector<rf_device> devices_;
    Error no_device_;
};

// "cpu: " before a message that does not name its backend yet; a default where it is empty.
std::string told_by(const Backend& backend, const rf_error& error, const char* doing);
rf_error new_error();

struct Plugin {
    std::int32_t status = ROCFORGE_LOADED;
    std::string path, origin, reason;
};

class Registry {
public:
    Registry(const Config& config, const Log& log, const Threads& threads) : config_(config), log_(log), threads_(threads) {}

    // The line of rocforge_plugin() for a file; its backends are added with its index.
    std::uint32_t add_plugin(Plugin plugin);
    Plugin& plugin(std::uint32_t index) { return plugins_[index]; }
    const std::deque<Plugin>& plugins() const { return plugins_; }
    const std::deque<Backend>& backends() const { return backends_; }
    std::deque<Backend>& backends() { return backends_; }

    // A host table for one plugin; lives as long as the registry.
    rf_host& new_host();
    // Checks a table against the contract and the names taken; "" when it may be added.
    std::string refuse(const rf_backend_api* api) const;
    // The configured options of these tables against what they declare: "" or "rocforge.toml:7:3: backend.cpu.threads is 0, wanted 1..1024".
    std::string wrong_option(const std::vector<const rf_backend_api*>& tables);
    // The first such mistake: the configuration's fault, not the plugin's.
    const std::string& wrong_option() const { return wrong_option_; }
    void add_backend(const rf_backend_api& api, rf_host& host, std::uint32_t plugin);
    // Keeps a library until its backends are shut down.
    void keep(std::shared_ptr<void> library) { libraries_.push_back(std::move(library)); }

    Backend* find(std::string_view name, std::int32_t kind);  // kind 0: any
    std::vector<std::string> names() const;
    // An unregistered name: RF_UNAVAILABLE with the refusal of a file that would carry it, else RF_NOT_FOUND with the nearest name.
    Error missing(std::string_view name) const;

private:
    const Config& config_;
    const Log& log_;
    const Threads& threads_;
    std::vector<std::shared_ptr<void>> libraries_;  // first, so that it is destroyed last
    std::deque<Plugin> plugins_;
    std::deque<rf_host> hosts_;
    std::deque<Backend> backends_;
    std::string wrong_option_;
};

}  // namespace rocforge
