// See library.h.
#include "kernels/platform/library.h"

#include <dlfcn.h>

#include "kernels/platform/error.h"

namespace rocforge::platform {
namespace {

// "libamdhip64.so.7, .6, .5": later names without what they share with the first.
std::string joined(std::span<const char* const> names) {
    std::string text = names.front();
    const std::size_t shared = text.rfind('.');
    for (const char* name : names.subspan(1)) text += ", " + std::string(name).substr(shared);
    return text;
}

// The loader's own word on a library that is not there at all; anything else (a dependency that is missing, a damaged file) says more.
bool plainly_absent(const std::string& error, const char* name) { return error.starts_with(std::string(name) + ": cannot open shared object file"); }

}  // namespace

Library::Library(const char* who, std::span<const char* const> names) {
    // A host that uses the GPU has its runtime loaded: its pointers mean nothing to a second one of another version.
    for (const int flags : {RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD, RTLD_NOW | RTLD_LOCAL}) {
        std::string reason;
        for (const char* name : names) {
            handle_ = ::dlopen(name, flags);
            if (handle_) {
                name_ = name;
                return;
            }
            const char* text = ::dlerror();
            const std::string error = text ? text : "";
            if (reason.empty() || (plainly_absent(reason, names.front()) && !plainly_absent(error, name))) reason = error;
        }
        if (!(flags & RTLD_NOLOAD))
            throw Error(Fault::unavailable, 0, "no " + std::string(who) + ": " + joined(names) + " not found (" + reason + ")");
    }
}

void* Library::address(const char* symbol) const { return ::dlsym(handle_, symbol); }

void* Library::required(const char* symbol) const {
    if (void* found = address(symbol)) return found;
    throw Error(Fault::unavailable, 0, name_ + " lacks " + symbol + ": it is too old, or no GPU runtime");
}

}  // namespace rocforge::platform
