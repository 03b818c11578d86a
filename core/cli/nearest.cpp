#include "nearest.hpp"

#include <algorithm>
#include <cstddef>

namespace rocforge::cli {
namespace {

// Insertions, deletions, replacements and swaps of neighbours, each counting 1.
std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
    for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, replaced});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[a.size()][b.size()];
}

}  // namespace

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
    word = word.substr(0, 64);  // no name is longer, and the table above is quadratic
    std::size_t best = std::max<std::size_t>(2, word.size() / 3) + 1;
    const std::string* closest = nullptr;
    for (const std::string& name : known) {
        const std::size_t distance = edit_distance(word, name);
        if (distance < best) {
            best = distance;
            closest = &name;
        }
    }
    return closest ? "; did you mean '" + *closest + "'?" : "";
}

}  // namespace rocforge::cli
