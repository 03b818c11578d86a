// Names chosen by globs, as `rocforge verify --case` and the tests' filters write them: '*' and '?' alone are special, unlike in the configuration's
// plugins.disable and plugins.only, which follow fnmatch.
#ifndef ROCFORGE_CONFORMANCE_GLOB_H
#define ROCFORGE_CONFORMANCE_GLOB_H

#include <string_view>

namespace rocforge::conformance {

bool matches(std::string_view glob, std::string_view name);
// Does one of comma-separated globs match, and none of those behind '!'? Where every glob is behind '!', or there is none, the rest matches.
bool matches_any(std::string_view globs, std::string_view name);

}  // namespace rocforge::conformance
#endif
