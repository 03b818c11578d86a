#include "terminal.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>

namespace rocforge::cli {
namespace {

// Characters, not bytes: a continuation byte of UTF-8 takes no column.
std::size_t columns(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

Terminal::Terminal(std::FILE* stream) : stream_(stream), terminal_(::isatty(::fileno(stream)) == 1) {
    const char* no_color = std::getenv("NO_COLOR");
    colour_ = terminal_ && !(no_color && *no_color);
}

// Never throws: what could not be written is seen when the stream is flushed, and a failure has to be reported without a second one.
void Terminal::line(std::string_view text) const {
    std::fwrite(text.data(), 1, text.size(), stream_);
    std::fputc('\n', stream_);
}

void Terminal::lines(const std::vector<std::string>& texts) const {
    for (const std::string& text : texts) line(text);
}

std::string Terminal::paint(Colour colour, std::string_view text) const {
    static constexpr std::array<const char*, 6> kCodes{"0", "1", "2", "31", "32", "33"};
    if (!colour_ || colour == Colour::kNone) return std::string(text);
    return fmt::format("\033[{}m{}\033[0m", kCodes[static_cast<std::size_t>(colour)], text);
}

void Terminal::progress(std::string_view text) const {
    if (!terminal_) return;
    std::fputs(fmt::format("\r\033[K{}", text).c_str(), stream_);
    std::fflush(stream_);
}

void Table::print(const Terminal& terminal, std::string_view indent) const {
    std::vector<std::size_t> width;
    for (const auto& row : rows_) {
        width.resize(std::max(width.size(), row.size()));
        for (std::size_t i = 0; i < row.size(); ++i) width[i] = std::max(width[i], columns(row[i]));
    }
    for (const auto& row : rows_) {
        std::string text;
        for (std::size_t i = 0; i < row.size(); ++i) {
            const std::string gap(width[i] - columns(row[i]), ' ');
            const bool right = std::find(right_.begin(), right_.end(), i) != right_.end();
            text += right ? gap + row[i] : row[i] + gap;
            text += "  ";
        }
        text.erase(text.find_last_not_of(' ') + 1);
        terminal.line(std::string(indent) + (&row == &rows_.front() ? terminal.paint(Colour::kDim, text) : text));
    }
}

void print_json(const nlohmann::ordered_json& object) {
    // A path need not be UTF-8, JSON must be.
    const std::string text = object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
    Terminal(stdout).line(text);
    std::fflush(stdout);
}

std::string human_bytes(double bytes) {
    static constexpr std::array<const char*, 5> kUnits{"bytes", "KiB", "MiB", "GiB", "TiB"};
    std::size_t unit = 0;
    for (; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
    return unit == 0 ? fmt::format("{:.0f} bytes", bytes) : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

std::string human_us(double us) {
    if (us < 1e3) return fmt::format("{:.1f} us", us);
    if (us < 1e6) return fmt::format("{:.2f} ms", us / 1e3);
    return fmt::format("{:.2f} s", us / 1e6);
}

}  // namespace rocforge::cli
