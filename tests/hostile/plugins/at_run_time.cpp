// Backends that load and fail later, one per slot, in one plugin. The name is the fault.
#include "null_backend.hpp"

#include <stdexcept>

namespace {

using hostile::NullBackend;

struct InitFails : NullBackend {
    explicit InitFails(const rf_host_api& host) : NullBackend(host) { throw rocforge::Failure(RF_NO_MEMORY, "init failed on purpose"); }
};
struct InitThrows : NullBackend {
    explicit InitThrows(const rf_host_api& host) : NullBackend(host) { throw std::runtime_error("init threw on purpose"); }
};
// Asks for options that nobody declared: there is no value, whatever the configuration says.
struct AsksUndeclared : NullBackend {
    explicit AsksUndeclared(const rf_host_api& host) : NullBackend(host) {
        for (const char* backend : {"asks_undeclared", "good", "nobody"})
            if (host.option(host.self, backend, "nothing")) throw rocforge::Failure(RF_INTERNAL, "an undeclared option has a value");
        if (host.option(host.self, nullptr, "nothing") || host.option(host.self, "asks_undeclared", nullptr))
            throw rocforge::Failure(RF_INTERNAL, "an option without a name has a value");
        if (host.extension(host.self, "nobody.knows/1")) throw rocforge::Failure(RF_INTERNAL, "an unknown extension is there");
    }
};
// Registers again after its entry has returned: ignored.
struct RegistersLate : NullBackend {
    explicit RegistersLate(const rf_host_api& host);
};
struct NoDevice : NullBackend {
    using NullBackend::NullBackend;
    rf_code device(std::int32_t, rf_device&) const { throw rocforge::Failure(RF_UNAVAILABLE, "libhardware.so.1 not found"); }
};
struct PlanRefuses : NullBackend {
    using NullBackend::NullBackend;
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem&, std::uint32_t, rf_plan_info&) const {
        throw rocforge::Failure(RF_UNSUPPORTED, "refused after supports had agreed");
    }
};
struct PlanNull : NullBackend {
    using NullBackend::NullBackend;
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem&, std::uint32_t, rf_plan_info&) const { return nullptr; }
};
struct PlanGreedy : NullBackend {
    using NullBackend::NullBackend;
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem&, std::uint32_t, rf_plan_info& info) const {
        info.workspace_bytes = UINT64_MAX;
        return std::make_unique<Plan>();
    }
};
struct ForwardThrows : NullBackend {
    struct Plan {
        void forward(const rf_args&) const { throw std::runtime_error("forward threw on purpose"); }
    };
    using NullBackend::NullBackend;
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem&, std::uint32_t, rf_plan_info&) const { return std::make_unique<Plan>(); }
};

rf_code mute_init(const rf_host_api*, rf_backend**, rf_error*) { return RF_INTERNAL; }
rf_code mute_plan(rf_backend*, const rf_device*, const rf_problem*, std::uint32_t, rf_plan**, rf_plan_info*, rf_error*) { return RF_INTERNAL; }
rf_code mute_forward(const rf_plan*, const rf_args*, rf_error*) { return RF_DEVICE; }
rf_code mute_supports(rf_backend*, const rf_device*, const rf_problem*, const rf_sink*) { return RF_UNSUPPORTED; }
rf_code broken_supports(rf_backend*, const rf_device*, const rf_problem*, const rf_sink*) { return RF_INTERNAL; }
// Every string of the reason is NULL.
rf_code null_reason(rf_backend*, const rf_device*, const rf_problem*, const rf_sink* sink) {
    const rf_reason reason{sizeof(rf_reason), RF_R_SHAPE, nullptr, nullptr, nullptr, nullptr};
    if (sink) sink->report(sink->self, &reason);
    return RF_UNSUPPORTED;
}
// Reports a refusal and still agrees.
rf_code double_tongued_supports(rf_backend*, const rf_device*, const rf_problem*, const rf_sink* sink) {
    const rf_reason reason{sizeof(rf_reason), RF_R_SHAPE, "q.shape[0]", "1", "2", ""};
    if (sink) sink->report(sink->self, &reason);
    return RF_OK;
}
rf_code endless_message(const rf_plan*, const rf_args*, rf_error* error) {
    if (!error) return RF_DEVICE;
    std::fill_n(error->message, sizeof error->message, 'x');
    return error->code = RF_DEVICE;
}

rf_code supports_16_bits(rf_backend*, const rf_device*, const rf_problem* p, const rf_sink* sink) {
    const rf_reason reason{sizeof(rf_reason), RF_R_DTYPE, "dtype", "f32", "16 bits", ""};
    const bool good = p->q.dtype.bits == 16 && p->k.dtype.bits == 16 && p->v.dtype.bits == 16 && p->out.dtype.bits == 16;
    if (!good && sink) sink->report(sink->self, &reason);
    return good ? RF_OK : RF_UNSUPPORTED;
}
constexpr rf_backend_api types_of_16_bits() {
    rf_backend_api table = hostile::table<NullBackend>("types_of_16_bits");
    table.features = RF_F_KV_DTYPE | RF_F_OUT_DTYPE;
    table.supports = supports_16_bits;
    return table;
}

template <class Slot> constexpr rf_backend_api with(const char* name, Slot rf_backend_api::*slot, Slot function) {
    rf_backend_api table = hostile::table<NullBackend>(name);
    table.*slot = function;
    return table;
}

constexpr rf_backend_api kTables[] = {
    hostile::table<InitFails>("init_fails"),
    hostile::table<InitThrows>("init_throws"),
    hostile::table<AsksUndeclared>("asks_undeclared"),
    hostile::table<RegistersLate>("registers_late"),
    hostile::table<NoDevice>("no_device"),
    hostile::table<PlanRefuses>("plan_refuses"),
    hostile::table<PlanNull>("plan_null"),
    hostile::table<PlanGreedy>("plan_greedy"),
    hostile::table<ForwardThrows>("forward_throws"),
    types_of_16_bits(),
    with("init_mute", &rf_backend_api::init, mute_init),
    with("plan_mute", &rf_backend_api::plan, mute_plan),
    with("forward_mute", &rf_backend_api::forward, mute_forward),
    with("forward_endless", &rf_backend_api::forward, endless_message),
    with("supports_mute", &rf_backend_api::supports, mute_supports),
    with("supports_broken", &rf_backend_api::supports, broken_supports),
    with("supports_null_reason", &rf_backend_api::supports, null_reason),
    with("supports_double", &rf_backend_api::supports, double_tongued_supports),
};

constexpr rf_backend_api kLate = hostile::table<NullBackend>("late");
RegistersLate::RegistersLate(const rf_host_api& host) : NullBackend(host) {
    if (host.register_backend(host.self, &kLate) == RF_OK) throw rocforge::Failure(RF_INTERNAL, "registered after the entry had returned");
}

}  // namespace

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) {
    for (const rf_backend_api& table : kTables)
        if (const rf_code code = host->register_backend(host->self, &table); code != RF_OK) return code;
    return RF_OK;
}
