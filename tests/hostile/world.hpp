// What every hostile test stands on: a fresh folder, a context that sees only that folder, and the program run as a user runs it. Judges nothing.
#pragma once

#include <rocforge/rocforge.h>

#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hostile {

// A folder of its own below the build tree (whose parents are the builder's, so that the trust check judges the test's modes and not the machine's),
// removed at the end.
class Folder {
public:
    Folder();
    ~Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    const std::filesystem::path& path() const { return path_; }
    std::filesystem::path operator/(std::string_view name) const { return path_ / name; }
    // Copies rocforge-hostile_NAME.so out of the build tree, under that name or another.
    std::filesystem::path add_plugin(std::string_view name, std::string_view file_name = {}) const;
    // Every name in it, sorted: "in.safetensors, out.safetensors".
    std::string names() const;

private:
    std::filesystem::path path_;
};

void write_file(const std::filesystem::path& file, std::string_view content);
std::string read_file(const std::filesystem::path& file);
// Where rocforge-hostile_NAME.so was built.
std::filesystem::path built_plugin(std::string_view name);
bool is_root();

// A context whose plugins all come from one folder (ROCFORGE_PLUGIN_PATH) and whose log goes nowhere.
class Context {
public:
    explicit Context(const std::filesystem::path& plugin_path, const std::filesystem::path& config = {});
    ~Context() { rocforge_close(context_); }
    Context(const Context&) = delete;
    Context& operator=(const Context&) = delete;

    rocforge_context* get() const { return context_; }
    operator rocforge_context*() const { return context_; }
    rf_code code() const { return code_; }
    const std::string& message() const { return message_; }

    // The listed plugin of that path, if it is listed.
    std::optional<rocforge_plugin_info> plugin(const std::filesystem::path& file) const;
    // Every backend's name, in the order of registration: "cpu, good".
    std::string backends() const;

private:
    rocforge_context* context_ = nullptr;
    rf_code code_;
    std::string message_;
};

struct Outcome {
    int status = -1;  // exit status; 128 + N when signal N ended it
    std::string out, err;
};

struct Limits {
    std::optional<std::uint64_t> file_bytes;  // RLIMIT_FSIZE: a disk that is full for this process
    std::filesystem::path standard_output;    // where stdout goes instead of Outcome::out
};

using Variables = std::vector<std::pair<std::string, std::string>>;

// Runs the program `rocforge` with those arguments and additional environment variables. A hang ends in SIGALRM after a minute.
Outcome run(const std::vector<std::string>& arguments, const Variables& variables = {}, const Limits& limits = {});

bool contains(std::string_view text, std::string_view part);

}  // namespace hostile
