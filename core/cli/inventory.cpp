#include "inventory.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace rocforge::cli {
namespace {

std::string devices_text(const Devices& found) {
    if (!found.unavailable.empty()) return "unavailable: " + found.unavailable;
    std::vector<std::string> names;
    for (const rf_device& device : found.devices) {
        std::vector<std::string> said;
        for (const char* text : {device.name, device.arch, device.runtime})
            if (text && *text) said.push_back(text);
        names.push_back(fmt::format("{} {}", device_name(device), fmt::join(said, ", ")));
    }
    return fmt::format("{}", fmt::join(names, "; "));
}

std::string folder_verdict(std::int32_t status) {
    if (status == ROCFORGE_LOADED) return "searched";
    return status == ROCFORGE_REFUSED ? "refused" : "does not exist";
}

}  // namespace

Inventory take_inventory(rocforge_context* context) {
    Inventory inventory;
    inventory.plugins = collect<rocforge_plugin_info>(context, rocforge_plugin);
    for (const rocforge_backend_info& info : collect<rocforge_backend_info>(context, rocforge_backend)) {
        inventory.backends.push_back({info, devices_of(context, info)});
    }
    // As selection asks them; those chosen only by name come last.
    const auto rank = [](const Backend& backend) { return static_cast<std::uint32_t>(backend.info.order_rank); };
    std::stable_sort(inventory.backends.begin(), inventory.backends.end(), [&](const Backend& a, const Backend& b) { return rank(a) < rank(b); });
    inventory.files = collect<rocforge_place>(context, rocforge_config_file);
    inventory.folders = collect<rocforge_place>(context, rocforge_searched);
    return inventory;
}

std::string status_name(std::int32_t status) {
    if (status == ROCFORGE_LOADED) return "loaded";
    return status == ROCFORGE_REFUSED ? "refused" : "disabled";
}

void print_backends(const Terminal& terminal, const Inventory& inventory) {
    terminal.heading("Backends");
    if (inventory.backends.empty()) return terminal.line("  none");
    Table table({"rank", "name", "kind", "version", "devices"}, {0});
    bool dropped_in = false;
    for (const auto& [info, found] : inventory.backends) {
        dropped_in = dropped_in || info.dropped_in;
        const std::string rank = info.order_rank < 0 ? "-" : fmt::format("{}", info.order_rank + 1);
        const std::string name = text_or_empty(info.name) + (info.dropped_in ? "*" : "") + (info.flags & RF_B_APPROXIMATE ? " (approximate)" : "");
        table.add({rank, name, rocforge_kind_name(info.device_kind), text_or_empty(info.version), devices_text(found)});
    }
    table.print(terminal);
    if (dropped_in) terminal.line("  * dropped in: nobody named it, '*' in select.order puts it where it stands");
    const auto by_name = [](const Backend& backend) { return backend.info.order_rank < 0; };
    if (std::any_of(inventory.backends.begin(), inventory.backends.end(), by_name)) terminal.line("  rank -: chosen only by name");
}

void print_plugins(const Terminal& terminal, const Inventory& inventory) {
    terminal.heading("Plugins");
    if (inventory.plugins.empty()) return terminal.line("  none found");
    for (const rocforge_plugin_info& plugin : inventory.plugins) {
        const Colour colour = plugin.status == ROCFORGE_LOADED ? Colour::kGreen : plugin.status == ROCFORGE_REFUSED ? Colour::kRed : Colour::kYellow;
        const std::string path = text_or_empty(plugin.path);
        terminal.line(fmt::format("  {} {} ({})", terminal.paint(colour, status_name(plugin.status)), path.empty() ? "the host program" : path,
                                  text_or_empty(plugin.origin)));
        if (plugin.reason && *plugin.reason) terminal.line(fmt::format("    {}", plugin.reason));
    }
}

void print_folders(const Terminal& terminal, const Inventory& inventory) {
    terminal.heading("Folders");
    if (inventory.folders.empty()) return terminal.line("  none");
    Table table({"folder", "named by", "verdict"});
    for (const rocforge_place& folder : inventory.folders) {
        const std::string why = folder.status == ROCFORGE_REFUSED ? ": " + text_or_empty(folder.reason) : "";
        table.add({text_or_empty(folder.path), text_or_empty(folder.origin), folder_verdict(folder.status) + why});
    }
    table.print(terminal);
}

std::string order_in_force(const Inventory& inventory) {
    std::vector<std::string> names;
    for (const auto& [info, found] : inventory.backends) {
        if (info.order_rank < 0) continue;
        names.push_back(fmt::format("{}{} ({})", info.name, info.dropped_in ? "*" : "", rocforge_kind_name(info.device_kind)));
    }
    return names.empty() ? "no backend" : fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace rocforge::cli
