// The child of `rocforge verify`: loads the plugin as the library does, trust and ELF checks included, then calls its tables directly and tells each
// item's beginning and end through descriptor 3, a JSON object a line. A signal that the plugin earns is told on the way out.
#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "flags.hpp"
#include "names.hpp"
#include "text/text.hpp"
#include "verify.hpp"

namespace rocforge::cli {
namespace {

namespace kit = rocforge::conformance;
using nlohmann::ordered_json;

constexpr int kToParent = 3;
// Nothing is looked for there: the file alone is verified, whatever backends of its name are installed.
constexpr const char* kNoPlugins = "/nonexistent";

void send(const ordered_json& message) {
    const std::string line = message.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
    for (std::size_t at = 0; at < line.size();) {
        const ssize_t wrote = ::write(kToParent, line.data() + at, line.size() - at);
        if (wrote < 0 && errno != EINTR) ::_exit(1);  // the parent is gone
        if (wrote > 0) at += static_cast<std::size_t>(wrote);
    }
}

// Only what a handler may call. The line is no JSON: the parent takes what follows "fault " as it is.
void tell_fault(int number, siginfo_t* info, void*) {
    char where[256] = "", line[600] = "fault ";
    if (number == SIGSEGV || number == SIGBUS) kit::describe_fault(info->si_addr, where, sizeof where);
    const auto append = [&line](const char* text) { std::strncat(line, text, sizeof line - std::strlen(line) - 1); };
    append(kit::noted());
    if (*kit::noted() && *where) append(": ");
    if (*where) append("it touched memory "), append(where);
    append("\n");
    [[maybe_unused]] const ssize_t ignored = ::write(kToParent, line, std::strlen(line));
    ::signal(number, SIG_DFL);
    ::raise(number);
}

void prepare_for_the_worst() {
    ::fcntl(kToParent, F_SETFD, FD_CLOEXEC);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    static char stack[64 * 1024];
    stack_t own{};
    own.ss_sp = stack;
    own.ss_size = sizeof stack;
    ::sigaltstack(&own, nullptr);
    for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
        struct sigaction action {};
        action.sa_sigaction = tell_fault;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
        ::sigaction(number, &action, nullptr);
    }
}

// ---- From the command line to a table

struct Loaded {
    Context context;
    std::string path, backend;
    rf_plugin_entry entry = nullptr;
};

std::vector<std::string> names_in(const std::vector<rocforge_backend_info>& backends) {
    std::vector<std::string> names;
    for (const rocforge_backend_info& each : backends)
        if (std::find(names.begin(), names.end(), each.name) == names.end()) names.emplace_back(each.name);
    return names;
}

// The name of --backend, else the one that there is.
std::string chosen_name(const VerifyFlags& flags, const std::vector<std::string>& names) {
    if (!flags.backend.empty()) {
        if (std::find(names.begin(), names.end(), flags.backend) != names.end()) return flags.backend;
        throw Quit(Status::kUsage, fmt::format("{} registers no backend '{}', but {}{}", flags.target, flags.backend, fmt::join(names, ", "),
                                               did_you_mean(flags.backend, names)));
    }
    if (names.size() > 1) throw Quit(Status::kUsage, fmt::format("{} registers {}: choose one with --backend", flags.target, fmt::join(names, ", ")));
    return names.at(0);
}

rf_plugin_entry entry_of(const std::string& path) {
    void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);  // loaded already, and checked before
    void* symbol = library ? ::dlsym(library, RF_PLUGIN_ENTRY) : nullptr;
    if (!symbol) throw Quit(Status::kFile, fmt::format("{} is not among the libraries of this process", path));
    return reinterpret_cast<rf_plugin_entry>(symbol);
}

Loaded load_file(const VerifyFlags& flags) {
    ::setenv("ROCFORGE_PLUGIN_PATH", kNoPlugins, 1);
    // Absolute, as the library loads it: a name without a slash dlopen would look for elsewhere.
    Loaded loaded{open_context(flags.common), std::filesystem::absolute(flags.target).string(), {}, nullptr};
    LibraryError error;
    if (rocforge_load(loaded.context.get(), flags.target.c_str(), &error) != RF_OK) throw Quit(Status::kFile, error.message);
    loaded.backend = chosen_name(flags, names_in(collect<rocforge_backend_info>(loaded.context.get(), rocforge_backend)));
    return loaded;
}

Loaded load_name(const VerifyFlags& flags) {
    Loaded loaded{open_context(flags.common), {}, flags.target.empty() ? flags.backend : flags.target, nullptr};
    rocforge_backend_info info{};
    info.struct_size = sizeof info;
    LibraryError error;
    check(rocforge_find_backend(loaded.context.get(), loaded.backend.c_str(), 0, &info, &error), error);
    loaded.path = collect<rocforge_plugin_info>(loaded.context.get(), rocforge_plugin).at(info.plugin_index).path;
    return loaded;
}

// What the configuration says under [backend.NAME].
kit::Options configured_options(const Loaded& loaded) {
    kit::Options options;
    const std::string prefix = "backend." + loaded.backend + ".";
    for (const rocforge_setting& each : collect<rocforge_setting>(loaded.context.get(), rocforge_config)) {
        const std::string key = each.key;
        if (!key.starts_with(prefix)) continue;
        const auto value = nlohmann::json::parse(each.value, nullptr, false);  // a TOML string of printable text is a JSON string
        options.emplace_back(key.substr(prefix.size()), value.is_string() ? value.get<std::string>() : std::string(each.value));
    }
    return options;
}

// "cuda:1", a device to run on; anything else is an arch that a backend may know.
struct Wanted {
    std::int32_t kind = 0, ordinal = -1;  // 0, -1: any
    std::string arch;
};

Wanted wanted_device(const std::string& name) {
    if (name.empty()) return {};
    const std::size_t colon = std::min(name.find(':'), name.size());
    const std::string kind = name.substr(0, colon), digits = name.substr(std::min(colon + 1, name.size()));
    std::int32_t ordinal = -1;
    const auto [end, wrong] = std::from_chars(digits.data(), digits.data() + digits.size(), ordinal);
    const bool good = colon == name.size() || (!digits.empty() && wrong == std::errc() && end == digits.data() + digits.size() && ordinal >= 0);
    for (const std::int32_t each : {RF_DEVICE_CPU, RF_DEVICE_CUDA, RF_DEVICE_ROCM})
        if (good && kind == rocforge_kind_name(each)) return {each, ordinal, {}};
    return {0, -1, name};
}

// Throws Unavailable where nothing can be run for want of memory. What is wrong with a table that is lent, the laws tell.
void demand_memory(kit::Subject& subject) {
    if (!subject.present() || subject.on_host()) return;
    try {
        subject.lent();
    } catch (const kit::Broken&) {}
}

// A line of the plugin's log, as the library writes one, to stderr: the parent passes that on where --log asks for it.
kit::TakeLog log_to_stderr() {
    const char* const wanted = std::getenv("ROCFORGE_LOG");
    const std::vector<std::string>& levels = log_levels();
    const auto named = std::find(levels.begin(), levels.end(), wanted ? wanted : "");
    const auto least = named == levels.end() ? std::int32_t{RF_LOG_WARN} : static_cast<std::int32_t>(named - levels.begin());
    return [least, &levels](std::int32_t level, const char* backend, const char* message) {
        if (level < least) return;
        const auto index = static_cast<std::size_t>(std::clamp(level, std::int32_t{RF_LOG_TRACE}, std::int32_t{RF_LOG_ERROR}));
        std::fputs(fmt::format("rocforge: {}: {}: {}\n", levels[index], backend, message).c_str(), stderr);
    };
}

// The backend's table for the device that is wanted, else its first that has one here.
std::unique_ptr<kit::Subject> open_subject(const VerifyFlags& flags, const Loaded& loaded) {
    const Wanted wanted = wanted_device(flags.device);
    std::vector<std::string> why_not;
    for (const rf_backend_api* api : kit::registered_by(loaded.entry)) {
        if (api->name != loaded.backend || (wanted.kind && api->device_kind != wanted.kind)) continue;
        try {
            auto subject = std::make_unique<kit::Subject>(kit::Setting{.entry = loaded.entry,
                                                                       .api = api,
                                                                       .options = configured_options(loaded),
                                                                       .ordinal = wanted.ordinal,
                                                                       .arch = wanted.arch,
                                                                       .level = flags.full() ? kit::Level::full : kit::Level::quick,
                                                                       .seed = flags.seed,
                                                                       .log = log_to_stderr()});
            demand_memory(*subject);
            return subject;
        } catch (const kit::Unavailable& unavailable) {
            why_not.push_back(fmt::format("{}: {}", rocforge_kind_name(api->device_kind), unavailable.what()));
        }
    }
    if (why_not.empty())
        throw Quit(Status::kUsage, fmt::format("{} is registered for no device of the kind of --device {}", loaded.backend, flags.device));
    if (!wanted.arch.empty())
        throw Quit(Status::kUsage,
                   fmt::format("--device: {} knows no '{}'; wanted cpu, rocm:N, cuda:N or an arch that it describes", loaded.backend, wanted.arch));
    throw Quit(Status::kBackend, fmt::format("{} has no device here: {}", loaded.backend, fmt::join(why_not, "; ")));
}

// ---- The items

ordered_json number_or_null(double value) { return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr); }

// False: the device may be spoilt for whatever comes next, as a GPU is by an illegal address.
bool run_item(kit::Subject& subject, const kit::Item& item, std::size_t index) {
    send({{"begin", index}});
    const auto start = std::chrono::steady_clock::now();
    const kit::Verdict verdict = kit::examine(subject, item, [](const std::string& name) { send({{"as", name}}); });
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    double error = verdict.max_error, tolerance = verdict.tolerance;
    if (verdict.by_values && verdict.max_error <= verdict.tolerance) error = verdict.lse_error, tolerance = verdict.lse_tolerance;
    send({{"end", index},
          {"outcome", static_cast<int>(verdict.outcome)},
          {"max_error", number_or_null(error)},
          {"tolerance", number_or_null(tolerance)},
          {"compared", item.law == nullptr && verdict.tolerance > 0},
          {"by_values", verdict.by_values},
          {"seconds", took.count()},
          {"why", verdict.where}});
    return subject.on_host() || verdict.outcome != kit::Outcome::failed || verdict.by_values;
}

void run_items(const VerifyFlags& flags) {
    std::size_t begin = 0, end = 0;
    const char* const last = flags.child.data() + flags.child.size();
    const auto colon = std::from_chars(flags.child.data(), last, begin);
    if (colon.ptr == last || std::from_chars(colon.ptr + 1, last, end).ptr != last) throw Quit(Status::kUsage, "--child: wanted BEGIN:END");
    Loaded loaded = flags.of_file() ? load_file(flags) : load_name(flags);
    loaded.entry = entry_of(loaded.path);
    const std::unique_ptr<kit::Subject> subject = open_subject(flags, loaded);
    const rf_backend_api& api = *subject->setting().api;
    send({{"backend", api.name},
          {"version", api.version},
          {"device", device_name(subject->device())},
          {"arch", subject->device().arch},
          {"approximate", (api.flags & RF_B_APPROXIMATE) != 0}});
    const std::vector<kit::Item> items = chosen_items(flags);
    for (std::size_t index = begin; index < std::min(end, items.size()); ++index)
        if (!run_item(*subject, items[index], index)) return;
}

}  // namespace

Status run_verify_child(const VerifyFlags& flags) {
    prepare_for_the_worst();
    try {
        run_items(flags);
        send({{"done", true}});
    } catch (const Quit& quit) {
        send({{"quit", static_cast<int>(quit.status())}, {"message", quit.what()}, {"lines", quit.lines()}});
    } catch (const kit::Broken& broken) { send({{"broken", broken.what()}}); } catch (const std::exception& failure) {
        send({{"broken", failure.what()}});
    }
    return Status::kDone;
}

}  // namespace rocforge::cli
