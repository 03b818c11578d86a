// rocforge words: the manual page and the shells' completions, made from the command line's own table, so that they cannot disagree with it. A
// command for the build and for packagers: it is not listed in --help.
#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>

#include "flags.hpp"

namespace rocforge::cli {
namespace {

// A flag of a command as people type it.
struct Flag {
    std::string name, type, help;  // "--q", "BxHxSxD"; type is empty for a flag without a value
};

std::vector<Flag> flags_of(const CLI::App& command) {
    std::vector<Flag> out;
    for (const CLI::Option* option : command.get_options([](const CLI::Option* each) { return !each->get_group().empty(); })) {
        for (const std::string& name : option->get_lnames())
            out.push_back({"--" + name, option->get_items_expected_max() > 0 ? option->get_type_name() : "", option->get_description()});
    }
    return out;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
    const auto listed = [](const CLI::App* command) { return !command->get_group().empty(); };
    return app.get_subcommands(listed);
}

// `with` before each of the special characters.
std::string escaped(std::string_view text, std::string_view special, std::string_view with) {
    std::string out;
    for (const char c : text) {
        if (special.find(c) != std::string_view::npos) out += with;
        out += c;
    }
    return out;
}

// Within single quotes of sh and zsh.
std::string in_quotes(std::string_view text) {
    std::string out;
    for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
    return out;
}

std::string groff(std::string_view text) {
    std::string out;
    bool line_begins = true;
    for (const char c : text) {
        if (line_begins && (c == '.' || c == '\'')) out += "\\&";
        out += c == '\\' ? "\\e" : c == '-' ? "\\-" : std::string(1, c);
        line_begins = c == '\n';
    }
    return out;
}

void man_flags(std::string& page, const CLI::App& command) {
    for (const Flag& flag : flags_of(command))
        if (flag.name != "--help" || !command.get_parent())
            page +=
                fmt::format(".TP\n.B {}{}\n{}\n", groff(flag.name), flag.type.empty() ? "" : " \\fI" + groff(flag.type) + "\\fR", groff(flag.help));
}

std::string man(const CLI::App& app) {
    std::string page = fmt::format(".TH ROCFORGE 1 \"\" \"rocforge {}\"\n.SH NAME\nrocforge \\- {}\n.SH SYNOPSIS\n", rocforge_version(),
                                   groff(app.get_description()));
    page += ".B rocforge\n.I COMMAND\n[flags]\n.SH COMMANDS\n";
    for (const CLI::App* command : commands_of(app)) {
        std::string words;
        for (const CLI::Option* option : command->get_options([](const CLI::Option* each) { return each->get_positional(); }))
            words += " \\fI" + groff(option->get_name(true)) + "\\fR";
        page += fmt::format(".SS rocforge {}{}\n{}.\n", command->get_name(), words, groff(command->get_description()));
        man_flags(page, *command);
        if (!command->get_footer().empty()) page += fmt::format(".PP\n.nf\n{}\n.fi\n", groff(command->get_footer()));
    }
    page += ".SH FLAGS\n";
    man_flags(page, app);
    page += fmt::format(".SH FILES\n.nf\n{}\n.fi\n.SH ENVIRONMENT\n.nf\n{}\n.fi\n",
                        groff("/etc/rocforge/rocforge.toml\n$XDG_CONFIG_HOME/rocforge/rocforge.toml   settings; later files win, key by key\n"
                              "$XDG_DATA_HOME/rocforge/plugins           plugins that a user drops in"),
                        groff("ROCFORGE_CONFIG            configuration file\nROCFORGE_BACKEND           named choice of a backend\nROCFORGE_LOG     "
                              "          log level\n"
                              "ROCFORGE_ADD_PLUGIN_PATH   more folders of plugins\nROCFORGE_PLUGIN_PATH       folders in place of the usual ones\n"
                              "NO_COLOR                   no colours"));
    return page;
}

bool takes_file(const Flag& flag) { return flag.type == "FILE"; }

std::string bash(const CLI::App& app) {
    std::string names, cases;
    for (const CLI::App* command : commands_of(app)) {
        std::string flags, files;
        for (const Flag& flag : flags_of(*command)) {
            flags += " " + flag.name;
            if (takes_file(flag)) files += (files.empty() ? "" : "|") + flag.name;
        }
        names += " " + command->get_name();
        cases += fmt::format("        {}) flags='{}' files='{}' ;;\n", command->get_name(), flags.substr(1), files);
    }
    return fmt::format(R"(# bash completion of rocforge, made by `rocforge words bash`.
_rocforge() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} flags files
    if [ "$COMP_CWORD" -eq 1 ]; then
        mapfile -t COMPREPLY < <(compgen -W '{} --help --version' -- "$word")
        return
    fi
    case ${{COMP_WORDS[1]}} in
{}    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$word")
    elif [[ $before != -* || "|$files|" == *"|$before|"* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
    fi
}}
complete -F _rocforge rocforge
)",
                       names.substr(1), cases);
}

std::string zsh(const CLI::App& app) {
    std::string names, cases;
    const auto quoted = [](std::string_view text) { return in_quotes(escaped(text, "[]:\\", "\\")); };
    for (const CLI::App* command : commands_of(app)) {
        names += fmt::format("        '{}:{}'\n", command->get_name(), quoted(command->get_description()));
        cases += fmt::format("        {}) _arguments", command->get_name());
        for (const Flag& flag : flags_of(*command)) {
            cases += fmt::format(" \\\n            '{}[{}]{}'", flag.name, quoted(flag.help),
                                 flag.type.empty() ? "" : ":" + quoted(flag.type) + ":" + (takes_file(flag) ? "_files" : ""));
        }
        cases += " \\\n            '*:file:_files' ;;\n";
    }
    return fmt::format(R"(#compdef rocforge
# zsh completion of rocforge, made by `rocforge words zsh`.
_rocforge() {{
    local -a commands=(
{}    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    shift words
    (( CURRENT-- ))
    case $words[1] in
{}    esac
}}
_rocforge "$@"
)",
                       names, cases);
}

std::string fish(const CLI::App& app) {
    std::string out = "# fish completion of rocforge, made by `rocforge words fish`.\n";
    const auto quoted = [](std::string_view text) { return "'" + escaped(text, "\\'", "\\") + "'"; };
    for (const CLI::App* command : commands_of(app))
        out += fmt::format("complete -c rocforge -n __fish_use_subcommand -f -a {} -d {}\n", command->get_name(), quoted(command->get_description()));
    for (const CLI::App* command : commands_of(app)) {
        for (const Flag& flag : flags_of(*command))
            out += fmt::format("complete -c rocforge -n '__fish_seen_subcommand_from {}' -l {}{} -d {}\n", command->get_name(), flag.name.substr(2),
                               flag.type.empty()  ? ""
                               : takes_file(flag) ? " -r -F"
                                                  : " -x",
                               quoted(flag.help));
    }
    return out;
}

const std::map<std::string, std::function<std::string(const CLI::App&)>> kForms{{"man", man}, {"bash", bash}, {"zsh", zsh}, {"fish", fish}};

}  // namespace

Command add_words(CLI::App& app) {
    CLI::App* command = app.add_subcommand("words", "Print the manual page or a shell's completions")->group("");
    auto form = std::make_shared<std::string>();
    command->add_option("FORM", *form, "man, bash, zsh or fish")->required()->check(CLI::IsMember({"man", "bash", "zsh", "fish"}));
    return {command, [form, &app] {
                std::fputs(kForms.at(*form)(app).c_str(), stdout);
                return Status::kDone;
            }};
}

}  // namespace rocforge::cli
