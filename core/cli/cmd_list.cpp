// rocforge list: plugins, their backends and devices, and every file refused, with the reason. A refused plugin is a finding, not a failure.
#include <fmt/format.h>

#include <array>
#include <memory>

#include "flags.hpp"
#include "inventory.hpp"
#include "terminal.hpp"

namespace rocforge::cli {
namespace {

struct ListFlags {
    CommonFlags common;
    bool json = false;
};

nlohmann::ordered_json to_json(const Backend& backend) {
    nlohmann::ordered_json devices = nlohmann::ordered_json::array();
    for (const rf_device& device : backend.found.devices) {
        devices.push_back({{"ordinal", device.ordinal},
                           {"arch", text_or_empty(device.arch)},
                           {"name", text_or_empty(device.name)},
                           {"runtime", text_or_empty(device.runtime)}});
    }
    nlohmann::ordered_json unavailable = nullptr;
    if (!backend.found.unavailable.empty()) unavailable = backend.found.unavailable;
    return {{"name", backend.info.name},
            {"device_kind", rocforge_kind_name(backend.info.device_kind)},
            {"version", text_or_empty(backend.info.version)},
            {"devices", std::move(devices)},
            {"unavailable", std::move(unavailable)}};
}

nlohmann::ordered_json to_json(const Inventory& inventory) {
    nlohmann::ordered_json plugins = nlohmann::ordered_json::array();
    for (std::size_t index = 0; index < inventory.plugins.size(); ++index) {
        const rocforge_plugin_info& plugin = inventory.plugins[index];
        nlohmann::ordered_json backends = nlohmann::ordered_json::array();
        for (const Backend& backend : inventory.backends) {
            if (backend.info.plugin_index == index) backends.push_back(to_json(backend));
        }
        plugins.push_back({{"path", text_or_empty(plugin.path)},
                           {"status", status_name(plugin.status)},
                           {"reason", text_or_empty(plugin.reason)},
                           {"backends", std::move(backends)}});
    }
    return {{"abi", fmt::format("{}.{}", RF_ABI_MAJOR, RF_ABI_MINOR)}, {"plugins", std::move(plugins)}};
}

Status list(const ListFlags& flags) {
    const Context context = open_context(flags.common);
    const Inventory inventory = take_inventory(context.get());
    const Terminal terminal = Terminal::for_people(flags.json);
    print_backends(terminal, inventory);
    print_plugins(terminal, inventory);
    print_folders(terminal, inventory);
    if (flags.json) print_json(to_json(inventory));
    return Status::kDone;
}

}  // namespace

Command add_list(CLI::App& app) {
    CLI::App* command = app.add_subcommand("list", "List plugins, backends and devices, and every file refused, with the reason");
    auto flags = std::make_shared<ListFlags>();
    command->footer("Examples:\n  rocforge list\n  rocforge list --json | jq -r '.plugins[].backends[].name'");
    command->add_flag("--json", flags->json, "One object {abi, plugins} on stdout");
    add_common(*command, flags->common);
    return {command, [flags] { return list(*flags); }};
}

}  // namespace rocforge::cli
