#include "backend.h"

#include <algorithm>
#include <cstring>

namespace rocforge::conformance {

namespace {

constexpr const char* kCodes[] = {"RF_OK",           "RF_UNSUPPORTED", "RF_INVALID",  "RF_NO_MEMORY", "RF_UNAVAILABLE",
                                  "RF_INCOMPATIBLE", "RF_DEVICE",      "RF_INTERNAL", "RF_NOT_FOUND"};

constexpr const char* kFeatureNames[] = {"causal",  "bottom_right",  "window",     "grouped_heads", "mask_bool", "mask_add", "alibi",
                                         "softcap", "sink",          "kv_lengths", "ragged_q",      "paged_kv",  "lse",      "dim_v",
                                         "dropout", "deterministic", "kv_dtype",   "kv_scales",     "ragged_kv", "diagonal", "out_dtype"};

// Collects what one call of supports reports.
struct Collected {
    std::vector<Reason> reasons;
    std::string wrong;
    static void report(void* self, const rf_reason* r) {
        auto& all = *static_cast<Collected*>(self);
        if (!r || !r->field || !r->have || !r->need || !r->hint) {
            all.wrong = "reports a reason with a NULL in it";
            return;
        }
        all.reasons.push_back({r->code, r->field, r->have, r->need, r->hint});
    }
};

}  // namespace

std::string name_of_code(rf_code code) {
    const bool known = code >= 0 && static_cast<std::size_t>(code) < std::size(kCodes);
    return known ? kCodes[code] : "code " + std::to_string(code) + ", which is none";
}

std::string told(rf_code code, const rf_error& error) {
    const std::string message(error.message, strnlen(error.message, sizeof error.message));
    return name_of_code(code) + (message.empty() ? " without a message" : ": " + message);
}

rf_error empty_error() {
    rf_error error{};
    error.struct_size = sizeof error;
    return error;
}

std::string text_of(const std::vector<Reason>& reasons) {
    std::string text;
    for (const Reason& r : reasons) text += (text.empty() ? "" : "; ") + r.field + " is " + r.have + ", needs " + r.need;
    return text;
}

// ---- The host that a backend sees

struct Backend::Host {
    Host(const rf_backend_api& table, const Lending& lending)
        : threads(lending.workers, lending.order), api(table), options(lending.options), take_log(lending.log) {
        slots = {sizeof(rf_host_api), RF_ABI_MINOR, reinterpret_cast<const rf_host*>(this), threads.workers(), 0, refuse, log, option,
                 parallel_for,        extension};
    }
    static const Host& of(const rf_host* self) { return *reinterpret_cast<const Host*>(self); }
    static rf_code refuse(const rf_host*, const rf_backend_api*) { return RF_INVALID; }  // not inside the entry
    static void log(const rf_host* self, std::int32_t level, const char* backend, const char* message) {
        if (of(self).take_log) of(self).take_log(level, backend ? backend : "?", message ? message : "");
    }
    static const char* option(const rf_host* self, const char*, const char* key) {
        const Host& host = of(self);
        for (const rf_option* const* each = host.api.options; each && *each; ++each) {
            if (!key || std::strcmp((*each)->key, key) != 0) continue;
            for (const auto& [name, value] : host.options)
                if (name == key) return value.c_str();
            return (*each)->preset;
        }
        return nullptr;
    }
    static void parallel_for(const rf_host* self, std::int64_t n, std::uint32_t most, LentThreads::Body body, void* arg) {
        of(self).threads.parallel_for(n, most, body, arg);
    }
    static const void* extension(const rf_host*, const char*) { return nullptr; }

    mutable LentThreads threads;
    const rf_backend_api& api;
    const Options options;
    const TakeLog take_log;
    rf_host_api slots{};
};

std::vector<const rf_backend_api*> registered_by(rf_plugin_entry entry) {
    struct Registering {
        std::vector<const rf_backend_api*> tables;
        static rf_code add(const rf_host* self, const rf_backend_api* table) {
            const_cast<Registering*>(reinterpret_cast<const Registering*>(self))->tables.push_back(table);
            return RF_OK;
        }
    } registering;
    rf_host_api host{};
    host.struct_size = sizeof host, host.abi_minor = RF_ABI_MINOR, host.workers = 1;
    host.self = reinterpret_cast<const rf_host*>(&registering);
    host.register_backend = Registering::add;
    host.log = [](const rf_host*, std::int32_t, const char*, const char*) {};  // who loaded the file has heard it
    host.option = [](const rf_host*, const char*, const char*) -> const char* { return nullptr; };
    host.parallel_for = [](const rf_host*, std::int64_t n, std::uint32_t, LentThreads::Body body, void* arg) {
        if (n > 0) body(arg, 0, n, 0);
    };
    host.extension = [](const rf_host*, const char*) -> const void* { return nullptr; };
    rf_error error = empty_error();
    const rf_code code = entry(&host, &error);
    if (code != RF_OK) throw Broken(std::string(RF_PLUGIN_ENTRY) + " returned " + told(code, error));
    if (registering.tables.empty()) throw Broken(std::string(RF_PLUGIN_ENTRY) + " registered no backend");
    return registering.tables;
}

// ---- Backend

Backend::Backend(const rf_backend_api& api, const Lending& lending) : api_(api), host_(std::make_unique<Host>(api, lending)) {
    rf_error error = empty_error();
    const rf_code code = api.init(&host_->slots, &self_, &error);
    if (code != RF_OK) throw Broken("init failed with " + told(code, error));
}

Backend::~Backend() { api_.shutdown(self_); }

rf_code Backend::device(std::int32_t index, rf_device& device, std::string& why) const {
    device = {};
    device.struct_size = sizeof device;
    device.kind = api_.device_kind;
    rf_error error = empty_error();
    const rf_code code = api_.device(self_, index, &device, &error);
    if (code != RF_OK) why = told(code, error);
    for (const char** text : {&device.arch, &device.name, &device.runtime})
        if (!*text) *text = "";
    return code;
}

rf_code Backend::describe(const std::string& arch, rf_device& device) const {
    device = {};
    device.struct_size = sizeof device;
    device.kind = api_.device_kind;
    device.ordinal = -1;
    return api_.describe(self_, arch.c_str(), &device);
}

Answer Backend::ask(const rf_device& device, const rf_problem& problem) const {
    if (const rf_features missing = undeclared(problem)) {
        Answer answer;
        for (std::size_t bit = 0; bit < 64; ++bit)
            if (missing >> bit & 1)
                answer.reasons.push_back({RF_R_FEATURE, "features",
                                          bit < std::size(kFeatureNames) ? kFeatureNames[bit] : "bit " + std::to_string(bit),
                                          "a feature that this backend implements", ""});
        return answer;
    }
    Collected collected;
    const rf_sink sink{sizeof(rf_sink), 0, &collected, Collected::report};
    const rf_code code = api_.supports(self_, &device, &problem, &sink);
    if (!collected.wrong.empty()) throw Broken("supports " + collected.wrong);
    if (code != RF_OK && code != RF_UNSUPPORTED) throw Broken("supports returned " + name_of_code(code) + "; it answers RF_OK or RF_UNSUPPORTED");
    if (code == RF_OK && !collected.reasons.empty()) throw Broken("supports returned RF_OK and reported: " + text_of(collected.reasons));
    if (code == RF_UNSUPPORTED && collected.reasons.empty()) throw Broken("supports refused without a reason");
    for (const Reason& r : collected.reasons) {
        if (r.code < RF_R_ARCH || r.code > RF_R_DEVICE_KIND)
            throw Broken("supports reported a reason with code " + std::to_string(r.code) + ", which no backend gives");
        if (r.field.empty() || (r.have.empty() && r.need.empty()))
            throw Broken("supports reported a reason that names no field or neither value nor limit");
    }
    return {code == RF_OK, std::move(collected.reasons)};
}

bool Backend::supports(const rf_device& device, const rf_problem& problem) const {
    if (undeclared(problem)) return false;
    const rf_code code = api_.supports(self_, &device, &problem, nullptr);
    if (code != RF_OK && code != RF_UNSUPPORTED) throw Broken("supports without a sink returned " + name_of_code(code));
    return code == RF_OK;
}

// ---- Plan

rf_code Plan::make(const Backend& backend, const rf_device& device, const rf_problem& problem, std::string& why, std::uint32_t algo) {
    free();
    api_ = &backend.api();
    info_ = {};
    info_.struct_size = sizeof info_;
    info_.estimate_us = -1;
    nothing_to_do_ = problem.batch == 0 || problem.max_seq_q == 0 || problem.q.shape[2] == 0;
    rf_error error = empty_error();
    rf_plan* made = nullptr;
    const rf_code code = api_->plan(backend.self(), &device, &problem, algo, &made, &info_, &error);
    if (code != RF_OK) {
        why = "plan: " + told(code, error);
        return code;
    }
    if (!made) throw Broken("plan returned RF_OK and no plan");
    plan_ = made;
    if (info_.workspace_bytes > problem.workspace_limit_bytes)
        throw Broken("plan wants " + std::to_string(info_.workspace_bytes) + " bytes of workspace, the problem allows " +
                     std::to_string(problem.workspace_limit_bytes));
    return RF_OK;
}

rf_code Plan::forward(const rf_args& args, std::string& why) const {
    if (nothing_to_do_) return RF_OK;
    rf_error error = empty_error();
    const rf_code code = api_->forward(plan_, &args, &error);
    if (code != RF_OK) why = "forward: " + told(code, error);
    return code;
}

void Plan::free() {
    if (plan_) api_->plan_free(plan_);
    plan_ = nullptr;
}

// ---- HostScratch

HostScratch::HostScratch(const Plan& plan)
    : workspace_("the workspace", static_cast<std::int64_t>(plan.info().workspace_bytes), true, Placement::end_of_page, 256),
      zeroed_("zeroed", static_cast<std::int64_t>(plan.info().zeroed_bytes), true, Placement::end_of_page, 256) {
    std::memset(workspace_.data(), 0xFF, static_cast<std::size_t>(workspace_.bytes()));
    std::memset(zeroed_.data(), 0, static_cast<std::size_t>(zeroed_.bytes()));
}

void HostScratch::lend(rf_args& args) const {
    args.workspace = workspace_.bytes() ? workspace_.data() : nullptr;
    args.workspace_bytes = static_cast<std::uint64_t>(workspace_.bytes());
    args.zeroed = zeroed_.bytes() ? zeroed_.data() : nullptr;
}

std::string HostScratch::damage() const {
    if (!workspace_.guards_intact())
        return "memory before or past the " + std::to_string(workspace_.bytes()) + " bytes of the workspace was written to";
    if (!zeroed_.guards_intact()) return "memory before or past the " + std::to_string(zeroed_.bytes()) + " bytes of zeroed was written to";
    const bool zero = std::all_of(zeroed_.data(), zeroed_.data() + zeroed_.bytes(), [](std::byte b) { return b == std::byte{0}; });
    return zero ? "" : "zeroed memory was not left zero";
}

}  // namespace rocforge::conformance
