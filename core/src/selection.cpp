#include "selection.hpp"

#include "text/text.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace rocforge {
namespace {

std::int64_t number(const Facts& facts, const std::string& field) {
    if (field == "batch") return facts.batch;
    if (field == "head_q") return facts.head_q;
    if (field == "head_kv") return facts.head_kv;
    if (field == "head_dim") return facts.head_dim;
    if (field == "dim_v") return facts.dim_v;
    if (field == "seq_q") return facts.seq_q;
    if (field == "seq_kv") return facts.seq_kv;
    if (field == "causal") return facts.causal;
    if (field == "paged") return facts.paged;
    return facts.ragged;
}

bool holds(const Condition& condition, const Facts& facts) {
    if (!condition.words.empty()) {
        const std::string& have = condition.field == "device" ? facts.device : condition.field == "arch" ? facts.arch : facts.dtype;
        const std::string base = have.substr(0, have.find(':'));  // "gfx942" names "gfx942:sramecc+:xnack-"
        return std::any_of(condition.words.begin(), condition.words.end(), [&](const std::string& word) { return word == have || word == base; });
    }
    const std::int64_t have = number(facts, condition.field);
    if (!condition.numbers.empty()) return std::find(condition.numbers.begin(), condition.numbers.end(), have) != condition.numbers.end();
    return (!condition.min || have >= *condition.min) && (!condition.max || have <= *condition.max);
}

bool holds(const Rule& rule, const Facts& facts) {
    return std::all_of(rule.when.begin(), rule.when.end(), [&](const Condition& condition) { return holds(condition, facts); });
}

constexpr std::size_t kNone = static_cast<std::size_t>(-1);

std::size_t find(std::span<const Candidate> candidates, const std::string& name, std::int32_t kind) {
    for (std::size_t i = 0; i < candidates.size(); ++i)
        if (candidates[i].name == name && (kind == 0 || candidates[i].kind == kind)) return i;
    return kNone;
}

}  // namespace

std::vector<Named> named_choices(const Config& config, const Facts& facts, const std::string& from_api, const std::string& from_environment) {
    std::vector<Named> out;
    if (!from_api.empty()) out.push_back({from_api, "the caller's choice"});
    if (!from_environment.empty()) out.push_back({from_environment, "ROCFORGE_BACKEND"});
    const auto rule = std::find_if(config.rules.value.begin(), config.rules.value.end(), [&](const Rule& r) { return holds(r, facts); });
    if (rule != config.rules.value.end()) out.push_back({rule->use, "select.rule, " + rule->origin});
    for (const std::string& kind : {facts.device, std::string()}) {
        const auto preset = config.default_backend.find(kind);
        if (preset != config.default_backend.end()) out.push_back({preset->second.value, "select.default, " + preset->second.origin});
    }
    return out;
}

std::vector<Ranked> spell_out(const std::vector<std::string>& order, std::span<const Candidate> candidates, std::int32_t kind) {
    const auto eligible = [kind](const Candidate& candidate) { return (kind == 0 || candidate.kind == kind) && !candidate.approximate; };
    std::vector<std::size_t> unnamed;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
        const bool named = std::find(order.begin(), order.end(), candidates[i].name) != order.end();
        if (!named && eligible(candidates[i])) unnamed.push_back(i);
    }
    std::sort(unnamed.begin(), unnamed.end(), [&](std::size_t a, std::size_t b) { return candidates[a].name < candidates[b].name; });

    std::vector<Ranked> out;
    for (const std::string& name : order) {
        if (name == "*") {
            for (const std::size_t i : unnamed) out.push_back({i, true});
            unnamed.clear();  // a second "*" stands for nothing
            continue;
        }
        for (std::size_t i = 0; i < candidates.size(); ++i)
            if (candidates[i].name == name && eligible(candidates[i])) out.push_back({i, false});
    }
    return out;
}

Decision choose(std::span<const Candidate> candidates, std::int32_t kind, const Policy& policy, const std::function<bool(std::size_t)>& supports) {
    Decision decision;
    std::size_t refused = kNone;
    for (const Named& named : policy.named) {
        const std::size_t i = find(candidates, named.backend, kind);
        if (i == kNone && find(candidates, named.backend, 0) != kNone) continue;  // registered for other kinds alone: does not apply
        decision.named = &named;
        decision.why = named.source;
        if (i == kNone) return decision.code = RF_NOT_FOUND, decision;
        if (supports(i)) return decision.code = RF_OK, decision.winner = i, decision;
        if (policy.fallback == Fallback::error) return decision;
        refused = i;
        break;
    }
    for (const Ranked& ranked : spell_out(policy.order, candidates, kind)) {
        if (ranked.candidate == refused || !supports(ranked.candidate)) continue;
        decision.code = RF_OK;
        decision.winner = ranked.candidate;
        decision.fell_back = refused != kNone;
        decision.why = decision.fell_back ? fmt::format("select.order, because '{}' ({}) refused", candidates[refused].name, decision.named->source)
                                          : "select.order, " + policy.order_origin;
        return decision;
    }
    if (refused == kNone) decision.why = "select.order, " + policy.order_origin;
    return decision;
}

}  // namespace rocforge
