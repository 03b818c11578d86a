#include "matrix.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <bit>
#include <map>
#include <numeric>
#include <utility>

#include "names.hpp"
#include "problem.hpp"

namespace rocforge::cli {
namespace {

constexpr std::array<const char*, 7> kDevices{"cpu", "gfx90a", "gfx942", "gfx1100", "gfx1201", "sm_80", "sm_90"};
constexpr std::array<std::pair<const char*, rf_dtype>, 3> kTypes{{{"f16", kF16}, {"bf16", kBF16}, {"f32", kF32}}};
constexpr std::int64_t kMostDim = 1024;

// The plainest problem of its type, and what a probe changes about it.
struct Probe {
    Extents extents{.batch = 2, .head_q = 8, .head_kv = 8, .seq_q = 128, .seq_kv = 128, .dim = 128, .dim_v = 128};
    Rules rules;
};

// The least that uses a feature. Where a feature is a choice among types, there is a probe for each: one that runs is enough.
struct FeatureProbe {
    rf_features feature;
    void (*change)(Probe&);
};
constexpr FeatureProbe kProbes[] = {
    {RF_F_CAUSAL, [](Probe& p) { p.rules.causal = Causal::kTopLeft; }},
    {RF_F_BOTTOM_RIGHT, [](Probe& p) { p.rules.causal = Causal::kBottomRight; }},
    {RF_F_WINDOW, [](Probe& p) { p.rules.window_left = 32; }},
    {RF_F_GROUPED_HEADS, [](Probe& p) { p.extents.head_kv = 2; }},
    {RF_F_MASK_BOOL, [](Probe& p) { p.extents.mask = kBool; }},
    {RF_F_MASK_ADD, [](Probe& p) { p.extents.mask = kF32; }},
    {RF_F_MASK_ADD, [](Probe& p) { p.extents.mask = kF16; }},
    {RF_F_MASK_ADD, [](Probe& p) { p.extents.mask = kBF16; }},
    {RF_F_ALIBI, [](Probe& p) { p.extents.alibi = true; }},
    {RF_F_SOFTCAP, [](Probe& p) { p.rules.softcap = 30; }},
    {RF_F_SINK, [](Probe& p) { p.extents.sink = true; }},
    {RF_F_KV_LENGTHS, [](Probe& p) { p.extents.kv_lengths = true; }},
    {RF_F_RAGGED_Q, [](Probe& p) { p.extents.ragged = p.extents.kv_lengths = true; }},
    {RF_F_PAGED_KV, [](Probe& p) { p.extents.page_size = 64; }},
    {RF_F_LSE, [](Probe& p) { p.rules.lse = true; }},
    {RF_F_DIM_V, [](Probe& p) { p.extents.dim_v = 64; }},
    {RF_F_DROPOUT, [](Probe& p) { p.rules.dropout_p = 0.125f; }},
    {RF_F_DETERMINISTIC, [](Probe& p) { p.extents.deterministic = true; }},
    {RF_F_KV_DTYPE, [](Probe& p) { p.extents.kv_dtype = kF32; }},
    {RF_F_KV_DTYPE, [](Probe& p) { p.extents.kv_dtype = kF16; }},
    {RF_F_KV_DTYPE, [](Probe& p) { p.extents.kv_dtype = kBF16; }},
    {RF_F_KV_SCALES, [](Probe& p) { p.extents.scale_group = 128; }},
    {RF_F_RAGGED_KV, [](Probe& p) { p.extents.ragged = true; }},
    {RF_F_DIAGONAL, [](Probe& p) { p.rules.causal = Causal::kTopLeft, p.extents.diagonal = 16; }},
    {RF_F_OUT_DTYPE, [](Probe& p) { p.extents.out_dtype = kF32; }},
    {RF_F_OUT_DTYPE, [](Probe& p) { p.extents.out_dtype = kF16; }},
    {RF_F_OUT_DTYPE, [](Probe& p) { p.extents.out_dtype = kBF16; }},
};
constexpr std::uint32_t kFeatureCount = std::popcount(RF_F_ALL);
constexpr rf_features probed() {
    rf_features all = 0;
    for (const FeatureProbe& probe : kProbes) all |= probe.feature;
    return all;
}
static_assert(probed() == RF_F_ALL, "a feature without a probe");

// Another type than the problem's own is a feature; its own is none.
bool uses_nothing(const Probe& probe, rf_dtype dtype) { return same(probe.extents.kv_dtype, dtype) || same(probe.extents.out_dtype, dtype); }

rf_problem problem_of(Probe probe, rf_dtype dtype) {
    probe.extents.dtype = dtype;
    return problem_of(probe.extents, probe.rules);
}

// Whether each backend of the device's kind runs a problem, in the order of registration.
struct Answer {
    bool runs = false, built = true;
};

Answer answer_of(const Candidate& candidate) {
    const auto not_built = [](const Reason& reason) { return reason.code == rocforge_reason_name(RF_R_NOT_BUILT); };
    const bool built = std::none_of(candidate.reasons.begin(), candidate.reasons.end(), not_built);
    return {candidate.supported || (!built && std::all_of(candidate.reasons.begin(), candidate.reasons.end(), not_built)), built};
}

class Asked {
public:
    Asked(rocforge_context* context, const rf_device& device) : context_(context), device_(device) {}
    Answer operator()(const std::string& backend, const Probe& probe, rf_dtype dtype) {
        for (const Candidate& candidate : select(context_, device_, problem_of(probe, dtype), "").candidates) {
            if (candidate.name != backend || candidate.device_kind != device_.kind) continue;
            for (const Reason& reason : candidate.reasons)
                if (reason.code == rocforge_reason_name(RF_R_FAULT)) ++faults_[describe(reason)];
            return answer_of(candidate);
        }
        return {};
    }
    // What was answered against the contract, and how often.
    const std::map<std::string, int>& faults() const noexcept { return faults_; }

private:
    std::map<std::string, int> faults_;
    rocforge_context* context_;
    const rf_device& device_;
};

Support support_of(rocforge_context* context, const rf_device& device, const std::string& backend) {
    Support out{.backend = backend, .device_kind = device.kind, .devices = {device_name(device)}};
    Asked asked(context, device);
    // The type in which features and dims are asked: the first that any of them is answered in.
    const rf_dtype* base = nullptr;
    for (const auto& [name, dtype] : kTypes) {
        const Answer plain = asked(backend, {}, dtype);
        if (!plain.built) out.not_built = out.devices;
        if (plain.runs) out.dtypes.emplace_back(name);
        if (plain.runs && !base) base = &dtype;
    }
    if (!base) base = &kTypes.back().second;
    for (std::uint32_t bit = 0; bit < kFeatureCount; ++bit) {
        const bool runs = std::any_of(std::begin(kProbes), std::end(kProbes), [&](const FeatureProbe& one) {
            Probe probe;
            one.change(probe);
            return one.feature == rf_features{1} << bit && !uses_nothing(probe, *base) && asked(backend, probe, *base).runs;
        });
        if (runs) out.features.emplace_back(rocforge_feature_name(bit));
    }
    for (std::int64_t dim = 1; dim <= kMostDim; ++dim) {
        Probe probe;
        probe.extents.dim = probe.extents.dim_v = dim;
        if (asked(backend, probe, *base).runs) out.head_dims.push_back(dim);
    }
    for (const auto& [fault, times] : asked.faults())
        out.faults.push_back(
            fmt::format("{} on {} broke its contract at {} problems, taken as refused. {}", backend, out.devices.front(), times, fault));
    return out;
}

// "8 to 256 by 8"
std::string dims_text(const std::vector<std::int64_t>& dims) {
    if (dims.empty()) return "";
    if (dims.size() == 1) return std::to_string(dims[0]);
    std::int64_t step = dims[1] - dims[0];
    for (std::size_t n = 1; n < dims.size(); ++n) step = std::gcd(step, dims[n] - dims[n - 1]);
    const bool whole = static_cast<std::int64_t>(dims.size()) == (dims.back() - dims.front()) / step + 1;
    const std::string most = dims.back() == kMostDim ? fmt::format("{} or more", kMostDim) : std::to_string(dims.back());
    return whole ? fmt::format("{} to {}{}", dims.front(), most, step > 1 ? fmt::format(" by {}", step) : "")
                 : fmt::format("{}", fmt::join(dims, ", "));
}

bool holds(const std::vector<std::string>& words, const std::string& word) { return std::find(words.begin(), words.end(), word) != words.end(); }

}  // namespace

std::vector<Support> support_matrix(rocforge_context* context, const std::string& device) {
    std::vector<std::string> names{device};
    if (device.empty()) names.assign(kDevices.begin(), kDevices.end());
    std::vector<Support> out;
    for (const auto& backend : collect<rocforge_backend_info>(context, rocforge_backend)) {
        const std::size_t first = out.size();
        for (const std::string& name : names) {
            rf_device found{};
            found.struct_size = sizeof found;
            LibraryError error;
            const rf_code code = rocforge_find_device(context, name.c_str(), nullptr, &found, &error);
            if (code != RF_OK && !device.empty()) check(code, error);
            if (code != RF_OK || found.kind != backend.device_kind) continue;
            Support support = support_of(context, found, backend.name);
            const auto equal = std::find_if(out.begin() + static_cast<std::ptrdiff_t>(first), out.end(), [&](const Support& other) {
                return other.dtypes == support.dtypes && other.features == support.features && other.head_dims == support.head_dims;
            });
            if (equal == out.end()) {
                out.push_back(std::move(support));
                continue;
            }
            equal->devices.push_back(support.devices.front());
            equal->not_built.insert(equal->not_built.end(), support.not_built.begin(), support.not_built.end());
            equal->faults.insert(equal->faults.end(), support.faults.begin(), support.faults.end());
        }
    }
    return out;
}

namespace {

struct FeatureRow {
    std::vector<std::string> features;
    std::vector<bool> cells;  // by column
};

// Features that every column answers alike share a row.
std::vector<FeatureRow> rows_of_features(const std::vector<Support>& matrix) {
    std::vector<FeatureRow> rows;
    for (std::uint32_t bit = 0; bit < kFeatureCount; ++bit) {
        const std::string feature = rocforge_feature_name(bit);
        std::vector<bool> cells;
        cells.reserve(matrix.size());
        for (const Support& support : matrix) cells.push_back(holds(support.features, feature));
        const auto equal = std::find_if(rows.begin(), rows.end(), [&](const FeatureRow& row) { return row.cells == cells; });
        if (equal == rows.end())
            rows.push_back({{feature}, cells});
        else
            equal->features.push_back(feature);
    }
    return rows;
}

}  // namespace

std::string to_markdown(const std::vector<Support>& matrix) {
    std::string out = "|", rule = "|---|";
    const auto row = [&](const std::string& name, const auto& cell) {
        out += fmt::format("| {} |", name);
        for (const Support& support : matrix) {
            const std::string text = cell(support);
            out += text.empty() ? " |" : fmt::format(" {} |", text);
        }
        out += '\n';
    };
    out += " |";
    for (const Support& support : matrix) {
        out += fmt::format(" {} on {} |", support.backend, fmt::join(support.devices, ", "));
        rule += "---|";
    }
    out += "\n" + rule + "\n";
    row("dtypes", [](const Support& support) { return fmt::format("{}", fmt::join(support.dtypes, ", ")); });
    row("head dims", [](const Support& support) { return dims_text(support.head_dims); });
    for (const auto& [features, cells] : rows_of_features(matrix)) {
        std::size_t column = 0;
        row(fmt::format("{}", fmt::join(features, ", ")), [&column, &yes = cells](const Support&) { return yes[column++] ? "yes" : ""; });
    }
    std::vector<std::string> missing;
    for (const Support& support : matrix) {
        if (!support.not_built.empty()) missing.push_back(fmt::format("{} for {}", support.backend, fmt::join(support.not_built, ", ")));
    }
    if (!missing.empty()) out += fmt::format("\nJudged as if built, but these files hold no code: {}.\n", fmt::join(missing, "; "));
    return out;
}

nlohmann::ordered_json to_json(const std::vector<Support>& matrix) {
    nlohmann::ordered_json columns = nlohmann::ordered_json::array();
    for (const Support& support : matrix)
        columns.push_back({{"backend", support.backend},
                           {"device_kind", rocforge_kind_name(support.device_kind)},
                           {"devices", support.devices},
                           {"not_built", support.not_built},
                           {"dtypes", support.dtypes},
                           {"head_dims", support.head_dims},
                           {"features", support.features}});
    return {{"matrix", std::move(columns)}};
}

}  // namespace rocforge::cli
