#include "status.hpp"

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

void check(rf_code code, const LibraryError& error) {
    if (code == RF_OK) return;
    const std::string message = error.message[0] ? error.message : std::string("the library failed with ") + rocforge_code_name(code);
    throw Quit(status_of(code), message);
}

}  // namespace rocforge::cli
