// The C face of the runtime: checks handles, copies results out, lets nothing thrown pass. Decides nothing.

#include "problem.hpp"
#include "runtime.hpp"

#include <rocforge/plugin.hpp>

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

using namespace rocforge;

namespace {

rf_code pass(rf_error* error, const Error& from) { return fail(error, from.code, from.message, from.native); }

// Copies as much of `full` as the caller's struct has room for; its struct_size stays. RF_INVALID where the caller has set none.
template <class Struct> rf_code hand_out(Struct* to, Struct full) {
    if (to->struct_size < 2 * sizeof(std::uint32_t)) return RF_INVALID;
    sized_assign(to, full);
    return RF_OK;
}

template <class Struct> rf_code hand_out(Struct* to, Struct full, rf_error* error, const char* name) {
    return hand_out(to, full) == RF_OK
               ? rf_code{RF_OK}
               : fail(error, RF_INVALID, fmt::format("{}.struct_size is {}, wanted {}", name, to->struct_size, sizeof(Struct)));
}

rf_code hand_out_place(const std::vector<Place>& places, std::uint32_t index, rocforge_place* out) {
    if (index >= places.size()) return RF_NOT_FOUND;
    const Place& place = places[index];
    const std::int32_t status = place.missing ? ROCFORGE_DISABLED : place.refused.empty() ? ROCFORGE_LOADED : ROCFORGE_REFUSED;
    return hand_out(out, {0, status, place.path.c_str(), place.origin.c_str(), place.missing ? "does not exist" : place.refused.c_str()});
}

rocforge_hooks hooks_of(const rocforge_hooks* from) { return from ? sized_copy(from) : rocforge_hooks{}; }

std::string wrong_hooks(const rocforge_hooks& hooks) {
    if (hooks.reserved || hooks.reserved2) return "hooks.reserved is not 0";
    if (!hooks.allocate != !hooks.release) return "hooks.allocate and hooks.release go together, one is NULL";
    if (hooks.parallel_for && !hooks.workers) return "hooks.workers is 0, wanted the number of threads that hooks.parallel_for may use";
    return "";
}

rocforge_backend_info describe(Runtime& runtime, std::size_t index) {
    const Backend& backend = runtime.registry().backends()[index];
    rocforge_backend_info info{};
    info.device_kind = backend.kind();
    info.name = backend.name();
    info.version = backend.api().version;
    info.vendor = backend.api().vendor;
    info.features = backend.features();
    info.flags = backend.api().flags;
    info.plugin_index = backend.plugin();
    info.order_rank = -1;
    info.options = backend.api().options;
    const std::vector<Ranked> ranking = runtime.ranking();
    for (std::size_t rank = 0; rank < ranking.size(); ++rank) {
        if (ranking[rank].candidate != index) continue;
        info.order_rank = static_cast<std::int32_t>(rank);
        info.dropped_in = ranking[rank].dropped_in;
    }
    return info;
}

}  // namespace

rf_code rocforge::null_argument(rf_error* error, const char* name) noexcept {
    return guarded(error, [&] { return fail(error, RF_INVALID, fmt::format("{} is NULL", name)); });
}

extern "C" {

// ---- A context

const char* rocforge_version(void) { return ROCFORGE_VERSION; }

rf_code rocforge_open(const char* config, const rocforge_hooks* lent, rocforge_context** out, rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!out) return null_argument(error, "context");
        *out = nullptr;
        if (lent && !RF_HAS(lent, reserved2))
            return fail(error, RF_INVALID, fmt::format("hooks.struct_size is {}, wanted {}", lent->struct_size, sizeof *lent));
        const rocforge_hooks hooks = hooks_of(lent);
        if (const std::string wrong = wrong_hooks(hooks); !wrong.empty()) return fail(error, RF_INVALID, wrong);
        Result<std::shared_ptr<Runtime>> runtime = Runtime::open(config, hooks);
        if (!runtime) return pass(error, runtime.error());
        *out = new rocforge_context{std::move(*runtime)};
        return RF_OK;
    });
}

void rocforge_close(rocforge_context* context) {
    if (!context) return;
    guarded(nullptr, [&] {
        context->runtime->close();
        return rf_code{RF_OK};
    });
    delete context;
}

rf_code rocforge_load(rocforge_context* context, const char* file, rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!context || !file) return null_argument(error, context ? "file" : "context");
        const Result<bool> done = context->runtime->load(file);
        return done ? rf_code{RF_OK} : pass(error, done.error());
    });
}

rf_code rocforge_register(rocforge_context* context, const rf_backend_api* api, rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!context || !api) return null_argument(error, context ? "api" : "context");
        const Result<bool> done = context->runtime->register_backend(api);
        return done ? rf_code{RF_OK} : pass(error, done.error());
    });
}

rf_code rocforge_set_default(rocforge_context* context, const char* backend, rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!context) return null_argument(error, "context");
        const Result<bool> done = context->runtime->set_default(backend);
        return done ? rf_code{RF_OK} : pass(error, done.error());
    });
}

// ---- What is there

rf_code rocforge_plugin(rocforge_context* context, uint32_t index, rocforge_plugin_info* out) {
    return guarded(nullptr, [&]() -> rf_code {
        if (!context || !out) return RF_INVALID;
        const std::shared_lock lock(context->runtime->guard());
        const auto& plugins = context->runtime->registry().plugins();
        if (index >= plugins.size()) return RF_NOT_FOUND;
        const Plugin& plugin = plugins[index];
        return hand_out(out, {0, plugin.status, plugin.path.c_str(), plugin.origin.c_str(), plugin.reason.c_str()});
    });
}

rf_code rocforge_backend(rocforge_context* context, uint32_t index, rocforge_backend_info* out) {
    return guarded(nullptr, [&]() -> rf_code {
        if (!context || !out) return RF_INVALID;
        const std::shared_lock lock(context->runtime->guard());
        if (index >= context->runtime->registry().backends().size()) return RF_NOT_FOUND;
        return hand_out(out, describe(*context->runtime, index));
    });
}

rf_code rocforge_find_backend(rocforge_context* context, const char* name, int32_t device_kind, rocforge_backend_info* out, rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!context || !name) return null_argument(error, context ? "name" : "context");
        const std::shared_lock lock(context->runtime->guard());
        Registry& registry = context->runtime->registry();
        const auto& backends = registry.backends();
        for (std::size_t i = 0; i < backends.size(); ++i) {
            if (std::strcmp(backends[i].name(), name) != 0 || (device_kind != 0 && device_kind != backends[i].kind())) continue;
            return out ? hand_out(out, describe(*context->runtime, i), error, "info") : rf_code{RF_OK};
        }
        if (registry.find(name, 0))
            return fail(error, RF_NOT_FOUND, fmt::format("backend '{}' is not registered for {}", name, kind_name(device_kind)));
        return pass(error, registry.missing(name));
    });
}

rf_code rocforge_device(rocforge_context* context, const char* backend, int32_t device_kind, uint32_t index, rf_device* out, rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!context || !backend || !out) return null_argument(error, !context ? "context" : !backend ? "backend" : "device");
        const std::shared_lock lock(context->runtime->guard());
        Backend* found = context->runtime->registry().find(backend, device_kind);
        if (!found) return pass(error, context->runtime->registry().missing(backend));
        const auto devices = found->devices();
        if (!devices) return pass(error, devices.error());
        if (index >= (*devices)->size()) return fail(error, RF_NOT_FOUND, fmt::format("{} has {} devices", backend, (*devices)->size()));
        return hand_out(out, (**devices)[index], error, "device");
    });
}

rf_code rocforge_find_device(rocforge_context* context, const char* name, const char* backend, rf_device* out, rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!context || !out) return null_argument(error, context ? "device" : "context");
        const Result<rf_device> found = context->runtime->find_device(name, backend && *backend ? backend : nullptr);
        if (!found) return pass(error, found.error());
        return hand_out(out, *found, error, "device");
    });
}

rf_code rocforge_config(rocforge_context* context, uint32_t index, rocforge_setting* out) {
    if (!context || !out) return RF_INVALID;
    const auto& settings = context->runtime->settings();
    if (index >= settings.size()) return RF_NOT_FOUND;
    return hand_out(out, {0, 0, settings[index].key.c_str(), settings[index].value.c_str(), settings[index].origin.c_str()});
}

rf_code rocforge_config_file(rocforge_context* context, uint32_t index, rocforge_place* out) {
    return context && out ? hand_out_place(context->runtime->config_files(), index, out) : rf_code{RF_INVALID};
}

rf_code rocforge_searched(rocforge_context* context, uint32_t index, rocforge_place* out) {
    return context && out ? hand_out_place(context->runtime->folders(), index, out) : rf_code{RF_INVALID};
}

rf_code rocforge_warning(rocforge_context* context, uint32_t index, const char** text) {
    if (!context || !text) return RF_INVALID;
    const auto& warnings = context->runtime->warnings();
    if (index >= warnings.size()) return RF_NOT_FOUND;
    *text = warnings[index].c_str();
    return RF_OK;
}

// ---- A problem

void rocforge_problem_init_sized(rf_problem* problem, uint32_t struct_size) {
    if (!problem || struct_size < sizeof problem->struct_size) return;
    std::memset(problem, 0, struct_size);  // a newer caller's fields too
    problem->struct_size = struct_size;
    rf_problem preset{};
    preset.scale = std::numeric_limits<float>::quiet_NaN();
    preset.window_left = preset.window_right = -1;
    preset.workspace_limit_bytes = UINT64_MAX;
    sized_assign(problem, preset);
}

rf_tensor rocforge_tensor(rf_dtype dtype, int64_t axis0, int64_t axis1, int64_t axis2, int64_t axis3) {
    // Products that overflow wrap here and are refused where the problem is checked.
    const auto times = [](int64_t a, int64_t b) { return static_cast<int64_t>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b)); };
    return {dtype, 0, {axis0, axis1, axis2, axis3}, {times(times(axis1, axis2), axis3), times(axis2, axis3), axis3, 1}};
}

void rocforge_problem_set_dense(rf_problem* problem, rf_dtype dtype, int64_t batch, int64_t head_q, int64_t head_kv, int64_t seq_q, int64_t seq_kv,
                                int64_t dim) {
    if (!problem || !RF_HAS(problem, workspace_limit_bytes)) return;
    problem->batch = batch;
    problem->max_seq_q = seq_q;
    problem->max_seq_kv = seq_kv;
    problem->q = problem->out = rocforge_tensor(dtype, batch, head_q, seq_q, dim);
    problem->k = problem->v = rocforge_tensor(dtype, batch, head_kv, seq_kv, dim);
}

// ---- Selection

rf_code rocforge_select(rocforge_context* context, const rf_device* device, const rf_problem* problem, const char* backend, rocforge_choice** out,
                        rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!context || !device || !problem || !out)
            return null_argument(error, !context ? "context" : !device ? "device" : !problem ? "problem" : "choice");
        *out = nullptr;
        auto choice = std::make_unique<rocforge_choice>();
        const Result<rf_code> code = context->runtime->select(sized_copy(device), *problem, backend, *choice);
        if (!code) return pass(error, code.error());
        *out = choice.release();
        return *code == RF_OK ? rf_code{RF_OK} : fail(error, *code, (*out)->refusal);
    });
}

void rocforge_choice_release(rocforge_choice* choice) { delete choice; }

void rocforge_choice_describe(const rocforge_choice* choice, rocforge_choice_info* out) {
    if (!choice || !out) return;
    hand_out(out, {0, choice->device_kind, choice->winner ? choice->winner->name() : nullptr, choice->why.c_str(), choice->fell_back,
                   static_cast<uint32_t>(choice->verdicts.size())});
}

rf_code rocforge_choice_candidate(const rocforge_choice* choice, uint32_t index, rocforge_candidate* out) {
    if (!choice || !out) return RF_INVALID;
    if (index >= choice->verdicts.size()) return RF_NOT_FOUND;
    const Verdict& verdict = choice->verdicts[index];
    return hand_out(out, {0, verdict.backend->kind(), verdict.backend->name(), verdict.supported, static_cast<uint32_t>(verdict.reasons.size()),
                          verdict.dropped_in, verdict.partial});
}

rf_code rocforge_choice_reason(const rocforge_choice* choice, uint32_t candidate, uint32_t index, rf_reason* out) {
    if (!choice || !out) return RF_INVALID;
    if (candidate >= choice->verdicts.size() || index >= choice->verdicts[candidate].reasons.size()) return RF_NOT_FOUND;
    const Reason& reason = choice->verdicts[candidate].reasons[index];
    return hand_out(out, {0, reason.code, reason.field.c_str(), reason.have.c_str(), reason.need.c_str(), reason.hint.c_str()});
}

const char* rocforge_reason_name(int32_t code) {
    static constexpr const char* kNames[]{"unknown",    "arch",   "dtype",     "head_dim",    "sequence",    "shape",
                                          "stride",     "align",  "feature",   "combination", "workspace",   "kv_layout",
                                          "dependency", "driver", "not_built", "disabled",    "device_kind", "fault"};
    return code > 0 && code < static_cast<int32_t>(std::size(kNames)) ? kNames[code] : kNames[0];
}

const char* rocforge_kind_name(int32_t kind) {
    const char* known = known_kind_name(kind);
    return known ? known : "unknown";
}

const char* rocforge_feature_name(uint32_t bit) { return feature_name(bit); }

const char* rocforge_code_name(rf_code code) {
    static constexpr const char* kNames[]{"RF_OK",           "RF_UNSUPPORTED", "RF_INVALID",  "RF_NO_MEMORY", "RF_UNAVAILABLE",
                                          "RF_INCOMPATIBLE", "RF_DEVICE",      "RF_INTERNAL", "RF_NOT_FOUND"};
    return code >= 0 && code < static_cast<int32_t>(std::size(kNames)) ? kNames[code] : "an unknown code";
}

rf_code rocforge_kv_layout(rocforge_context* context, const rf_device* device, const rf_problem* problem, uint32_t index, rf_kv_layout* out,
                           rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!context || !device || !problem || !out)
            return null_argument(error, !context ? "context" : !device ? "device" : !problem ? "problem" : "layout");
        const Result<rf_kv_layout> layout = context->runtime->kv_layout(sized_copy(device), *problem, index);
        if (!layout) return pass(error, layout.error());
        return hand_out(out, *layout, error, "layout");
    });
}

// ---- Plan and forward

rf_code rocforge_plan(rocforge_context* context, const rf_device* device, const rf_problem* problem, rocforge_plan_t** out, rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!context || !device || !problem || !out)
            return null_argument(error, !context ? "context" : !device ? "device" : !problem ? "problem" : "plan");
        *out = nullptr;
        Result<PlanPointer> plan = context->runtime->plan(sized_copy(device), *problem);
        if (!plan) return pass(error, plan.error());
        *out = plan->release();
        return RF_OK;
    });
}

rf_code rocforge_plan_choice(const rocforge_choice* choice, rocforge_plan_t** out, rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!choice || !out) return null_argument(error, choice ? "plan" : "choice");
        *out = nullptr;
        Result<PlanPointer> plan = choice->runtime->plan_choice(*choice);
        if (!plan) return pass(error, plan.error());
        *out = plan->release();
        return RF_OK;
    });
}

rocforge_plan_t* rocforge_plan_retain(rocforge_plan_t* plan) {
    if (plan) plan->references.fetch_add(1, std::memory_order_relaxed);
    return plan;
}

void rocforge_plan_release(rocforge_plan_t* plan) {
    if (plan && plan->references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete plan;
}

void rocforge_plan_describe(const rocforge_plan_t* plan, rocforge_plan_details* out) {
    if (!plan || !out) return;
    hand_out(out, {0, plan->info.flags, plan->backend->name(), plan->kernel.c_str(), plan->why.c_str(), plan->backend->kind(), plan->fell_back,
                   plan->info.workspace_bytes, plan->info.zeroed_bytes});
}

rf_code rocforge_forward(const rocforge_plan_t* plan, const rf_args* args, rf_error* error) {
    if (!plan || !args) return null_argument(error, plan ? "args" : "plan");
    return forward_plan(*plan, *args, error);
}

rf_code rocforge_attention(rocforge_context* context, const rf_device* device, const rf_problem* problem, const rf_args* args, rf_error* error) {
    return guarded(error, [&]() -> rf_code {
        if (!context || !device || !problem || !args)
            return null_argument(error, !context ? "context" : !device ? "device" : !problem ? "problem" : "args");
        const Result<bool> done = context->runtime->attention(sized_copy(device), *problem, *args);
        return done ? rf_code{RF_OK} : pass(error, done.error());
    });
}

}  // extern "C"
