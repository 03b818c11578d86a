#include "glob.h"

namespace rocforge::conformance {

// Greedy with one place to come back to, the last '*': linear in practice, and no input makes it recurse.
bool matches(std::string_view glob, std::string_view name) {
    std::size_t g = 0, n = 0, star = std::string_view::npos, resume = 0;
    while (n < name.size()) {
        if (g < glob.size() && glob[g] == '*') {
            star = g++, resume = n;
        } else if (g < glob.size() && (glob[g] == '?' || glob[g] == name[n])) {
            ++g, ++n;
        } else if (star != std::string_view::npos) {
            g = star + 1, n = ++resume;
        } else {
            return false;
        }
    }
    return glob.find_first_not_of('*', g) == std::string_view::npos;
}

bool matches_any(std::string_view globs, std::string_view name) {
    bool taken = false, wanted = false;
    for (std::size_t comma = 0; comma != std::string_view::npos && !globs.empty();
         globs.remove_prefix(comma == std::string_view::npos ? 0 : comma + 1)) {
        comma = globs.find(',');
        const std::string_view glob = globs.substr(0, comma);
        if (glob.starts_with('!')) {
            if (matches(glob.substr(1), name)) return false;
            continue;
        }
        wanted = true;
        taken = taken || matches(glob, name);
    }
    return taken || !wanted;
}

}  // namespace rocforge::conformance
