#include "registry.hpp"

#include "problem.hpp"
#include "text/text.hpp"

#include <rocforge/plugin.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cstring>

namespace rocforge {
namespace {

constexpr std::uint32_t kKnownFlags = RF_B_UNLOADABLE | RF_B_APPROXIMATE;
constexpr std::int32_t kMostDevices = 256;  // a backend that never says RF_NOT_FOUND ends here

const char* sanitizer_name(std::uint32_t sanitizer) {
    constexpr const char* kNames[]{"no sanitizer", "AddressSanitizer", "MemorySanitizer", "ThreadSanitizer"};
    return sanitizer < std::size(kNames) ? kNames[sanitizer] : "an unknown sanitizer";
}

bool valid_name(const char* name) {
    if (!name || *name < 'a' || *name > 'z') return false;
    const std::size_t length = strnlen(name, 65);
    return length <= 64 && std::strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == length;
}

const char* missing_slot(const rf_backend_api& api) {
    if (!api.init) return "init";
    if (!api.shutdown) return "shutdown";
    if (!api.device) return "device";
    if (!api.describe) return "describe";
    if (!api.supports) return "supports";
    if (!api.kv_layout) return "kv_layout";
    if (!api.plan) return "plan";
    if (!api.forward) return "forward";
    if (!api.plan_free) return "plan_free";
    return nullptr;
}

// The rf_option that cannot be read, as text, or "".
std::string broken_option(const rf_backend_api& api) {
    for (const rf_option* const* option = api.options; option && *option; ++option) {
        if (!RF_HAS(*option, help)) return fmt::format("an option of {} bytes, wanted {}", (*option)->struct_size, sizeof(rf_option));
        if (!(*option)->key || !*(*option)->key) return "an option without a key";
        if ((*option)->reserved) return fmt::format("option '{}' with reserved {}, wanted 0", (*option)->key, (*option)->reserved);
        if (!(*option)->values || !(*option)->preset || !(*option)->help)
            return fmt::format("option '{}' without values, preset or help (\"\" says that there are none)", (*option)->key);
    }
    return "";
}

const rf_option* find_option(const rf_backend_api& api, std::string_view key) {
    for (const rf_option* const* option = api.options; option && *option; ++option)
        if ((*option)->key == key) return *option;
    return nullptr;
}

// `values` is "1..1024", "auto|avx2|amx" or "" for anything.
bool option_allows(std::string_view values, std::string_view value) {
    if (values.empty()) return true;
    const std::size_t dots = values.find("..");
    if (dots == std::string_view::npos) {
        const std::vector<std::string> words = split(values, '|');
        return std::find(words.begin(), words.end(), value) != words.end();
    }
    const auto number = [](std::string_view text, std::int64_t& out) {
        const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), out);
        return code == std::errc{} && end == text.data() + text.size();
    };
    std::int64_t least = 0, most = 0, have = 0;
    return number(values.substr(0, dots), least) && number(values.substr(dots + 2), most) && number(value, have) && have >= least && have <= most;
}

// The option of that key in whichever of the tables named `backend` declares it: [backend.NAME] is one section for all kinds of that name.
template <class Tables> const rf_option* find_option(const Tables& tables, std::string_view backend, std::string_view key) {
    for (const rf_backend_api* api : tables)
        if (api->name == backend)
            if (const rf_option* option = find_option(*api, key)) return option;
    return nullptr;
}

// A device as a backend filled it in, made safe to read.
rf_device cleaned(rf_device device, std::int32_t kind) {
    device.struct_size = sizeof(rf_device);
    device.kind = kind;
    for (const char** text : {&device.arch, &device.name, &device.runtime})
        if (!*text) *text = "";
    return device;
}

rf_device empty_device() {
    rf_device device{};
    device.struct_size = sizeof(rf_device);
    return device;
}

// ---- The slots of rf_host_api

rf_code host_register(const rf_host* self, const rf_backend_api* api) {
    auto* host = const_cast<rf_host*>(self);  // ours, made non-const by Registry::new_host
    if (!host->registering) {
        host->log->write(RF_LOG_ERROR, "register_backend was called outside of rocforge_plugin_v1; ignored");
        return RF_INVALID;
    }
    if (!api) {
        host->refused = "registers NULL";
        return RF_INVALID;
    }
    host->registering->push_back(api);
    return RF_OK;
}

void host_log(const rf_host* self, std::int32_t level, const char* backend, const char* message) {
    if (self->log->enabled(level)) self->log->write(level, fmt::format("{}: {}", backend ? backend : "?", message ? message : ""));
}

const char* host_option(const rf_host* self, const char* backend, const char* key) {
    const rf_option* option = backend && key ? find_option(self->declared, backend, key) : nullptr;
    if (!option) return nullptr;
    const auto of_backend = self->config->options.find(backend);
    if (of_backend == self->config->options.end()) return option->preset;
    const auto value = of_backend->second.find(key);
    return value == of_backend->second.end() ? option->preset : value->second.value.c_str();
}

void host_parallel_for(const rf_host* self, std::int64_t n, std::uint32_t max_workers, void (*body)(void*, std::int64_t, std::int64_t, std::uint32_t),
                       void* arg) {
    self->threads->parallel_for(n, max_workers, body, arg);
}

const void* host_extension(const rf_host*, const char*) { return nullptr; }

}  // namespace

rf_error new_error() {
    rf_error error{};
    error.struct_size = sizeof(rf_error);
    return error;
}

std::string told_by(const Backend& backend, const rf_error& error, const char* doing) {
    const std::string message = printable({error.message, strnlen(error.message, sizeof error.message)});
    if (message.empty()) return fmt::format("{}: {} failed and gave no reason", backend.name(), doing);
    return message.starts_with(backend.name()) ? message : fmt::format("{}: {}", backend.name(), message);
}

// ---- Backend

Backend::~Backend() {
    if (rf_backend* made = instance_.load(std::memory_order_acquire)) api_.shutdown(made);
}

Result<rf_backend*> Backend::instance() {
    std::call_once(init_once_, [this] {
        rf_error error = new_error();
        rf_backend* made = nullptr;
        const rf_code code = api_.init(&host_.api, &made, &error);
        if (code == RF_OK && made)
            instance_.store(made, std::memory_order_release);
        else
            init_error_ = {code == RF_OK ? rf_code{RF_INTERNAL} : code, told_by(*this, error, "init"), error.native};
    });
    if (rf_backend* made = instance_.load(std::memory_order_acquire)) return made;
    return init_error_;
}

void Backend::find_devices() {
    const Result<rf_backend*> self = instance();
    if (!self) {
        no_device_ = self.error();
        return;
    }
    for (std::int32_t index = 0; index < kMostDevices; ++index) {
        rf_error error = new_error();
        rf_device device = empty_device();
        const rf_code code = api_.device(*self, index, &device, &error);
        if (code == RF_OK) {
            devices_.push_back(cleaned(device, api_.device_kind));
            continue;
        }
        if (devices_.empty())
            no_device_ = code == RF_NOT_FOUND ? Error{RF_UNAVAILABLE, fmt::format("{}: no {} device", name(), kind_name(kind()))}
                                              : Error{code, told_by(*this, error, "device"), error.native};
        return;
    }
}

Result<const std::vector<rf_device>*> Backend::devices() {
    std::call_once(devices_once_, [this] { find_devices(); });
    if (devices_.empty()) return no_device_;
    return &devices_;
}

Result<rf_device> Backend::first_device() {
    const auto all = devices();
    if (!all) return all.error();
    return (*all)->front();
}

Result<rf_device> Backend::device_like(const rf_device& wanted) {
    if (wanted.ordinal < 0) return describe(wanted.arch);
    const auto all = devices();
    if (!all) return all.error();
    for (const rf_device& device : **all)
        if (device.ordinal == wanted.ordinal) return device;
    return Error{RF_UNAVAILABLE, fmt::format("{}: no device {}:{}; it has {}", name(), kind_name(kind()), wanted.ordinal, (*all)->size())};
}

Result<rf_device> Backend::describe(const char* arch) {
    const Result<rf_backend*> self = instance();
    if (!self) return self.error();
    rf_device device = empty_device();
    if (!arch || api_.describe(*self, arch, &device) != RF_OK || !device.arch || !*device.arch)
        return Error{RF_NOT_FOUND, fmt::format("{}: does not know the arch '{}'", name(), arch ? arch : "")};
    device.ordinal = -1;
    return cleaned(device, api_.device_kind);
}

// ---- Registry

std::uint32_t Registry::add_plugin(Plugin plugin) {
    plugins_.push_back(std::move(plugin));
    return static_cast<std::uint32_t>(plugins_.size() - 1);
}

rf_host& Registry::new_host() {
    rf_host& host = hosts_.emplace_back();
    host.api = {.struct_size = sizeof(rf_host_api),
                .abi_minor = RF_ABI_MINOR,
                .self = &host,
                .workers = threads_.workers(),
                .reserved = 0,
                .register_backend = host_register,
                .log = host_log,
                .option = host_option,
                .parallel_for = host_parallel_for,
                .extension = host_extension};
    host.log = &log_;
    host.threads = &threads_;
    host.config = &config_;
    return host;
}

std::string Registry::refuse(const rf_backend_api* api) const {
    // The fields up to the last slot of 1.0 that is required; what stands behind it is asked with RF_HAS.
    if (!api || !RF_HAS(api, plan_free))
        return fmt::format("registers a table of {} bytes, wanted {} or more", api ? api->struct_size : 0, offsetof(rf_backend_api, extension));
    if (!valid_name(api->name)) return fmt::format("registers the name '{}', wanted [a-z][a-z0-9_]* of at most 64", api->name ? api->name : "");
    if (const char* slot = missing_slot(*api)) return fmt::format("backend {} lacks the slot {}", api->name, slot);
    if (!api->version || !api->vendor) return fmt::format("backend {} states no version or no vendor", api->name);
    if (api->device_kind <= 0) return fmt::format("backend {}: device_kind is {}, wanted one of DLPack's", api->name, api->device_kind);
    if (api->abi_minor <= RF_ABI_MINOR && (api->features & ~RF_F_ALL))
        return fmt::format("backend {} declares {}, which ABI {}.{} that it states does not have", api->name,
                           feature_names(api->features & ~RF_F_ALL)[0], RF_ABI_MAJOR, api->abi_minor);
    if (api->abi_minor <= RF_ABI_MINOR && (api->flags & ~kKnownFlags))
        return fmt::format("backend {}: flags are {:#x}, known are {:#x}", api->name, api->flags, kKnownFlags);
    if (api->reserved != 0) return fmt::format("backend {}: reserved is {}, wanted 0", api->name, api->reserved);
    if (api->sanitizer != RF_SANITIZER_NONE && api->sanitizer != built_with_sanitizer())
        return fmt::format("backend {} was built with {}, the core with {}", api->name, sanitizer_name(api->sanitizer),
                           sanitizer_name(built_with_sanitizer()));
    if (const std::string broken = broken_option(*api); !broken.empty()) return fmt::format("backend {} declares {}", api->name, broken);
    for (const Backend& other : backends_) {
        if (std::strcmp(other.name(), api->name) != 0 || other.kind() != api->device_kind) continue;
        const std::string& path = plugins_[other.plugin()].path;
        return fmt::format("backend {} for {} is already registered by {}, which comes first", api->name, kind_name(api->device_kind),
                           path.empty() ? "the host" : path);
    }
    return "";
}

std::string Registry::wrong_option(const std::vector<const rf_backend_api*>& tables) {
    for (const auto& [name, keys] : config_.options) {
        const std::string& backend = name;  // clang 14 captures no structured binding
        std::vector<std::string> known;
        for (const rf_backend_api* api : tables)
            for (const rf_option* const* option = api->options; backend == api->name && option && *option; ++option)
                known.emplace_back((*option)->key);
        const bool registered = std::any_of(tables.begin(), tables.end(), [&](const rf_backend_api* api) { return backend == api->name; });
        for (const auto& [key, value] : keys) {
            const rf_option* option = find_option(tables, backend, key);
            if (!registered || (option && option_allows(option->values, value.value))) continue;
            std::string wrong = option
                                    ? fmt::format("{}: backend.{}.{} is '{}', wanted {}", value.origin, backend, key, value.value, option->values)
                                    : fmt::format("{}: backend {} has no option '{}'{} It has: {}", value.origin, backend, key,
                                                  did_you_mean(key, known, "."), known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", ")));
            if (wrong_option_.empty()) wrong_option_ = wrong;
            return wrong;
        }
    }
    return "";
}

void Registry::add_backend(const rf_backend_api& api, rf_host& host, std::uint32_t plugin) {
    host.declared.push_back(&api);
    backends_.emplace_back(api, host, plugin);
}

Backend* Registry::find(std::string_view name, std::int32_t kind) {
    for (Backend& backend : backends_)
        if (name == backend.name() && (kind == 0 || kind == backend.kind())) return &backend;
    return nullptr;
}

std::vector<std::string> Registry::names() const {
    std::vector<std::string> out;
    for (const Backend& backend : backends_)
        if (std::find(out.begin(), out.end(), backend.name()) == out.end()) out.emplace_back(backend.name());
    return out;
}

Error Registry::missing(std::string_view name) const {
    const std::string file = fmt::format("rocforge-{}.so", name);
    for (const Plugin& plugin : plugins_) {
        if (plugin.status == ROCFORGE_LOADED || !plugin.path.ends_with("/" + file)) continue;
        return {RF_UNAVAILABLE, fmt::format("backend '{}' is not there: {} {}", name, plugin.path, plugin.reason)};
    }
    const std::vector<std::string> all = names();
    return {RF_NOT_FOUND, fmt::format("no backend is called '{}'{} There are: {}", name, did_you_mean(name, all, "."),
                                      all.empty() ? "none" : fmt::format("{}", fmt::join(all, ", ")))};
}

}  // namespace rocforge
