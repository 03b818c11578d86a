#include "discovery.hpp"

#include "text/text.hpp"
#include "trust.hpp"

#include <rocforge/rocforge.h>

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cstdlib>

namespace rocforge {
namespace {

namespace fs = std::filesystem;

// This library's file, found when it is loaded: the loader's name for it may be relative, and the working directory may change.
const fs::path kLibrary = [] {
    Dl_info info{};
    std::error_code error;
    if (!dladdr(reinterpret_cast<const void*>(&rocforge_version), &info) || !info.dli_fname) return fs::path("/usr/lib/librocforge.so");
    const fs::path real = fs::canonical(info.dli_fname, error);
    return error ? fs::path(info.dli_fname) : real;
}();

constexpr const char* kSystemFile = "/etc/rocforge/rocforge.toml";

std::optional<std::string> variable(const char* name) {
    const char* value = secure_getenv(name);
    if (!value) return std::nullopt;
    return value;
}

// $XDG_x, else ~/rest, else nothing. The XDG specification: a relative path there is invalid.
std::optional<fs::path> user_folder(const std::optional<std::string>& xdg, const std::optional<std::string>& home, const char* rest) {
    if (xdg && xdg->starts_with('/')) return fs::path(*xdg);
    if (home && home->starts_with('/')) return fs::path(*home) / rest;
    return std::nullopt;
}

// A folder before it is looked at.
struct Entry {
    std::string path;
    std::string origin;
};

void add_list(std::vector<Entry>& out, const std::string& list, const char* variable_name) {
    for (const std::string& entry : split(list, ':')) out.push_back({entry, variable_name});
}

std::vector<Entry> entries(const Config& config, const Environment& env, const Installation& installation) {
    std::vector<Entry> out;
    if (env.plugin_path) {
        add_list(out, *env.plugin_path, "ROCFORGE_PLUGIN_PATH");
        return out;
    }
    if (env.add_plugin_path) add_list(out, *env.add_plugin_path, "ROCFORGE_ADD_PLUGIN_PATH");
    for (const std::string& folder : config.add_paths.value) out.push_back({folder, "plugins.add_paths, " + config.add_paths.origin});
    if (config.paths) {
        for (const std::string& folder : config.paths->value) out.push_back({folder, "plugins.paths, " + config.paths->origin});
        return out;
    }
    if (const auto data = user_folder(env.xdg_data_home, env.home, ".local/share"))
        out.push_back({(*data / "rocforge/plugins").string(), "the user's drop-in directory"});
    out.push_back({installation.plugins.string(), "installed with the library"});
    return out;
}

Place judge(const Entry& entry) {
    Place folder{entry.path, entry.origin, "", false};
    std::error_code error;
    if (entry.path.empty())
        folder.refused = "an empty entry means the working directory, which is never searched";
    else if (!entry.path.starts_with('/'))
        folder.refused = "a relative entry depends on the working directory; use an absolute path";
    else if (fs::status(entry.path, error).type() == fs::file_type::not_found)
        folder.missing = true;
    else if (error)
        folder.refused = error.message();
    else if (!fs::is_directory(entry.path, error))
        folder.refused = "is no directory";
    else
        folder.refused = distrust(entry.path);
    return folder;
}

}  // namespace

std::string disabled_by(const Config& config, const std::string& file_name) {
    for (const std::string& pattern : config.disable.value)
        if (glob_match(pattern, file_name)) return fmt::format("plugins.disable = \"{}\", {}", pattern, config.disable.origin);
    return "";
}

namespace {

void list_plugins(Place& folder, const Config& config, std::vector<Found>& out) {
    std::error_code error;
    std::vector<fs::path> names;
    for (fs::directory_iterator it(folder.path, error), end; !error && it != end; it.increment(error)) {
        const std::string name = it->path().filename().string();
        if (name.starts_with("rocforge-") && name.ends_with(".so")) names.push_back(it->path());
    }
    if (error) folder.refused = error.message();
    std::sort(names.begin(), names.end());
    for (const fs::path& path : names) out.push_back({path, folder.origin, disabled_by(config, path.filename().string())});
}

}  // namespace

Environment Environment::read() {
    Environment env;
    env.config = variable("ROCFORGE_CONFIG");
    env.log = variable("ROCFORGE_LOG");
    env.backend = variable("ROCFORGE_BACKEND");
    env.plugin_path = variable("ROCFORGE_PLUGIN_PATH");
    env.add_plugin_path = variable("ROCFORGE_ADD_PLUGIN_PATH");
    env.xdg_config_home = variable("XDG_CONFIG_HOME");
    env.xdg_data_home = variable("XDG_DATA_HOME");
    env.home = variable("HOME");
    env.secure = getauxval(AT_SECURE) != 0;
    for (auto* text : {&env.config, &env.backend, &env.add_plugin_path, &env.plugin_path})
        if (*text && (*text)->empty()) text->reset();  // set to nothing is unset, as usual for paths
    return env;
}

Installation Installation::find() {
    const fs::path folder = kLibrary.parent_path();
    return {folder / "rocforge/plugins", (folder / ROCFORGE_DATA_FROM_LIB / "rocforge/defaults.toml").lexically_normal()};
}

ConfigFiles config_files(const Environment& env, const Installation& installation, const char* named) {
    ConfigFiles files{installation.defaults, {kSystemFile}, std::nullopt};
    if (!env.secure)
        if (const auto folder = user_folder(env.xdg_config_home, env.home, ".config")) files.optional.push_back(*folder / "rocforge/rocforge.toml");
    if (named)
        files.required = named;
    else if (env.config)
        files.required = *env.config;
    return files;
}

std::vector<Place> describe(const ConfigFiles& files, const Config& read) {
    std::vector<Place> out{{files.shipped, "shipped defaults", "", false}};
    for (const fs::path& file : files.optional)
        out.push_back({file, file == kSystemFile ? "the system's" : "the user's", "",
                       std::find(read.files.begin(), read.files.end(), file.string()) == read.files.end()});
    if (files.required) out.push_back({*files.required, "named by the caller or ROCFORGE_CONFIG", "", false});
    return out;
}

Discovered discover(const Config& config, const Environment& env, const Installation& installation) {
    Discovered out;
    for (const Entry& entry : entries(config, env, installation)) {
        Place folder = judge(entry);
        const bool twice = std::any_of(out.folders.begin(), out.folders.end(), [&](const Place& f) { return f.path == folder.path; });
        if (twice) continue;
        if (folder.refused.empty() && !folder.missing) list_plugins(folder, config, out.files);
        out.folders.push_back(std::move(folder));
    }
    return out;
}

}  // namespace rocforge
