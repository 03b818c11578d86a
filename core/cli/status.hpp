// The program's exit statuses, on which scripts rely, and the one exception that carries a failure to main().
#pragma once

#include <rocforge/rocforge.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rocforge::cli {

enum class Status : std::int32_t {
    kDone = 0,
    kUsage = 2,        // bad usage, input or configuration
    kUnsupported = 3,  // no backend supports the problem
    kBackend = 4,      // the backend failed or is unavailable
    kFile = 5,         // a file cannot be opened, read or written
    kInterrupted = 130
};

class Quit : public std::runtime_error {
public:
    // `lines` follow the message for people; `details` are members that the error object of --json carries besides status and message.
    Quit(Status status, const std::string& message, std::vector<std::string> lines = {},
         nlohmann::ordered_json details = nlohmann::ordered_json::object())
        : std::runtime_error(message), status_(status), lines_(std::move(lines)), details_(std::move(details)) {}
    Status status() const noexcept { return status_; }
    const std::vector<std::string>& lines() const noexcept { return lines_; }
    const nlohmann::ordered_json& details() const noexcept { return details_; }

private:
    Status status_;
    std::vector<std::string> lines_;
    nlohmann::ordered_json details_;
};

// The library's error struct, made ready to be filled.
struct LibraryError : rf_error {
    LibraryError() : rf_error{} { struct_size = sizeof(rf_error); }
};

Status status_of(rf_code code) noexcept;

// The library's text in this program's words: what it calls its caller's choice is the flag --backend here.
std::string in_words_of_flags(std::string text);

// Throws Quit with the library's message unless `code` is RF_OK.
void check(rf_code code, const LibraryError& error);

}  // namespace rocforge::cli
