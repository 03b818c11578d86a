// What people see: colour where it is wanted, tables, progress. With --json people's text goes to stderr and stdout holds JSON alone.
#pragma once

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace rocforge::cli {

enum class Colour { kNone, kBold, kDim, kRed, kGreen, kYellow };

// A stream for people. Colours it only where it is a terminal and NO_COLOR is unset or empty.
class Terminal {
public:
    explicit Terminal(std::FILE* stream);
    // People's stream of a command: stdout, or stderr when --json takes stdout.
    static Terminal for_people(bool json) { return Terminal(json ? stderr : stdout); }

    void line(std::string_view text = {}) const;
    void lines(const std::vector<std::string>& texts) const;
    std::string paint(Colour colour, std::string_view text) const;
    void heading(std::string_view text) const { line(paint(Colour::kBold, text)); }
    bool is_terminal() const noexcept { return terminal_; }
    // Shows `text` in place of the last such text; "" clears it. Nothing where the stream is no terminal.
    void progress(std::string_view text) const;

private:
    std::FILE* stream_;
    bool terminal_, colour_;
};

// Rows under a heading, columns as wide as their widest cell. Columns named in `right` are flush right.
class Table {
public:
    explicit Table(std::vector<std::string> header, std::vector<std::size_t> right = {}) : right_(std::move(right)), rows_{std::move(header)} {}
    void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
    void print(const Terminal& terminal, std::string_view indent = "  ") const;

private:
    std::vector<std::size_t> right_;
    std::vector<std::vector<std::string>> rows_;
};

// One object on stdout, on one line.
void print_json(const nlohmann::ordered_json& object);

// "1.5 GiB"
std::string human_bytes(double bytes);
// "12.3 us", "4.56 ms", "7.89 s"
std::string human_us(double us);

}  // namespace rocforge::cli
