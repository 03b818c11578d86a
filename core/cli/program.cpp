#include "program.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "flags.hpp"
#include "safetensors.hpp"
#include "terminal.hpp"
#include "text/text.hpp"

namespace rocforge::cli {
namespace {

struct Failure {
    Status status;
    std::string message;
    std::vector<std::string> lines{};
    nlohmann::ordered_json details = nlohmann::ordered_json::object();
};

// To be called in a catch block.
Failure current_failure() {
    try {
        throw;
    } catch (const Quit& quit) { return {quit.status(), quit.what(), quit.lines(), quit.details()}; } catch (const safetensors::Error& error) {
        return {error.fault() == safetensors::Fault::kFile ? Status::kFile : Status::kUsage, error.what()};
    } catch (const std::bad_alloc&) { return {Status::kBackend, "out of host memory"}; } catch (const std::exception& error) {
        return {Status::kBackend, error.what()};
    }
}

int report(const Failure& failure, const std::string& command, bool json) {
    std::fflush(stdout);  // what the command said before stands before the failure
    const Terminal terminal(stderr);
    terminal.line(
        fmt::format("{} {}", terminal.paint(Colour::kRed, "rocforge" + (command.empty() ? "" : " " + command) + ":"), printable(failure.message)));
    terminal.lines(failure.lines);
    const int status = static_cast<int>(failure.status);
    if (!json) return status;
    nlohmann::ordered_json error{{"status", status}, {"message", failure.message}};
    error.update(failure.details);
    print_json({{"error", std::move(error)}});
    return status;
}

// Output that did not reach its file is a failure too: `rocforge list > /dev/full`.
Status flushed(Status status) {
    if (std::fflush(stdout) == 0 && !std::ferror(stdout)) return status;
    throw Quit(Status::kFile, "cannot write to standard output");
}

// The words of the command line, last one first as CLI11 takes them. `rocforge help [COMMAND]` stands for `rocforge [COMMAND] --help`.
std::vector<std::string> reversed_words(int argc, char** argv) {
    std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
    if (!words.empty() && words.front() == "help") {
        words.erase(words.begin());
        words.emplace_back("--help");
    }
    std::reverse(words.begin(), words.end());
    return words;
}

int run_one_command(int argc, char** argv) {
    CLI::App app{"Runs attention through backends that can be added, swapped and inspected", "rocforge"};
    app.set_version_flag("--version", fmt::format("rocforge {} (ABI {}.{})", rocforge_version(), RF_ABI_MAJOR, RF_ABI_MINOR));
    app.require_subcommand(1);
    app.footer(
        "Examples:\n  rocforge list\n  rocforge explain --q 1x16x4096x128 --causal top-left\n  rocforge run in.safetensors out.safetensors\n\n"
        "rocforge COMMAND --help shows a command's flags.");
    const std::vector<Command> commands{add_run(app),    add_list(app),   add_explain(app), add_bench(app), add_doctor(app),
                                        add_config(app), add_verify(app), add_new(app),     add_words(app)};
    const bool json = argc > 1 && std::any_of(argv + 1, argv + argc, [](const char* word) { return std::string_view(word) == "--json"; });
    std::string name;
    try {
        try {
            app.parse(reversed_words(argc, argv));
        } catch (const CLI::Success& help) {
            // `rocforge help rnu` asks for the help of a command that there is not, which the program's own would not answer.
            if (dynamic_cast<const CLI::CallForHelp*>(&help) && app.get_subcommands().empty() && !app.remaining(true).empty())
                throw usage_error(app, help);
            return app.exit(help);
        } catch (const CLI::ParseError& error) {
            name = command_named(app);
            throw usage_error(app, error);
        }
        const Command& command = *std::find_if(commands.begin(), commands.end(), [](const Command& one) { return one.app->parsed(); });
        name = command.app->get_name();
        return static_cast<int>(flushed(command.run()));
    } catch (...) { return report(current_failure(), name, json); }
}

}  // namespace

int run_program(int argc, char** argv) {
    // Where a standard stream is closed, the next file opened would get its number and what is meant for the stream.
    for (int stream = 0; stream <= 2; ++stream)
        if (::fcntl(stream, F_GETFD) < 0 && ::open("/dev/null", O_RDWR) != stream) return static_cast<int>(Status::kFile);
    try {
        return run_one_command(argc, argv);
    } catch (...) {  // only where making the command line or a failure's report failed itself, which is for want of memory
        std::fputs("rocforge: out of host memory\n", stderr);
        return static_cast<int>(Status::kBackend);
    }
}

}  // namespace rocforge::cli
