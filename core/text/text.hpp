// Small text helpers that the library and the program share, each with a copy of its own: nearest name, a stranger's text on one
// line, glob, splitting. No I/O.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rocforge {

// How a message on an unknown word goes on: "; did you mean 'x'?" with the candidate closest by edit distance (adjacent swaps count once), or
// `otherwise` when none is within a third of the word's length (at least 2).
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates, std::string_view otherwise = "");
// A stranger's text as one line for a terminal: control characters, those of Unicode in UTF-8 too, become blanks.
std::string printable(std::string_view text);
// Patterns as a shell reads them, by fnmatch: *, ?, [abc], and \ before what is meant as it stands. For names of files and backends in the
// configuration; cases are named by conformance/glob.h, to which brackets and \ are letters like any other.
bool glob_match(const std::string& pattern, const std::string& text);
// Parts between separators, empty ones kept.
std::vector<std::string> split(std::string_view text, char separator);

}  // namespace rocforge
