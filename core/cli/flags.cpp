#include "flags.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "text/text.hpp"

namespace rocforge::cli {
namespace {

std::string parse_log_level(std::string_view text) {
    const std::vector<std::string>& levels = log_levels();
    if (std::find(levels.begin(), levels.end(), text) != levels.end()) return std::string(text);
    throw std::invalid_argument(fmt::format("'{}' is none of {}{}", text, fmt::join(levels, ", "), did_you_mean(text, levels)));
}

// The command that was named, or the program where none was.
const CLI::App& innermost(const CLI::App& app) {
    const std::vector<CLI::App*> parsed = app.get_subcommands();
    return parsed.empty() ? app : *parsed.front();
}

std::vector<std::string> names_of_flags(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::Option* option : app.get_options()) {
        for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    return names;
}

std::vector<std::string> names_of_commands(const CLI::App& app) {
    std::vector<std::string> names;
    for (const CLI::App* command : app.get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); }))
        names.push_back(command->get_name());
    return names;
}

}  // namespace

const std::vector<std::string>& log_levels() {
    static const std::vector<std::string> kLevels{"trace", "debug", "info", "warn", "error", "off"};
    return kLevels;
}

void add_common(CLI::App& app, CommonFlags& flags) {
    app.add_option("--config", flags.config, "Configuration file, instead of ROCFORGE_CONFIG")->type_name("FILE");
    add_value(app, "--log", flags.log, parse_log_level, "LEVEL", "What is logged to stderr: trace, debug, info, warn, error, off (ROCFORGE_LOG)");
}

void add_rules(CLI::App& app, Rules& rules) {
    add_value(app, "--causal", rules.causal, parse_causal, "RULE", "none, top-left (keep j <= i) or bottom-right (keep j <= i + len_kv - len_q)");
    add_value(app, "--align", rules.align, parse_diagonal, "CORNER", "Diagonal of windows and ALiBi without a causal rule: top-left or bottom-right");
    add_value(app, "--window-left", rules.window_left, parse_window, "N", "Keep keys at most N left of the diagonal; -1: all");
    add_value(app, "--window-right", rules.window_right, parse_window, "N", "Keep keys at most N right of the diagonal; -1: all");
    add_value(app, "--scale", rules.scale, parse_finite, "X", "Factor of q.k; unset: 1/sqrt(dim)");
    add_value(app, "--softcap", rules.softcap, parse_softcap, "X", "s = X * tanh(s / X); 0: off");
    add_value(app, "--dropout", rules.dropout_p, parse_probability, "P", "Probability in [0, 1) of dropping a weight");
    app.add_flag("--lse", rules.lse, "Also the natural logarithm of the softmax's denominator");
}

std::string command_named(const CLI::App& app) {
    const CLI::App& command = innermost(app);
    return command.get_parent() ? command.get_name() : "";
}

Quit usage_error(const CLI::App& app, const CLI::ParseError& error) {
    const CLI::App& command = innermost(app);
    const std::string name = command.get_parent() ? "rocforge " + command.get_name() : "rocforge";
    const auto quit = [&](const std::string& text) {
        return Quit(Status::kUsage, fmt::format("{}{} See {} --help", text, text.ends_with('?') ? "" : ".", name));
    };
    const std::vector<std::string> known = names_of_commands(app), unread = app.remaining(true);
    if (!unread.empty()) {
        const std::string& word = unread.front();
        const std::string flag = word.substr(0, word.find('='));
        const std::vector<std::string> flags = names_of_flags(command);
        if (std::find(flags.begin(), flags.end(), flag) != flags.end())
            return quit(fmt::format("'{}' belongs behind the command: {} COMMAND {}", flag, name, flag));
        if (word.starts_with('-')) return quit(fmt::format("unknown flag '{}'{}", flag, did_you_mean(flag, flags)));
        if (command.get_parent()) return quit(fmt::format("unexpected argument '{}'", word));
        return quit(fmt::format("unknown command '{}'; known are {}{}", word, fmt::join(known, ", "), did_you_mean(word, known)));
    }
    if (!command.get_parent()) return quit(fmt::format("a command is needed: {}", fmt::join(known, ", ")));
    const std::string what = error.what();
    const bool count = dynamic_cast<const CLI::ArgumentMismatch*>(&error) != nullptr;
    return quit(count ? what.substr(0, what.find(':')) + " takes one value and stands once" : what);
}

}  // namespace rocforge::cli
