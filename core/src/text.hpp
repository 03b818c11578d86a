// Small text helpers that several steps share: nearest name, glob, splitting. No I/O.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rocforge {

// The candidate closest to `word` by edit distance (adjacent swaps count once), or "" when none is within a third of its length (at least 2).
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);
// How a message on an unknown word goes on: "; did you mean 'x'?" or "."
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);
// A stranger's text as one line for a terminal: control characters become blanks.
std::string printable(std::string_view text);
// fnmatch's rules: *, ?, [abc].
bool glob_match(const std::string& pattern, const std::string& text);
// Parts between separators, empty ones kept.
std::vector<std::string> split(std::string_view text, char separator);

}  // namespace rocforge
