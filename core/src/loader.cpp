#include "loader.hpp"

#include "elf.hpp"
#include "sha256.hpp"
#include "text/text.hpp"
#include "trust.hpp"

#define BOOST_DLL_USE_STD_FS
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/dll/shared_library.hpp>

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>
#include <system_error>

namespace rocforge {
namespace {

namespace fs = std::filesystem;
using boost::dll::shared_library;

// Loaded plugins stay loaded: GPU runtimes and static destructors make unloading unsafe. Held for the process, not for a context, unless all
// backends of the file say that they are safe to unload.
void keep_loaded(shared_library library) {
    static std::mutex guard;
    static auto* const kept = new std::vector<shared_library>;  // never destroyed, so that no destructor order can unload
    const std::lock_guard lock(guard);
    const auto same = [&](const shared_library& other) { return other.native() == library.native(); };
    if (std::none_of(kept->begin(), kept->end(), same)) kept->push_back(std::move(library));
}

// `name` is the file's as it was found, which is what the configuration speaks of, wherever a link leads.
std::string wrong_hash(const Config& config, const std::string& name, const fs::path& file) {
    const auto listed = config.sha256.find(name);
    if (listed == config.sha256.end())
        return config.strict_sha256.value
                   ? fmt::format("has no SHA-256 in plugins.sha256, and plugins.strict_sha256 is true ({})", config.strict_sha256.origin)
                   : "";
    const Result<std::string> have = sha256_file(file);
    if (!have) return have.error().message;
    if (*have == listed->second.value) return "";
    return fmt::format("has SHA-256 {}, wanted {} ({})", *have, listed->second.value, listed->second.origin);
}

// Everything that can be known of the file without running it. `real` has no link in it, so that what is judged is what is loaded.
std::string refuse_file(const Config& config, const std::string& name, const fs::path& real) {
    std::error_code error;
    if (fs::is_directory(real, error)) return "is a directory";
    if (const std::string reason = distrust(real); !reason.empty()) return "is not trusted: " + reason;
    if (const Result<ElfFacts> facts = check_elf_file(real, RF_PLUGIN_ENTRY); !facts) return facts.error().message;
    return wrong_hash(config, name, real);
}

struct Loaded {
    shared_library library;
    rf_plugin_entry entry = nullptr;
};

Result<Loaded> open_library(const fs::path& file) {
    try {
        // The throwing form alone keeps the loader's message.
        Loaded out{shared_library(file, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local), nullptr};
        out.entry = &out.library.get<std::remove_pointer_t<rf_plugin_entry>>(RF_PLUGIN_ENTRY);
        return out;
    } catch (const std::system_error& e) {
        // Boost appends an errno of its own making behind the loader's message.
        std::string text = e.what();
        if (const std::string tail = ": " + e.code().message(); text.ends_with(tail)) text.resize(text.size() - tail.size());
        return Error{RF_INCOMPATIBLE, fmt::format("cannot be loaded: {}", text)};
    } catch (const std::exception& e) { return Error{RF_INCOMPATIBLE, fmt::format("cannot be loaded: {}", e.what())}; }
}

// Calls the entry and gives the tables that it registered.
Result<std::vector<const rf_backend_api*>> call_entry(rf_plugin_entry entry, rf_host& host) {
    std::vector<const rf_backend_api*> tables;
    rf_error error = new_error();
    rf_code code = RF_INTERNAL;
    std::string thrown;
    host.registering = &tables;
    try {
        code = entry(&host.api, &error);
    } catch (const std::exception& e) { thrown = fmt::format("{} threw an exception: {}", RF_PLUGIN_ENTRY, e.what()); } catch (...) {
        thrown = fmt::format("{} threw an exception", RF_PLUGIN_ENTRY);
    }
    host.registering = nullptr;
    const std::string message = printable({error.message, strnlen(error.message, sizeof error.message)});
    if (!thrown.empty()) return Error{RF_INCOMPATIBLE, thrown};
    if (!host.refused.empty()) return Error{RF_INCOMPATIBLE, host.refused};
    if (code != RF_OK)
        return Error{RF_INCOMPATIBLE,
                     fmt::format("{} returned {}: {}", RF_PLUGIN_ENTRY, rocforge_code_name(code), message.empty() ? "no reason given" : message)};
    if (tables.empty()) return Error{RF_INCOMPATIBLE, fmt::format("{} registered no backend", RF_PLUGIN_ENTRY)};
    return tables;
}

std::string twice_in_one(const std::vector<const rf_backend_api*>& tables, std::size_t index) {
    for (std::size_t i = 0; i < index; ++i)
        if (std::strcmp(tables[i]->name, tables[index]->name) == 0 && tables[i]->device_kind == tables[index]->device_kind)
            return fmt::format("registers backend {} for {} twice", tables[index]->name, kind_name(tables[index]->device_kind));
    return "";
}

// The setting that drops a backend which was loaded, or "".
std::string dropped_by(const Config& config, const std::string& name, const std::string& file_name) {
    for (const std::string& pattern : config.disable.value)
        if (glob_match(pattern, name)) return fmt::format("plugins.disable = \"{}\", {}", pattern, config.disable.origin);
    if (config.only.origin.empty()) return "";
    for (const std::string& pattern : config.only.value)
        if (glob_match(pattern, name) || glob_match(pattern, file_name)) return "";
    return fmt::format("plugins.only, {}", config.only.origin);
}

// Adds all of a file's backends, or none and says why.
std::string add_all(Registry& registry, const Config& config, const std::vector<const rf_backend_api*>& tables, rf_host& host, std::uint32_t plugin) {
    for (std::size_t i = 0; i < tables.size(); ++i) {
        if (std::string reason = registry.refuse(tables[i]); !reason.empty()) return reason;
        if (std::string reason = twice_in_one(tables, i); !reason.empty()) return reason;
    }
    if (std::string reason = registry.wrong_option(tables); !reason.empty()) return reason;
    const std::string file_name = fs::path(registry.plugin(plugin).path).filename().string();
    std::string dropped;
    bool kept = false;
    for (const rf_backend_api* table : tables) {
        const std::string by = dropped_by(config, table->name, file_name);
        if (by.empty()) registry.add_backend(*table, host, plugin);
        kept = kept || by.empty();
        if (!by.empty()) dropped += fmt::format("{}backend {} is dropped by {}", dropped.empty() ? "" : "; ", table->name, by);
    }
    Plugin& line = registry.plugin(plugin);
    line.status = kept ? ROCFORGE_LOADED : ROCFORGE_DISABLED;
    line.reason = dropped;
    return "";
}

bool unloadable(const std::vector<const rf_backend_api*>& tables) {
    return std::all_of(tables.begin(), tables.end(), [](const rf_backend_api* table) { return (table->flags & RF_B_UNLOADABLE) != 0; });
}

std::string load(Registry& registry, const Config& config, const Found& found, std::uint32_t plugin) {
    std::error_code error;
    const fs::path real = fs::canonical(found.path, error);
    if (error) return fmt::format("cannot be read: {}", error.message());
    if (std::string reason = refuse_file(config, found.path.filename().string(), real); !reason.empty()) return reason;
    Result<Loaded> loaded = open_library(real);
    if (!loaded) return loaded.error().message;
    rf_host& host = registry.new_host();
    const auto tables = call_entry(loaded->entry, host);
    std::string reason = tables ? add_all(registry, config, *tables, host, plugin) : tables.error().message;
    if (reason.empty() && unloadable(*tables))
        registry.keep(std::make_shared<shared_library>(std::move(loaded->library)));
    else
        keep_loaded(std::move(loaded->library));
    return reason;
}

}  // namespace

std::uint32_t load_plugin(Registry& registry, const Config& config, const Found& found) {
    const bool disabled = !found.disabled.empty();
    const std::uint32_t plugin = registry.add_plugin(
        {disabled ? ROCFORGE_DISABLED : ROCFORGE_REFUSED, found.path.string(), found.origin, disabled ? "is disabled by " + found.disabled : ""});
    if (disabled) return plugin;
    if (const std::string reason = load(registry, config, found, plugin); !reason.empty()) registry.plugin(plugin).reason = reason;
    return plugin;
}

Result<bool> register_backend(Registry& registry, const rf_backend_api* api) {
    if (const std::string reason = registry.refuse(api); !reason.empty()) return Error{RF_INVALID, reason};
    if (const std::string reason = registry.wrong_option({api}); !reason.empty()) return Error{RF_INVALID, reason};
    registry.add_backend(*api, registry.new_host(), registry.add_plugin({ROCFORGE_LOADED, "", "registered by the host", ""}));
    return true;
}

}  // namespace rocforge
