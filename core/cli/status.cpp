#include "status.hpp"

#include <string_view>

namespace rocforge::cli {

Status status_of(rf_code code) noexcept {
    switch (code) {
        case RF_OK:
            return Status::kDone;
        case RF_INVALID:
        case RF_NOT_FOUND:
            return Status::kUsage;
        case RF_UNSUPPORTED:
            return Status::kUnsupported;
        default:
            return Status::kBackend;
    }
}

std::string in_words_of_flags(std::string text) {
    constexpr std::string_view kLibrary = "the caller's choice", kHere = "--backend";
    for (std::size_t at = 0; (at = text.find(kLibrary, at)) != std::string::npos; at += kHere.size()) text.replace(at, kLibrary.size(), kHere);
    return text;
}

void check(rf_code code, const LibraryError& error) {
    if (code == RF_OK) return;
    const std::string message = error.message[0] ? error.message : std::string("the library failed with ") + rocforge_code_name(code);
    throw Quit(status_of(code), in_words_of_flags(message));
}

}  // namespace rocforge::cli
