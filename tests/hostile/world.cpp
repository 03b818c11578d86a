#include "world.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <system_error>

namespace hostile {

namespace fs = std::filesystem;

namespace {

constexpr unsigned kHangSeconds = 60;

void redirect(int descriptor, const fs::path& file) {
    const int opened = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (opened < 0 || dup2(opened, descriptor) < 0) _exit(126);
    close(opened);
}

// In the child: only what is allowed between fork and exec.
[[noreturn]] void become(char* const* arguments, char* const* variables, const fs::path& out, const fs::path& err, const Limits& limits) {
    redirect(STDOUT_FILENO, limits.standard_output.empty() ? out : limits.standard_output);
    redirect(STDERR_FILENO, err);
    if (limits.file_bytes) {
        const rlimit limit{*limits.file_bytes, *limits.file_bytes};
        setrlimit(RLIMIT_FSIZE, &limit);
        std::signal(SIGXFSZ, SIG_IGN);  // write() then fails with EFBIG, as it fails with ENOSPC on a full disk
    }
    alarm(kHangSeconds);
    execve(arguments[0], arguments, variables);
    _exit(127);
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

std::string joined(const std::vector<std::string>& names) {
    std::string out;
    for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
    return out;
}

}  // namespace

Folder::Folder() {
    fs::create_directories(ROCFORGE_HOSTILE_SCRATCH);
    std::string name = std::string(ROCFORGE_HOSTILE_SCRATCH) + "/XXXXXX";
    if (!mkdtemp(name.data())) throw std::system_error(errno, std::generic_category(), name);
    path_ = fs::canonical(name);
    fs::permissions(path_, fs::perms(0755));
}

Folder::~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
}

fs::path Folder::add_plugin(std::string_view name, std::string_view file_name) const {
    const fs::path from = built_plugin(name), to = path_ / (file_name.empty() ? fs::path(from.filename()) : fs::path(file_name));
    fs::copy_file(from, to);
    fs::permissions(to, fs::perms(0755));
    return to;
}

std::string Folder::names() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(path_)) names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return joined(names);
}

void write_file(const fs::path& file, std::string_view content) {
    std::ofstream stream(file, std::ios::binary);
    stream.write(content.data(), static_cast<std::streamsize>(content.size()));
    if (!stream.flush()) throw std::runtime_error("cannot write " + file.string());
}

std::string read_file(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    if (!stream) throw std::runtime_error("cannot read " + file.string());
    return {std::istreambuf_iterator<char>(stream), {}};
}

fs::path built_plugin(std::string_view name) { return fs::path(ROCFORGE_HOSTILE_PLUGINS) / ("rocforge-hostile_" + std::string(name) + ".so"); }

bool is_root() { return geteuid() == 0; }

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

Context::Context(const fs::path& plugin_path, const fs::path& config) {
    setenv("ROCFORGE_PLUGIN_PATH", plugin_path.c_str(), 1);
    rocforge_hooks hooks{};
    hooks.struct_size = sizeof hooks;
    hooks.log = [](void*, std::int32_t, const char*) {};
    rf_error error{sizeof(rf_error), RF_OK, 0, 0, ""};
    code_ = rocforge_open(config.empty() ? nullptr : config.c_str(), &hooks, &context_, &error);
    message_ = error.message;
    unsetenv("ROCFORGE_PLUGIN_PATH");
}

std::optional<rocforge_plugin_info> Context::plugin(const fs::path& file) const {
    rocforge_plugin_info info{};
    info.struct_size = sizeof info;
    for (std::uint32_t i = 0; rocforge_plugin(context_, i, &info) == RF_OK; ++i)
        if (info.path == file.string()) return info;
    return std::nullopt;
}

std::string Context::backends() const {
    std::vector<std::string> names;
    rocforge_backend_info info{};
    info.struct_size = sizeof info;
    for (std::uint32_t i = 0; rocforge_backend(context_, i, &info) == RF_OK; ++i) names.emplace_back(info.name);
    return joined(names);
}

Outcome run(const std::vector<std::string>& arguments, const Variables& variables, const Limits& limits) {
    const Folder folder;
    const fs::path out = folder / "out", err = folder / "err";
    std::vector<std::string> argument_texts{ROCFORGE_HOSTILE_PROGRAM}, variable_texts;
    argument_texts.insert(argument_texts.end(), arguments.begin(), arguments.end());
    for (char** variable = environ; *variable; ++variable) variable_texts.emplace_back(*variable);
    for (const auto& [name, value] : variables) variable_texts.push_back(name + "=" + value);
    const std::vector<char*> argument_pointers = pointers(argument_texts), variable_pointers = pointers(variable_texts);
    const pid_t child = fork();
    if (child == 0) become(argument_pointers.data(), variable_pointers.data(), out, err, limits);
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child)
        throw std::system_error(errno, std::generic_category(), "starting " ROCFORGE_HOSTILE_PROGRAM);
    const std::string printed = limits.standard_output.empty() ? read_file(out) : "";
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), printed, read_file(err)};
}

}  // namespace hostile
