// rocforge new: a complete plugin project from the templates in share/rocforge/template, which are projects themselves, of a backend that is called
// my_backend. Writes into DIR alone, all of it or nothing, and replaces nothing that is there.
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "flags.hpp"
#include "signals.hpp"
#include "terminal.hpp"

namespace rocforge::cli {
namespace {
namespace fs = std::filesystem;

struct NewFlags {
    CommonFlags common;
    std::string name, folder;
    bool cpp = false, hip = false;
};

constexpr const char* kNewHelp =
    R"(The project builds at once and passes rocforge verify: plain attention in float32, to be replaced by yours.

Examples:
  rocforge new mine ./mine
  rocforge new mine ./mine --cpp

Exit status: 0 done, 2 bad name, 5 DIR is there and not empty, or cannot be written)";

std::string parse_name(std::string_view text) {
    const auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'; };
    if (!text.empty() && text.size() <= 64 && text[0] >= 'a' && text[0] <= 'z' && std::all_of(text.begin(), text.end(), allowed))
        return std::string(text);
    throw std::invalid_argument(fmt::format("'{}' is no backend name: wanted [a-z][a-z0-9_]* of at most 64 characters", text));
}

[[noreturn]] void cannot(const std::string& what, const fs::path& path, const std::error_code& why) {
    throw Quit(Status::kFile, fmt::format("cannot {} {}: {}", what, path.string(), why.message()));
}

// This program's own folder, links resolved: an install or build tree tells the rest from it.
fs::path program() {
    std::error_code failed;
    fs::path path = fs::read_symlink("/proc/self/exe", failed);
    if (failed) cannot("read", "/proc/self/exe", failed);
    return path;
}

std::string replaced(std::string text, std::string_view from, std::string_view to) {
    for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) text.replace(at, from.size(), to);
    return text;
}

std::string upper(std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return text;
}

std::string renamed(const std::string& text, const std::string& name) {
    return replaced(replaced(text, "my_backend", name), "MY_BACKEND", upper(name));
}

// Copies a template, with the name of the new backend in place of my_backend in texts and file names.
void copy_template(const fs::path& from, const fs::path& to, const std::string& name) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(from)) {
        const fs::path target = to / renamed(entry.path().lexically_relative(from).string(), name);
        if (entry.is_directory()) {
            fs::create_directories(target);
            continue;
        }
        std::ifstream in(entry.path(), std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(in), {}};
        std::ofstream out(target, std::ios::binary);
        out << renamed(text, name);
        out.close();
        if (!in || !out) cannot("write", target, {errno, std::generic_category()});
    }
}

// A folder in a hidden one beside its place, made as mkdir makes it; both are gone with this object unless the folder was moved away. Signals wait
// until then.
class Staging {
public:
    explicit Staging(const fs::path& parent) : hidden_((parent / ".rocforge-new-XXXXXX").string()) {
        if (!::mkdtemp(hidden_.data())) cannot("write into", parent, {errno, std::generic_category()});
    }
    ~Staging() {
        std::error_code ignored;
        fs::remove_all(hidden_, ignored);
    }
    Staging(const Staging&) = delete;
    Staging& operator=(const Staging&) = delete;
    fs::path path() const { return fs::path(hidden_) / "project"; }

private:
    HoldSignals signals_;  // outlives the folder
    std::string hidden_;
};

fs::path parent_of(const fs::path& folder) { return folder.has_parent_path() ? folder.parent_path() : fs::path("."); }

// Refuses what is there already; an empty folder may be.
void demand_room(const fs::path& folder) {
    std::error_code failed;
    if (!fs::exists(fs::symlink_status(folder, failed))) {
        const fs::path parent = parent_of(folder);
        if (!fs::is_directory(parent, failed)) throw Quit(Status::kFile, fmt::format("the folder {} does not exist", parent.string()));
        return;
    }
    if (!fs::is_directory(folder, failed)) throw Quit(Status::kFile, fmt::format("{} is there and no folder", folder.string()));
    if (!fs::is_empty(folder, failed) && !failed)
        throw Quit(Status::kFile, fmt::format("{} is not empty; name a new or an empty folder", folder.string()));
    if (failed) cannot("read", folder, failed);
}

// Moves the entries of one folder into another that is empty: all, or on failure none.
void move_entries(const fs::path& from, const fs::path& to) {
    std::vector<fs::path> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(from)) names.push_back(entry.path().filename());
    auto next = names.begin();
    try {
        for (; next != names.end(); ++next) fs::rename(from / *next, to / *next);
    } catch (...) {
        std::error_code ignored;
        for (auto moved = names.begin(); moved != next; ++moved) fs::remove_all(to / *moved, ignored);
        throw;
    }
}

// `make` fills a folder that then takes its place at once; into an existing one its entries are moved, so that whoever stands in it stays there.
template <class Make> void appear(const fs::path& folder, Make make) {
    const bool exists = fs::exists(folder);
    const Staging staging(exists ? folder : parent_of(folder));
    fs::create_directory(staging.path());
    make(staging.path());
    if (HoldSignals::holds()) throw Quit(Status::kFile, "ended by a signal");
    if (exists)
        move_entries(staging.path(), folder);
    else
        fs::rename(staging.path(), folder);
}

void demand_free_name(const NewFlags& flags) {
    const Context context = open_context(flags.common);
    for (const auto& backend : collect<rocforge_backend_info>(context.get(), rocforge_backend)) {
        if (flags.name != backend.name || (backend.device_kind == RF_DEVICE_ROCM) != flags.hip) continue;
        throw Quit(Status::kUsage, fmt::format("a backend '{}' for {} is installed; the first of a name wins, so choose another", flags.name,
                                               rocforge_kind_name(backend.device_kind)));
    }
}

// As a shell takes it back.
std::string quoted(const std::string& text) {
    const auto plain = [](unsigned char c) {
        return std::isalnum(c) != 0 || std::string_view("/._-+").find(static_cast<char>(c)) != std::string_view::npos;
    };
    return std::all_of(text.begin(), text.end(), plain) ? text : "'" + replaced(text, "'", "'\\''") + "'";
}

// The next commands, as they must be typed: a program that the shell would not find is written with its folder.
void print_next(const NewFlags& flags, const fs::path& bin) {
    const std::string path = ":" + std::string(std::getenv("PATH") ? std::getenv("PATH") : "") + ":";
    const bool found = path.find(":" + bin.string() + ":") != std::string::npos;
    const Terminal terminal(stdout);
    terminal.line(fmt::format("{} holds a backend that is whole as it is. Next:", flags.folder));
    if (flags.folder != ".") terminal.line((flags.folder.starts_with('-') ? "  cd -- " : "  cd ") + quoted(flags.folder));
    terminal.line(
        fmt::format("  cmake -B build{} && cmake --build build", found ? "" : " -DCMAKE_PREFIX_PATH=" + quoted(bin.parent_path().string())));
    terminal.line(fmt::format("  {} verify build/rocforge-{}.so", found ? "rocforge" : quoted((bin / "rocforge").string()), flags.name));
}

Status make_project(const NewFlags& flags) {
    const fs::path bin = program().parent_path(), templates = (bin / ROCFORGE_DATA_FROM_BIN / "rocforge/template").lexically_normal();
    if (flags.folder.empty()) throw Quit(Status::kUsage, "DIR is empty; name a new or an empty folder");
    fs::path folder = flags.folder;                             // as the system takes it: what ".." is behind a link is not in its text
    if (!folder.has_filename()) folder = folder.parent_path();  // "mine/"
    demand_free_name(flags);
    demand_room(folder);
    if (!fs::is_directory(templates / "common"))
        throw Quit(Status::kFile, fmt::format("{} is not there: the package rocforge-sdk brings the templates", templates.string()));
    try {
        appear(folder, [&](const fs::path& to) {
            copy_template(templates / "common", to, flags.name);
            copy_template(templates / (flags.cpp ? "cpp" : flags.hip ? "hip" : "c"), to, flags.name);
        });
    } catch (const fs::filesystem_error& error) { cannot("write", error.path2().empty() ? error.path1() : error.path2(), error.code()); }
    print_next(flags, bin);
    return Status::kDone;
}

}  // namespace

Command add_new(CLI::App& app) {
    CLI::App* command = app.add_subcommand("new", "Make a complete plugin project");
    auto flags = std::make_shared<NewFlags>();
    command->footer(kNewHelp);
    add_value(*command, "NAME", flags->name, parse_name, "", "Name of the backend: [a-z][a-z0-9_]*")->required();
    command->add_option("DIR", flags->folder, "New or empty folder")->type_name("")->required();
    CLI::Option* cpp = command->add_flag("--cpp", flags->cpp, "In C++20 rather than C");
    command->add_flag("--hip", flags->hip, "In HIP, for AMD GPUs; wants hipcc to be built")->excludes(cpp);
    add_common(*command, flags->common);
    return {command, [flags] { return make_project(*flags); }};
}

}  // namespace rocforge::cli
