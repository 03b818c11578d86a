// Which items `rocforge verify` runs, as its parent and each of its children work out for themselves from the same words, and those words. Runs
// nothing.
#include <fmt/format.h>

#include <sstream>

#include "text/text.hpp"
#include "verify.hpp"

namespace rocforge::cli {
namespace {

using conformance::Item;

// Each glob that names cases has to find some, so that a slip in one of several does not pass for a run without failures.
void demand_matches(const VerifyFlags& flags, const std::vector<Item>& all) {
    std::istringstream globs(flags.cases);
    for (std::string glob; std::getline(globs, glob, ',');) {
        if (glob.empty() || glob.starts_with('!') || !conformance::chosen(all, glob).empty()) continue;
        const std::vector<Item> of_full = conformance::items(conformance::Level::full, flags.seed);
        if (const std::size_t more = conformance::chosen(of_full, glob).size())
            throw Quit(Status::kUsage, fmt::format("--case: '{}' matches no case of level quick; {} of level full: add --level full", glob, more));
        std::vector<std::string> names;
        names.reserve(of_full.size());
        for (const Item& item : of_full) names.push_back(item.name);
        throw Quit(Status::kUsage,
                   fmt::format("--case: '{}' matches no case{}; rocforge verify --list prints them all", glob, did_you_mean(glob, names)));
    }
}

}  // namespace

std::vector<Item> chosen_items(const VerifyFlags& flags) {
    std::vector<Item> all = conformance::items(flags.full() ? conformance::Level::full : conformance::Level::quick, flags.seed);
    demand_matches(flags, all);
    std::vector<Item> items = conformance::chosen(std::move(all), flags.cases);
    if (items.empty()) throw Quit(Status::kUsage, fmt::format("--case: '{}' leaves no case", flags.cases));
    return items;
}

std::vector<std::string> VerifyFlags::words(const std::string& case_globs) const {
    std::vector<std::string> all{"rocforge", "verify"};
    const auto add = [&](const char* flag, const std::string& value) {
        if (!value.empty()) all.insert(all.end(), {flag, value});
    };
    if (!target.empty()) all.push_back(target.starts_with('-') ? "./" + target : target);  // a file, and no flag
    add("--backend", backend);
    add("--device", device);
    if (full()) add("--level", level);
    if (seed != kDefaultSeed) add("--seed", std::to_string(seed));
    if (timeout_s != kDefaultTimeoutSeconds) add("--timeout", std::to_string(timeout_s));
    add("--case", case_globs);
    add("--config", common.config);
    add("--log", common.log);
    return all;
}

}  // namespace rocforge::cli
