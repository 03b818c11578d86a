// rocforge doctor: one report of what was read, searched, tried and found, for a person or a bug report. A refused plugin is a
// finding, hardware that is not there merely told; only a configuration that cannot be used is a failure.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <set>

#include "flags.hpp"
#include "inventory.hpp"
#include "terminal.hpp"

namespace rocforge::cli {
namespace {

struct DoctorFlags {
    CommonFlags common;
};

// The environment variables that change what the library or its default threads do.
constexpr std::array<const char*, 12> kVariables{"ROCFORGE_CONFIG", "ROCFORGE_BACKEND",    "ROCFORGE_PLUGIN_PATH", "ROCFORGE_ADD_PLUGIN_PATH",
                                                 "ROCFORGE_LOG",    "XDG_CONFIG_HOME",     "XDG_DATA_HOME",        "HOME",
                                                 "LD_LIBRARY_PATH", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"};

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

void print_environment(const Terminal& terminal) {
    terminal.heading("Environment");
    Table table({"variable", "value"});
    for (const char* name : kVariables) table.add({name, std::getenv(name) ? "'" + variable(name) + "'" : "not set"});
    table.print(terminal);
}

void print_files(const Terminal& terminal, const Inventory& inventory) {
    terminal.heading("Configuration files, later ones win key by key");
    Table table({"file", "named by", "state"});
    for (const rocforge_place& file : inventory.files)
        table.add({file.path, file.origin, file.status == ROCFORGE_LOADED ? "read" : text_or_empty(file.reason)});
    table.print(terminal);
}

void print_settings(const Terminal& terminal, rocforge_context* context) {
    terminal.heading("Settings in force");
    Table table({"setting", "origin"});
    for (const rocforge_setting& setting : collect<rocforge_setting>(context, rocforge_config)) {
        table.add({fmt::format("{} = {}", text_or_empty(setting.key), text_or_empty(setting.value)), text_or_empty(setting.origin)});
    }
    table.print(terminal);
}

std::size_t print_warnings(const Terminal& terminal, rocforge_context* context) {
    std::size_t count = 0;
    for (const char* text = nullptr; rocforge_warning(context, static_cast<std::uint32_t>(count), &text) == RF_OK; ++count) {
        if (count == 0) terminal.heading("Warnings");
        terminal.line(fmt::format("  {} {}", terminal.paint(Colour::kYellow, "warning"), text));
    }
    return count;
}

// Why a call that names neither a device nor a backend would fail here; "" when it would not.
std::string not_ready(rocforge_context* context) {
    try {
        find_device(context, "", "");
        return "";
    } catch (const Quit& quit) { return quit.what(); }
}

void print_verdict(const Terminal& terminal, rocforge_context* context, const Inventory& inventory, std::size_t warnings) {
    std::size_t loaded = 0, refused = 0, disabled = 0, unavailable = 0;
    for (const rocforge_plugin_info& plugin : inventory.plugins) {
        ++(plugin.status == ROCFORGE_LOADED ? loaded : plugin.status == ROCFORGE_REFUSED ? refused : disabled);
    }
    for (const Backend& backend : inventory.backends) unavailable += backend.found.devices.empty() ? 1 : 0;
    const std::string why_not = not_ready(context);
    const std::size_t findings = refused + warnings;  // a backend whose hardware is elsewhere is none
    const std::string counts = fmt::format("plugins: {} loaded, {} refused, {} disabled; backends: {}, {} without a device; warnings: {}", loaded,
                                           refused, disabled, inventory.backends.size(), unavailable, warnings);
    if (!why_not.empty()) terminal.line(fmt::format("{}: {}", terminal.paint(Colour::kRed, "not ready"), why_not));
    const std::string ready = findings == 0 ? "ready" : fmt::format("ready, {} finding{}", findings, findings == 1 ? "" : "s");
    terminal.line(why_not.empty() ? fmt::format("{}: {}", terminal.paint(findings ? Colour::kYellow : Colour::kGreen, ready), counts) : counts);
}

Status doctor(const DoctorFlags& flags) {
    const Terminal terminal(stdout);
    terminal.line(fmt::format("rocforge {}, ABI {}.{}", rocforge_version(), RF_ABI_MAJOR, RF_ABI_MINOR));
    print_environment(terminal);
    Context context;
    try {
        context = open_context(flags.common);
    } catch (const Quit&) {
        terminal.line(terminal.paint(Colour::kRed, "unusable") + ": the configuration is wrong, so no plugin was looked for");
        throw;
    }
    const Inventory inventory = take_inventory(context.get());
    print_files(terminal, inventory);
    print_settings(terminal, context.get());
    print_folders(terminal, inventory);
    print_plugins(terminal, inventory);
    print_backends(terminal, inventory);
    terminal.heading("Order in force");
    terminal.line("  " + order_in_force(inventory));
    const std::size_t warnings = print_warnings(terminal, context.get());
    print_verdict(terminal, context.get(), inventory, warnings);
    return Status::kDone;
}

}  // namespace

Command add_doctor(CLI::App& app) {
    CLI::App* command = app.add_subcommand("doctor", "Report configuration, folders, plugins, backends and devices, with every finding");
    auto flags = std::make_shared<DoctorFlags>();
    command->footer(
        "Examples:\n  rocforge doctor\n  ROCFORGE_PLUGIN_PATH=/opt/plugins rocforge doctor\n\n"
        "Exit status: 0, also with findings; 2 the configuration is wrong, 5 it cannot be read");
    add_common(*command, flags->common);
    return {command, [flags] { return doctor(*flags); }};
}

}  // namespace rocforge::cli
