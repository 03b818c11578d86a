// Which files are to be loaded, in which order, and why. Looks at folders; opens no plugin.
#pragma once

#include "config.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace rocforge {

// The environment, read once when a context opens. Empty under AT_SECURE, where whoever started the program may not choose what it loads.
struct Environment {
    std::optional<std::string> config, log, backend, plugin_path, add_plugin_path, xdg_config_home, xdg_data_home, home;
    bool secure = false;
    static Environment read();
};

// A folder or file that was looked at, or the reason why not.
struct Place {
    std::filesystem::path path;
    std::string origin;
    std::string refused;  // "" when searched, read
    bool missing = false;
};

struct Found {
    std::filesystem::path path;
    std::string origin;
    std::string disabled;  // the setting that keeps it closed, or ""
};

struct Discovered {
    std::vector<Place> folders;
    std::vector<Found> files;  // in search order; within a folder by name
};

// Where this library's tree is, from the library's own location.
struct Installation {
    std::filesystem::path plugins;   // LIBDIR/rocforge/plugins
    std::filesystem::path defaults;  // DATADIR/rocforge/defaults.toml
    static Installation find();
};

ConfigFiles config_files(const Environment&, const Installation&, const char* named);
// Those files as people ask about them.
std::vector<Place> describe(const ConfigFiles&, const Config& read);
// The glob of plugins.disable that names this file, as text for people, or "".
std::string disabled_by(const Config&, const std::string& file_name);
Discovered discover(const Config&, const Environment&, const Installation&);

}  // namespace rocforge
