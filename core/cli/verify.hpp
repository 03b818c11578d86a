// What the parts of `rocforge verify` share: what was asked for, and what became of each case. The parent process chooses the items, hands them to
// children and reports what they tell; it never loads the plugin. A child loads it, runs items and judges them: what a plugin does to its process
// is a finding of the item that it was at. Only a child that dies or exceeds the time limit is judged by the parent.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "conformance/suite.h"
#include "session.hpp"

namespace rocforge::cli {

constexpr std::uint64_t kDefaultSeed = 1;
constexpr std::int64_t kDefaultTimeoutSeconds = 120;

struct VerifyFlags {
    CommonFlags common;
    std::string target;  // a plugin file, or a backend's name
    std::string backend, device, cases, junit;
    std::string level = "quick";
    std::uint64_t seed = kDefaultSeed;
    std::int64_t jobs = 0;  // 0: as many as there are processors, 8 at most
    std::int64_t timeout_s = kDefaultTimeoutSeconds;
    bool list = false, json = false;
    std::string child;  // "BEGIN:END" of the items that a child runs

    bool full() const { return level == "full"; }
    // Is the target a file? A backend's name has neither dots nor slashes, and begins with a letter.
    bool of_file() const { return target.starts_with('-') || target.find_first_of("./") != std::string::npos; }
    // The flags that say what is verified and how, for a child's command line and for a reproduce line.
    std::vector<std::string> words(const std::string& case_globs) const;
};

// The items of the level that --case leaves, in order: the same in the parent and in each child, so that a child is told indices alone. Throws Quit
// where it leaves none, or where one of several globs matches none.
std::vector<conformance::Item> chosen_items(const VerifyFlags& flags);

// What became of one item.
struct Finding {
    std::string name;  // under which it was run: another than the item's where its type was changed for this backend
    conformance::Outcome outcome = conformance::Outcome::passed;
    std::optional<double> max_error, tolerance;  // where values were compared
    bool by_values = false;
    double seconds = 0;
    std::string why;
};

// The backend that the children found.
struct Found {
    std::string backend, version, device, arch;
    bool approximate = false;
};

// Runs the items of "BEGIN:END" and tells the parent, through descriptor 3.
Status run_verify_child(const VerifyFlags& flags);

// The items run by children, as many at a time as --jobs says.
struct Run {
    Found found;
    std::vector<std::optional<Finding>> findings;  // by item; none: not run
    bool interrupted = false;
    std::string given_up;  // why the rest was not run, or ""
};
// Called as each item ends: how many are done, how many of them failed, and the name of this one.
using TellProgress = std::function<void(std::size_t done, std::size_t failed, const std::string& name)>;
// Throws Quit with what a child could not begin for.
Run run_verify_children(const VerifyFlags& flags, const std::vector<conformance::Item>& items, const TellProgress& tell);

}  // namespace rocforge::cli
