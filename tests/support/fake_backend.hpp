// Backends for tests of the core: each does one thing, told by a template argument, and no attention. Never a stand-in for a real device.
#pragma once

#include <rocforge/plugin.hpp>

#include <atomic>
#include <memory>
#include <string>
#include <string_view>

namespace fake {

// What a backend of this kind does when asked.
struct Behaviour {
    const char* name = "fake";
    rf_features features = RF_F_CAUSAL | RF_F_GROUPED_HEADS | RF_F_KV_LENGTHS;
    std::int32_t device_kind = RF_DEVICE_CPU;
    std::uint32_t flags = 0;
    std::int64_t most_dim = 1 << 20;  // supports() refuses above
    bool plan_fails = false, forward_fails = false, device_missing = false, refuses_without_reason = false, plan_is_null = false;
    std::uint64_t workspace_bytes = 0, zeroed_bytes = 0;
    const void* (*extension)(std::string_view id) = [](std::string_view) -> const void* { return nullptr; };  // what it lends
};

inline std::atomic<int> plans_made{0}, plans_alive{0}, forwards{0}, instances{0};

template <const Behaviour& B> struct Backend {
    struct Plan {
        Plan() { ++plans_made, ++plans_alive; }
        ~Plan() { --plans_alive; }
        void forward(const rf_args&) const {
            if (B.forward_fails) throw rocforge::Failure(RF_DEVICE, "");
            forwards.fetch_add(1, std::memory_order_relaxed);
        }
    };
    explicit Backend(const rf_host_api&) { ++instances; }
    ~Backend() { --instances; }
    rf_code device(std::int32_t index, rf_device& out) const {
        if (B.device_missing) throw rocforge::Failure(RF_UNAVAILABLE, "no such hardware here");
        if (index > 0) return RF_NOT_FOUND;
        out.arch = out.name = "fake";
        out.runtime = "";
        return RF_OK;
    }
    rf_code describe(std::string_view arch, rf_device& out) const {
        if (arch != "fake9000") return RF_NOT_FOUND;
        out.arch = "fake9000";
        return RF_OK;
    }
    void supports(const rf_device&, const rf_problem& p, rocforge::Reasons& reasons) const {
        if (p.q.shape[3] > B.most_dim)
            reasons.refuse(RF_R_HEAD_DIM, "q.shape[3]", std::to_string(p.q.shape[3]), "at most " + std::to_string(B.most_dim), "");
    }
    rf_code kv_layout(const rf_device&, const rf_problem&, std::uint32_t index, rf_kv_layout& out) const {
        if (index > 0) return RF_NOT_FOUND;
        out.kind = RF_KV_CONTIGUOUS;
        return RF_OK;
    }
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem&, std::uint32_t, rf_plan_info& info) const {
        if (B.plan_fails) throw rocforge::Failure(RF_NO_MEMORY, "planning fails on purpose");
        if (B.plan_is_null) return nullptr;
        info.kernel = "nothing";
        info.workspace_bytes = B.workspace_bytes;
        info.zeroed_bytes = B.zeroed_bytes;
        return std::make_unique<Plan>();
    }
    const void* extension(const char* id) const { return B.extension(id); }
};

template <const Behaviour& B> rf_code refuse_silently(rf_backend*, const rf_device*, const rf_problem*, const rf_sink*) { return RF_UNSUPPORTED; }

template <const Behaviour& B> const rf_backend_api& table() {
    static const rf_backend_api api = [] {
        rf_backend_api made = rocforge::backend_table<Backend<B>>(
            {.name = B.name, .version = "1.0.0", .vendor = "tests", .features = B.features, .device_kind = B.device_kind, .flags = B.flags});
        if (B.refuses_without_reason) made.supports = refuse_silently<B>;
        return made;
    }();
    return api;
}

}  // namespace fake
