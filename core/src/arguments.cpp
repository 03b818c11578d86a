#include "arguments.hpp"

#include "problem.hpp"

#include <rocforge/plugin.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace rocforge {
namespace {

constexpr std::uint64_t kScratchAlign = 256;

const void* pointer_at(const rf_args& args, std::uint32_t offset) {
    const void* value = nullptr;
    std::memcpy(&value, reinterpret_cast<const char*>(&args) + offset, sizeof value);
    return value;
}

bool aligned(const void* pointer, std::uint64_t align) { return (reinterpret_cast<std::uintptr_t>(pointer) & (align - 1)) == 0; }

// 1 element (0), 16 or 256: finer steps would make a plan per address.
std::uint32_t coarse_align(const void* pointer) { return aligned(pointer, 256) ? 256 : aligned(pointer, 16) ? 16 : 0; }

}  // namespace

bool has_elements(const rf_tensor& t) noexcept { return t.shape[0] && t.shape[1] && t.shape[2] && t.shape[3]; }

PlanArguments::PlanArguments(const rf_problem& p) {
    add(offsetof(rf_args, q), p.q, "q");
    add(offsetof(rf_args, out), p.out, "out");
    if (has_elements(p.k)) add(offsetof(rf_args, k), p.k, "k");
    if (has_elements(p.v)) add(offsetof(rf_args, v), p.v, "v");
    if (p.features & RF_F_LSE) add(offsetof(rf_args, lse), p.lse, "lse");
    if ((p.features & (RF_F_MASK_BOOL | RF_F_MASK_ADD)) && has_elements(p.mask)) add(offsetof(rf_args, mask), p.mask, "mask");
    const auto index_align = static_cast<std::uint32_t>(element_bytes(p.index_dtype));
    if (p.features & RF_F_ALIBI) add(offsetof(rf_args, alibi_slopes), sizeof(float), "alibi_slopes");
    if (p.features & RF_F_SINK) add(offsetof(rf_args, sink), sizeof(float), "sink");
    if (p.features & RF_F_KV_LENGTHS) add(offsetof(rf_args, kv_lengths), index_align, "kv_lengths");
    if (p.features & RF_F_RAGGED_Q) add(offsetof(rf_args, cu_seqlens_q), index_align, "cu_seqlens_q");
    if (p.features & RF_F_RAGGED_KV) add(offsetof(rf_args, cu_seqlens_kv), index_align, "cu_seqlens_kv");
    if ((p.features & RF_F_PAGED_KV) && p.max_seq_kv > 0) add(offsetof(rf_args, block_table), index_align, "block_table");
    if (p.features & RF_F_KV_SCALES) {
        if (has_elements(p.k_scale)) add(offsetof(rf_args, k_scale), p.k_scale, "k_scale");
        if (has_elements(p.v_scale)) add(offsetof(rf_args, v_scale), p.v_scale, "v_scale");
    }
}

void PlanArguments::demand_scratch(const rf_plan_info& info) { workspace_bytes_ = info.workspace_bytes, zeroed_bytes_ = info.zeroed_bytes; }

void PlanArguments::add(std::size_t offset, std::uint32_t align, const char* name) {
    pointers_[count_++] = {static_cast<std::uint32_t>(offset), align, name};
}

void PlanArguments::add(std::size_t offset, const rf_tensor& t, const char* name) {
    add(offset, std::max<std::uint32_t>({1u, t.align, static_cast<std::uint32_t>(element_bytes(t.dtype))}), name);
}

PlanArguments::Fault PlanArguments::check(const rf_args& args) const noexcept {
    if (!RF_HAS(&args, stream)) return {Fault::struct_size};
    if (args.reserved) return {Fault::reserved};
    for (std::uint32_t i = 0; i < count_; ++i) {
        const void* pointer = pointer_at(args, pointers_[i].offset);
        if (!pointer) return {Fault::null, i};
        if (!aligned(pointer, pointers_[i].align)) return {Fault::alignment, i};
    }
    if (workspace_bytes_ && (!args.workspace || args.workspace_bytes < workspace_bytes_ || !aligned(args.workspace, kScratchAlign)))
        return {Fault::workspace};
    if (zeroed_bytes_ && (!args.zeroed || !aligned(args.zeroed, kScratchAlign))) return {Fault::zeroed};
    return {};
}

std::string PlanArguments::text_of(Fault fault, const rf_args& args) const {
    const auto& [offset, align, name] = pointers_[fault.pointer];
    switch (fault.what) {
        case Fault::none:
            return "";
        case Fault::struct_size:
            return fmt::format("args.struct_size is {}, wanted {}", args.struct_size, sizeof(rf_args));
        case Fault::reserved:
            return fmt::format("args.reserved is {}, wanted 0", args.reserved);
        case Fault::null:
            return fmt::format("args.{} is NULL", name);
        case Fault::alignment:
            return fmt::format("args.{} is {}, not aligned to the {} bytes that the plan promises", name, pointer_at(args, offset), align);
        case Fault::workspace:
            return fmt::format("args.workspace is {} of {} bytes, wanted {} bytes aligned to {}", args.workspace, args.workspace_bytes,
                               workspace_bytes_, kScratchAlign);
        case Fault::zeroed:
            return fmt::format("args.zeroed is {}, wanted {} bytes aligned to {}", args.zeroed, zeroed_bytes_, kScratchAlign);
    }
    return "";
}

rf_problem with_alignment_of(const rf_problem& from_caller, const rf_args& args) {
    rf_problem p = sized_copy(&from_caller);
    for (auto [tensor, pointer] : {std::pair{&p.q, args.q},
                                   {&p.k, args.k},
                                   {&p.v, args.v},
                                   {&p.out, static_cast<const void*>(args.out)},
                                   {&p.lse, static_cast<const void*>(args.lse)},
                                   {&p.mask, args.mask},
                                   {&p.k_scale, args.k_scale},
                                   {&p.v_scale, args.v_scale}})
        tensor->align = coarse_align(pointer);
    return p;
}

}  // namespace rocforge
