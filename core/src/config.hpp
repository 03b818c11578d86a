// TOML files to values, each with the place it came from. Knows files and spelling; does not know plugins, so an unknown backend name is not
// judged here. A wrong file is an error, never half read.
#pragma once

#include "result.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace rocforge {

// A value and where it was set: "/etc/rocforge/rocforge.toml:7:1".
template <class T> struct Sourced {
    T value{};
    std::string origin;
};

// What a rule compares with: a value, a list of values or a range, per field of the problem. Numbers and booleans are int64 (0, 1).
struct Condition {
    std::string field;  // "seq_q"
    std::vector<std::string> words;
    std::vector<std::int64_t> numbers;
    std::optional<std::int64_t> min, max;
};

struct Rule {
    std::vector<Condition> when;  // all hold
    std::string use;
    std::string origin;
};

enum class Fallback { error, warn, allow };

struct Config {
    std::optional<Sourced<std::vector<std::string>>> paths;  // replaces the user's and the system's plugin directory; absolute
    Sourced<std::vector<std::string>> add_paths, disable, only;
    Sourced<bool> strict_sha256;
    std::map<std::string, Sourced<std::string>> sha256;           // by file name, lower-case hex
    std::map<std::string, Sourced<std::string>> default_backend;  // by device kind's name; "" is for every kind
    Sourced<std::vector<std::string>> order;
    Sourced<Fallback> fallback;
    Sourced<std::vector<Rule>> rules;
    std::map<std::string, std::map<std::string, Sourced<std::string>>> options;  // backend, key
    std::vector<std::string> files;                                              // that were read, first to last

    // The value as TOML, "key" -> value and origin, for people.
    struct Setting {
        std::string key, value, origin;
    };
    std::vector<Setting> settings() const;
};

// Files in the order of reading (later ones win). Missing optional ones are passed over; `required` is the last and must be there.
struct ConfigFiles {
    std::filesystem::path shipped;
    std::vector<std::filesystem::path> optional;
    std::optional<std::filesystem::path> required;
};

Result<Config> read_config(const ConfigFiles& files);
// One text onto `config`; `name` stands in messages and origins. Relative paths are taken from the folder of `name`.
Result<bool> merge_config(Config& config, std::string_view text, const std::string& name);

// A text as TOML writes it, quotes and escapes included.
std::string toml_quoted(const std::string& text);

// "cpu", "cuda", "rocm" for a device kind, nullptr or "kind 7" for others; and back (0: unknown).
const char* known_kind_name(std::int32_t kind);
std::string kind_name(std::int32_t kind);
std::int32_t kind_by_name(std::string_view name);

}  // namespace rocforge
