// Chooses the reference kernels' size and over how many blocks keys are split.
#include "kernels/reference/reference.h"

#include <algorithm>
#include <string>

#include "kernels/reference/tile.h"

namespace rocforge::kernels::reference {
namespace {

static_assert(kMaxDim == Wide::kMaxDim && kMaxDimV == Wide::kMaxDimV);

bool is_amd(Family family) { return family == Family::gfx9 || family == Family::gfx11 || family == Family::gfx12; }

std::int64_t slot_bytes(const Attention& a) { return slot_rows(a) * slot_floats(a) * std::int64_t{sizeof(float)}; }

// Enough blocks for a GPU: four fit into a compute unit of the smaller kernels, and some end early.
constexpr std::int64_t kBlocksPerUnit = 4;
// Below this a split's start and the combining cost more than its keys.
constexpr std::int64_t kMinKeysPerSplit = 256;

// No memory holds 2^60 rows: a problem that counts more is never run, and must only not overflow here.
std::int64_t items_within_reason(const Attention& a) {
    const double q_rows = a.ragged_q ? static_cast<double>(a.q_tokens) : static_cast<double>(a.batch) * static_cast<double>(a.max_seq_q);
    const double rows = static_cast<double>(a.head_q) * (q_rows + static_cast<double>(a.batch));
    return rows < 0x1p60 ? items_of(a) : kMaxGrid;
}

Cut cut_of(const Attention& a, std::int64_t items, const Machine& machine, std::uint64_t workspace_limit_bytes) {
    std::int64_t splits = std::min(std::int64_t{machine.compute_units} * kBlocksPerUnit / items, a.max_seq_kv / kMinKeysPerSplit);
    if (splits < 2) return {};
    const std::uint64_t affordable = workspace_limit_bytes / static_cast<std::uint64_t>(items * slot_bytes(a));
    if (affordable < static_cast<std::uint64_t>(splits)) splits = static_cast<std::int64_t>(affordable);
    if (splits < 2) return {};
    return {.splits = static_cast<std::int32_t>(splits)};
}

}  // namespace

Recipe choose(const Attention& a, const Machine& machine, std::uint64_t workspace_limit_bytes) {
    Recipe recipe;
    const bool narrow = a.dim <= Narrow::kMaxDim && a.dim_v <= Narrow::kMaxDimV;
    recipe.name = narrow ? "reference_narrow" : "reference_wide";
    if (a.batch == 0 || a.max_seq_q == 0 || (a.ragged_q && a.q_tokens == 0)) return recipe;
    const std::int64_t items = items_within_reason(a);
    recipe.cut = cut_of(a, items, machine, workspace_limit_bytes);
    if (recipe.cut.splits > 1) recipe.workspace_bytes = static_cast<std::uint64_t>(items * recipe.cut.splits * slot_bytes(a));

    const auto add = [&](const char* function, std::int64_t blocks, int threads, std::size_t shared_bytes) {
        recipe.launches.push_back({function,
                                   {static_cast<std::uint32_t>(grid_of(blocks)), 1, 1},
                                   static_cast<std::uint32_t>(threads),
                                   is_amd(machine.family) ? 0 : static_cast<std::uint32_t>(shared_bytes)});
    };
    if (narrow)
        add("rocforge_reference_narrow", items * recipe.cut.splits, Narrow::kThreads, sizeof(Shared<Narrow>));
    else
        add("rocforge_reference_wide", items * recipe.cut.splits, Wide::kThreads, sizeof(Shared<Wide>));
    if (recipe.cut.splits > 1) {
        recipe.name += " over " + std::to_string(recipe.cut.splits) + " splits";
        add("rocforge_reference_combine", items * slot_rows(a), kCombineThreads, 0);
    }
    return recipe;
}

}  // namespace rocforge::kernels::reference
