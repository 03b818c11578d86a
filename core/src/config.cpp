#include "config.hpp"

#include "text/text.hpp"
#include "trust.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>

namespace rocforge {
namespace {

namespace fs = std::filesystem;
using Strings = std::vector<std::string>;

constexpr std::array<const char*, 3> kFallbacks{"error", "warn", "allow"};
constexpr std::array<const char*, 3> kKinds{"cpu", "cuda", "rocm"};
constexpr std::array<const char*, 6> kNumberFields{"batch", "head_q", "head_kv", "head_dim", "dim_v", "seq_q"};

// A mistake in a file, on its way from the reader of one value to merge_config.
struct Mistake {
    toml::source_position at;
    std::string text;
};

std::string type_name(const toml::node& node) {
    switch (node.type()) {
        case toml::node_type::string:
            return "a string";
        case toml::node_type::integer:
            return "an integer";
        case toml::node_type::floating_point:
            return "a float";
        case toml::node_type::boolean:
            return "a boolean";
        case toml::node_type::array:
            return "an array";
        case toml::node_type::table:
            return "a table";
        default:
            return "a date or time";
    }
}

[[noreturn]] void wrong_type(const toml::node& node, const std::string& key, std::string_view wanted) {
    throw Mistake{node.source().begin, fmt::format("{} is {}, wanted {}", key, type_name(node), wanted)};
}

[[noreturn]] void unknown_key(const toml::key& key, const std::string& prefix, const Strings& known) {
    throw Mistake{key.source().begin,
                  fmt::format("unknown key '{}{}'{} Known here: {}", prefix, key.str(), did_you_mean(key.str(), known, "."), fmt::join(known, ", "))};
}

std::string string_of(const toml::node& node, const std::string& key) {
    const auto* text = node.as_string();
    if (!text) wrong_type(node, key, "a string");
    if (text->get().find('\0') != std::string::npos) throw Mistake{node.source().begin, key + " holds a NUL character"};
    return text->get();
}

Strings strings_of(const toml::node& node, const std::string& key) {
    const toml::array* list = node.as_array();
    if (!list) wrong_type(node, key, "an array of strings");
    Strings out;
    for (const toml::node& item : *list) out.push_back(string_of(item, key + "[" + std::to_string(out.size()) + "]"));
    return out;
}

const toml::table& table_of(const toml::node& node, const std::string& key) {
    if (const toml::table* table = node.as_table()) return *table;
    wrong_type(node, key, "a table");
}

// Reads one file's tables into a Config. Where a key stands in the file goes into each value's origin.
class Merger {
public:
    Merger(Config& config, std::string name) : config_(config), name_(std::move(name)) {}

    void root(const toml::table& table) {
        each(table, "",
             {{"plugins", [&](auto& n) { plugins(table_of(n, "plugins")); }},
              {"select", [&](auto& n) { select(table_of(n, "select")); }},
              {"backend", [&](auto& n) { backends(table_of(n, "backend")); }}});
    }

private:
    using Readers = std::vector<std::pair<std::string, std::function<void(const toml::node&)>>>;

    void each(const toml::table& table, const std::string& prefix, const Readers& readers) {
        Strings known;
        for (const auto& [name, read] : readers) known.push_back(name);
        for (const auto& [name, node] : table) {
            const toml::key& key = name;  // clang 14 captures no structured binding
            const auto reader = std::find_if(readers.begin(), readers.end(), [&](const auto& r) { return r.first == key.str(); });
            if (reader == readers.end()) unknown_key(key, prefix, known);
            reader->second(node);
        }
    }

    std::string origin(const toml::node& node) const { return fmt::format("{}:{}:{}", name_, node.source().begin.line, node.source().begin.column); }

    template <class T> Sourced<T> sourced(T value, const toml::node& node) const { return {std::move(value), origin(node)}; }

    Strings folders(const toml::node& node, const std::string& key) const {
        Strings out = strings_of(node, key);
        for (std::string& folder : out) {
            if (folder.empty()) throw Mistake{node.source().begin, key + " has an empty entry"};
            folder = (fs::path(name_).parent_path() / folder).lexically_normal().string();
        }
        return out;
    }

    void plugins(const toml::table& table) {
        each(table, "plugins.",
             {{"paths", [&](auto& n) { config_.paths = sourced(folders(n, "plugins.paths"), n); }},
              {"add_paths", [&](auto& n) { config_.add_paths = sourced(folders(n, "plugins.add_paths"), n); }},
              {"disable", [&](auto& n) { config_.disable = sourced(strings_of(n, "plugins.disable"), n); }},
              {"only", [&](auto& n) { config_.only = sourced(strings_of(n, "plugins.only"), n); }},
              {"strict_sha256",
               [&](auto& n) {
                   if (!n.is_boolean()) wrong_type(n, "plugins.strict_sha256", "true or false");
                   config_.strict_sha256 = sourced(n.as_boolean()->get(), n);
               }},
              {"sha256", [&](auto& n) { hashes(table_of(n, "plugins.sha256")); }}});
    }

    void hashes(const toml::table& table) {
        for (const auto& [key, node] : table) {
            std::string hex = string_of(node, "plugins.sha256." + std::string(key.str()));
            for (char& c : hex) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
            if (hex.size() != 64 || hex.find_first_not_of("0123456789abcdef") != std::string::npos)
                throw Mistake{node.source().begin, fmt::format("plugins.sha256 of {} is no SHA-256: wanted 64 hexadecimal digits, have {} characters",
                                                               key.str(), hex.size())};
            config_.sha256[std::string(key.str())] = sourced(hex, node);
        }
    }

    void select(const toml::table& table) {
        each(table, "select.",
             {{"default", [&](auto& n) { default_backend(n); }},
              {"order", [&](auto& n) { config_.order = sourced(strings_of(n, "select.order"), n); }},
              {"fallback", [&](auto& n) { fallback(n); }},
              {"rule", [&](auto& n) { rules(n); }}});
    }

    void default_backend(const toml::node& node) {
        if (node.is_string()) {  // one name for every kind replaces what files before said by kind
            config_.default_backend = {{"", sourced(string_of(node, "select.default"), node)}};
            return;
        }
        if (!node.is_table()) wrong_type(node, "select.default", "a backend's name or a table {cpu = ..., cuda = ..., rocm = ...}");
        Readers readers;
        for (const char* kind : kKinds)
            readers.emplace_back(kind, [this, kind](const toml::node& n) {
                config_.default_backend[kind] = sourced(string_of(n, std::string("select.default.") + kind), n);
            });
        each(*node.as_table(), "select.default.", readers);
    }

    void fallback(const toml::node& node) {
        const std::string word = string_of(node, "select.fallback");
        for (std::size_t i = 0; i < kFallbacks.size(); ++i) {
            if (word != kFallbacks[i]) continue;
            config_.fallback = sourced(static_cast<Fallback>(i), node);
            return;
        }
        throw Mistake{node.source().begin, fmt::format("select.fallback is '{}'; known are error, warn, allow", word)};
    }

    void rules(const toml::node& node) {
        const toml::array* list = node.as_array();
        if (!list) wrong_type(node, "select.rule", "an array of tables ([[select.rule]])");
        std::vector<Rule> out;
        for (const toml::node& item : *list) {
            Rule rule;
            rule.origin = origin(item);
            each(table_of(item, "select.rule"), "select.rule.",
                 {{"when", [&](auto& n) { rule.when = conditions(table_of(n, "select.rule.when")); }},
                  {"use", [&](auto& n) { rule.use = string_of(n, "select.rule.use"); }}});
            if (rule.use.empty()) throw Mistake{item.source().begin, "a select.rule lacks 'use', the backend to take"};
            out.push_back(std::move(rule));
        }
        config_.rules = sourced(std::move(out), node);
    }

    std::vector<Condition> conditions(const toml::table& table) {
        std::vector<Condition> out;
        Readers readers;
        for (const char* field : {"device", "arch", "dtype"})
            readers.emplace_back(field, [&out, field](const toml::node& n) { out.push_back(word_condition(field, n)); });
        for (const char* field : kNumberFields)
            readers.emplace_back(field, [&out, field](const toml::node& n) { out.push_back(number_condition(field, n)); });
        readers.emplace_back("seq_kv", [&out](const toml::node& n) { out.push_back(number_condition("seq_kv", n)); });
        for (const char* field : {"causal", "paged", "ragged"})
            readers.emplace_back(field, [&out, field](const toml::node& n) { out.push_back(flag_condition(field, n)); });
        each(table, "select.rule.when.", readers);
        return out;
    }

    static Condition word_condition(const std::string& field, const toml::node& node) {
        const std::string key = "select.rule.when." + field;
        Strings words = node.is_array() ? strings_of(node, key) : Strings{string_of(node, key)};
        for (const std::string& word : words)
            if (field == "device" && !kind_by_name(word))
                throw Mistake{node.source().begin, fmt::format("{} is '{}', wanted cpu, cuda or rocm", key, word)};
        if (words.empty()) throw Mistake{node.source().begin, key + " is empty: no problem would match"};
        return {field, std::move(words), {}, {}, {}};
    }

    static Condition flag_condition(const std::string& field, const toml::node& node) {
        if (!node.is_boolean()) wrong_type(node, "select.rule.when." + field, "true or false");
        return {field, {}, {node.as_boolean()->get()}, {}, {}};
    }

    static std::int64_t integer(const toml::node& node, const std::string& key) {
        if (!node.is_integer()) wrong_type(node, key, "an integer, a list of integers or {min = ..., max = ...}");
        return node.as_integer()->get();
    }

    static Condition number_condition(const std::string& field, const toml::node& node) {
        const std::string key = "select.rule.when." + field;
        Condition condition{field, {}, {}, {}, {}};
        if (const toml::table* range = node.as_table()) {
            for (const auto& [name, bound] : *range) {
                if (name.str() != "min" && name.str() != "max") unknown_key(name, key + ".", {"min", "max"});
                (name.str() == "min" ? condition.min : condition.max) = integer(bound, key + "." + std::string(name.str()));
            }
        } else if (const toml::array* list = node.as_array()) {
            for (const toml::node& item : *list) condition.numbers.push_back(integer(item, key));
        } else {
            condition.numbers.push_back(integer(node, key));
        }
        if (condition.numbers.empty() && !condition.min && !condition.max)
            throw Mistake{node.source().begin, key + " is empty: wanted an integer, a list of integers or {min = ..., max = ...}"};
        return condition;
    }

    void backends(const toml::table& table) {
        for (const auto& [name, node] : table) {
            const std::string prefix = "backend." + std::string(name.str());
            for (const auto& [key, value] : table_of(node, prefix))
                config_.options[std::string(name.str())][std::string(key.str())] =
                    sourced(option(value, prefix + "." + std::string(key.str())), value);
        }
    }

    static std::string option(const toml::node& node, const std::string& key) {
        if (const auto* s = node.as_string()) return s->get();
        if (const auto* i = node.as_integer()) return std::to_string(i->get());
        if (const auto* b = node.as_boolean()) return b->get() ? "true" : "false";
        if (const auto* f = node.as_floating_point()) return fmt::format("{}", f->get());
        wrong_type(node, key, "a string, number or boolean");
    }

    Config& config_;
    std::string name_;
};

constexpr std::size_t kMostBytes = 1 << 20;  // of a file; real ones have a few KiB

Result<std::string> read_text(const fs::path& file) {
    const auto unreadable = [&](int number) {
        return Error{RF_NOT_FOUND, fmt::format("config file {}: {}", file.string(), std::strerror(number)), number};
    };
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // files of the kernel's may wait for news
    if (descriptor < 0) return unreadable(errno);
    std::string text(kMostBytes + 1, '\0');
    std::size_t have = 0;
    ssize_t got = 1;
    while (got != 0 && have < text.size()) {
        got = ::read(descriptor, text.data() + have, text.size() - have);
        if (got < 0 && errno != EINTR) break;
        if (got > 0) have += static_cast<std::size_t>(got);
    }
    const int number = errno;
    ::close(descriptor);
    if (got < 0) return unreadable(number);
    if (have > kMostBytes)
        return Error{RF_INVALID, fmt::format("config file {}: has more than {} bytes, the most that is read", file.string(), kMostBytes)};
    text.resize(have);
    return text;
}

Result<bool> merge_file(Config& config, const fs::path& file) {
    std::error_code error;
    const fs::file_status status = fs::status(file, error);  // judged before it is opened: a FIFO would wait for a writer
    if (!fs::exists(status))
        return Error{RF_NOT_FOUND, fmt::format("config file {}: {}", file.string(), error ? error.message() : std::strerror(ENOENT)), ENOENT};
    if (!fs::is_regular_file(status)) return Error{RF_NOT_FOUND, fmt::format("config file {}: is no regular file", file.string())};
    if (const std::string reason = distrust(file); !reason.empty())
        return Error{RF_INVALID, fmt::format("config file {}: {}", file.string(), reason)};
    Result<std::string> text = read_text(file);
    if (!text) return text.error();
    return merge_config(config, *text, fs::absolute(file).lexically_normal().string());
}

std::string quoted(const std::string& text);

}  // namespace

std::string toml_quoted(const std::string& text) { return quoted(text); }

namespace {

std::string quoted(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
        else
            out += c;
    }
    return out + "\"";
}

std::string quoted(const Strings& list) {
    Strings parts;
    for (const std::string& item : list) parts.push_back(quoted(item));
    return fmt::format("[{}]", fmt::join(parts, ", "));
}

std::string range_text(const Condition& c) {
    Strings parts;
    if (c.min) parts.push_back(fmt::format("min = {}", *c.min));
    if (c.max) parts.push_back(fmt::format("max = {}", *c.max));
    return fmt::format("{{{}}}", fmt::join(parts, ", "));
}

std::string condition_text(const Condition& c) {
    if (!c.words.empty()) return c.words.size() == 1 ? quoted(c.words[0]) : quoted(c.words);
    if (c.numbers.empty()) return range_text(c);
    if (c.field == "causal" || c.field == "paged" || c.field == "ragged") return c.numbers[0] ? "true" : "false";
    return c.numbers.size() == 1 ? std::to_string(c.numbers[0]) : fmt::format("[{}]", fmt::join(c.numbers, ", "));
}

std::string rule_text(const Rule& rule) {
    Strings parts;
    for (const Condition& c : rule.when) parts.push_back(fmt::format("{} = {}", c.field, condition_text(c)));
    return fmt::format("{{when = {{{}}}, use = {}}}", fmt::join(parts, ", "), quoted(rule.use));
}

std::string rules_text(const std::vector<Rule>& rules) {
    Strings parts;
    for (const Rule& rule : rules) parts.push_back(rule_text(rule));
    return fmt::format("[{}]", fmt::join(parts, ", "));
}

// A key that TOML takes bare, or in quotes.
std::string key_text(const std::string& key) {
    const bool bare = !key.empty() && key.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == std::string::npos;
    return bare ? key : quoted(key);
}

}  // namespace

std::vector<Config::Setting> Config::settings() const {
    const std::string unset = "built in";
    const auto from = [&](const std::string& origin) { return origin.empty() ? unset : origin; };
    std::vector<Setting> out;
    if (paths) out.push_back({"plugins.paths", quoted(paths->value), paths->origin});
    out.push_back({"plugins.add_paths", quoted(add_paths.value), from(add_paths.origin)});
    out.push_back({"plugins.disable", quoted(disable.value), from(disable.origin)});
    if (!only.origin.empty()) out.push_back({"plugins.only", quoted(only.value), only.origin});
    out.push_back({"plugins.strict_sha256", strict_sha256.value ? "true" : "false", from(strict_sha256.origin)});
    for (const auto& [file, hash] : sha256) out.push_back({"plugins.sha256." + key_text(file), quoted(hash.value), hash.origin});
    for (const auto& [kind, name] : default_backend)
        out.push_back({kind.empty() ? "select.default" : "select.default." + kind, quoted(name.value), name.origin});
    out.push_back({"select.order", quoted(order.value), from(order.origin)});
    out.push_back({"select.fallback", quoted(std::string(kFallbacks[static_cast<std::size_t>(fallback.value)])), from(fallback.origin)});
    if (!rules.value.empty()) out.push_back({"select.rule", rules_text(rules.value), rules.origin});
    for (const auto& [backend, keys] : options)
        for (const auto& [key, option] : keys)
            out.push_back({fmt::format("backend.{}.{}", key_text(backend), key_text(key)), quoted(option.value), option.origin});
    return out;
}

namespace {

// The parser recurses once a dotted key's part; a real key has at most five.
std::optional<std::size_t> line_nested_too_deep(std::string_view text) {
    constexpr std::size_t kMostDots = 200;
    std::size_t line = 1, dots = 0;
    for (const char c : text) {
        if (c == '\n')
            ++line, dots = 0;
        else if (c == '.' && ++dots > kMostDots)
            return line;
    }
    return std::nullopt;
}

}  // namespace

Result<bool> merge_config(Config& config, std::string_view text, const std::string& name) {
    const auto error = [&](const toml::source_position& at, std::string_view what) {
        return Error{RF_INVALID, fmt::format("{}:{}:{}: {}", name, at.line, at.column, what)};
    };
    if (const auto line = line_nested_too_deep(text))
        return Error{RF_INVALID, fmt::format("{}:{}:1: more than 200 dots on one line: no key is nested so deep", name, *line)};
    try {
        Config merged = config;  // a file that is wrong at its end leaves nothing of its beginning
        Merger(merged, name).root(toml::parse(text, name));
        merged.files.push_back(name);
        config = std::move(merged);
        return true;
    } catch (const toml::parse_error& e) { return error(e.source().begin, e.description()); } catch (const Mistake& mistake) {
        return error(mistake.at, mistake.text);
    }
}

Result<Config> read_config(const ConfigFiles& files) {
    Config config;
    std::vector<fs::path> in_order{files.shipped};
    for (const fs::path& file : files.optional) {
        std::error_code error;
        if (fs::status(file, error).type() != fs::file_type::not_found)
            in_order.push_back(file);  // one that cannot be looked at is an error, not absent
    }
    if (files.required) in_order.push_back(*files.required);
    for (const fs::path& file : in_order)
        if (Result<bool> merged = merge_file(config, file); !merged) return merged.error();
    return config;
}

const char* known_kind_name(std::int32_t kind) {
    switch (kind) {
        case RF_DEVICE_CPU:
            return "cpu";
        case RF_DEVICE_CUDA:
            return "cuda";
        case RF_DEVICE_ROCM:
            return "rocm";
        default:
            return nullptr;
    }
}

std::string kind_name(std::int32_t kind) {
    const char* known = known_kind_name(kind);
    return known ? known : fmt::format("kind {}", kind);
}

std::int32_t kind_by_name(std::string_view name) {
    for (const std::int32_t kind : {RF_DEVICE_CPU, RF_DEVICE_CUDA, RF_DEVICE_ROCM})
        if (kind_name(kind) == name) return kind;
    return 0;
}

}  // namespace rocforge
