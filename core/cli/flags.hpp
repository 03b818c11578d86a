// What the commands' command lines share: flags with one parser and one error text each, and what a usage error says.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "problem.hpp"
#include "session.hpp"
#include "status.hpp"

namespace rocforge::cli {

// One command: its part of the command line, and what it does.
struct Command {
    CLI::App* app = nullptr;
    std::function<Status()> run;
};

// One file each.
Command add_run(CLI::App& app);
Command add_list(CLI::App& app);
Command add_explain(CLI::App& app);
Command add_doctor(CLI::App& app);
Command add_config(CLI::App& app);
Command add_bench(CLI::App& app);
Command add_verify(CLI::App& app);
Command add_new(CLI::App& app);
Command add_words(CLI::App& app);

// A flag whose text `parse` turns into a value; what parse throws becomes "--flag: ...".
template <class Target, class Value>
CLI::Option* add_value(CLI::App& app, const std::string& name, Target& target, Value (*parse)(std::string_view), const std::string& type,
                       const std::string& help) {
    const auto set = [name, parse, &target](const std::string& text) {
        try {
            target = parse(text);
        } catch (const std::invalid_argument& wrong) { throw CLI::ValidationError(name, wrong.what()); }
    };
    return app.add_option_function<std::string>(name, set, help)->type_name(type);
}

// Of --log; RF_LOG_* are the indices.
const std::vector<std::string>& log_levels();

// --config and --log.
void add_common(CLI::App& app, CommonFlags& flags);
// --causal, --align, --window-left, --window-right, --scale, --softcap, --dropout, --lse.
void add_rules(CLI::App& app, Rules& rules);

// "run": the command that the line named, "" where it named none.
std::string command_named(const CLI::App& app);
// The status 2 of a command line that does not parse, naming the nearest flag or command.
Quit usage_error(const CLI::App& app, const CLI::ParseError& error);

}  // namespace rocforge::cli
