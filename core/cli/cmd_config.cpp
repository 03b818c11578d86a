// rocforge config: the configuration in force, as TOML that could be read back; with --show-origin each line says where its value came from.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "flags.hpp"
#include "inventory.hpp"
#include "terminal.hpp"

namespace rocforge::cli {
namespace {

struct ConfigFlags {
    CommonFlags common;
    bool show_origin = false;
};

// "key = value". An environment variable is no key of TOML, so it is a comment.
std::string line_of(const rocforge_setting& setting) {
    const std::string line = fmt::format("{} = {}", text_or_empty(setting.key), text_or_empty(setting.value));
    return text_or_empty(setting.origin) == "environment" ? "# " + line : line;
}

Status config(const ConfigFlags& flags) {
    const Context context = open_context(flags.common);
    const std::vector<rocforge_setting> settings = collect<rocforge_setting>(context.get(), rocforge_config);
    const Terminal terminal(stdout);
    constexpr std::size_t kWidest = 60;  // one long array must not push every origin off the screen
    std::size_t width = 0;
    for (const rocforge_setting& setting : settings) {
        const std::size_t length = line_of(setting).size();
        if (length <= kWidest) width = std::max(width, length);
    }
    for (const rocforge_setting& setting : settings) {
        const std::string origin = terminal.paint(Colour::kDim, "# " + text_or_empty(setting.origin));
        terminal.line(flags.show_origin ? fmt::format("{:<{}}  {}", line_of(setting), width, origin) : line_of(setting));
    }
    return Status::kDone;
}

}  // namespace

Command add_config(CLI::App& app) {
    CLI::App* command = app.add_subcommand("config", "Print the configuration in force");
    auto flags = std::make_shared<ConfigFlags>();
    command->footer("Examples:\n  rocforge config --show-origin\n  rocforge config --config ./rocforge.toml > merged.toml");
    command->add_flag("--show-origin", flags->show_origin, "Also where each value came from: file, line and column, variable or shipped default");
    add_common(*command, flags->common);
    return {command, [flags] { return config(*flags); }};
}

}  // namespace rocforge::cli
