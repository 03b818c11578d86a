// "Did you mean": the known name closest to a mistyped one. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rocforge::cli {

// "; did you mean 'X'?" for the closest of `known` by edit distance, or "" when none is within a third of the word's length (at least 2).
std::string did_you_mean(std::string_view word, const std::vector<std::string>& known);

}  // namespace rocforge::cli
