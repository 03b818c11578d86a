#include "runtime.hpp"

#include "device.hpp"
#include "loader.hpp"
#include "problem.hpp"
#include "text/text.hpp"

#include <rocforge/plugin.hpp>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <limits>

namespace rocforge {
namespace {

std::string reasons_text(const Verdict& verdict) {
    std::vector<std::string> parts;
    for (const Reason& r : verdict.reasons)
        parts.push_back(fmt::format("{} is {}, wanted {}{}", r.field, r.have, r.need, r.hint.empty() ? "" : " (" + r.hint + ")"));
    return fmt::format("{}: {}", verdict.backend->name(), fmt::join(parts, "; "));
}

// An error of a backend that nobody has to use, with what takes it out of the way.
Error with_way_out(Error error, const Backend& backend) {
    error.message += fmt::format(" (to go on without it: select.fallback = \"allow\", or plugins.disable = [\"{}\"])", backend.name());
    return error;
}

// One line on why there is no winner.
std::string headline(const Decision& decision, Fallback fallback, const rf_device& device, const std::vector<Verdict>& verdicts) {
    if (decision.named) {
        return fmt::format("'{}' (asked for by {}) refuses and {}", decision.named->backend, decision.named->source,
                           fallback == Fallback::error ? "select.fallback is \"error\"" : "so does every backend in select.order");
    }
    const auto of_kind = [&](const Verdict& verdict) { return verdict.backend->kind() == device.kind; };
    if (std::any_of(verdicts.begin(), verdicts.end(), of_kind)) return fmt::format("no backend runs this problem on {}", kind_name(device.kind));
    return fmt::format("no backend for {} is loaded", kind_name(device.kind));
}

// The headline with the reasons of those who were asked.
std::string refusal_text(const Decision& decision, Fallback fallback, const rf_device& device, const std::vector<Verdict>& verdicts) {
    std::vector<std::string> parts{headline(decision, fallback, device, verdicts)};
    for (const Verdict& verdict : verdicts) {
        const bool asked = verdict.backend->kind() == device.kind &&
                           (!decision.named || fallback != Fallback::error || verdict.backend->name() == decision.named->backend);
        if (asked && !verdict.supported) parts.push_back(reasons_text(verdict));
    }
    return fmt::format("{}", fmt::join(parts, ". "));
}

Facts facts_of(const rf_device& device, const rf_problem& p) {
    return {.device = kind_name(device.kind),
            .arch = device.arch ? device.arch : "",
            .dtype = dtype_name(p.q.dtype),
            .batch = p.batch,
            .head_q = p.q.shape[1],
            .head_kv = p.k.shape[1],
            .head_dim = p.q.shape[3],
            .dim_v = p.v.shape[3],
            .seq_q = p.max_seq_q,
            .seq_kv = p.max_seq_kv,
            .causal = (p.features & RF_F_CAUSAL) != 0,
            .paged = (p.features & RF_F_PAGED_KV) != 0,
            .ragged = (p.features & (RF_F_RAGGED_Q | RF_F_RAGGED_KV)) != 0};
}

// Takes a backend's refusals; called back through the C ABI, so that nothing may be thrown.
void take_reason(void* self, const rf_reason* reason) {
    const auto text = [](const char* s) { return printable(s ? s : ""); };
    guarded(nullptr, [&] {
        auto& reasons = *static_cast<std::vector<Reason>*>(self);
        if (reason && RF_HAS(reason, hint) && (reason->field || reason->have || reason->need))
            reasons.push_back({reason->code, text(reason->field), text(reason->have), text(reason->need), text(reason->hint)});
        return rf_code{RF_OK};
    });
}

// Zeroes memory of the device in the stream's order; waits for the stream.
Result<bool> zero(Backend& backend, const rf_device& device, const Workspaces::Block& block, void* stream) {
    if (device.kind == RF_DEVICE_CPU) return std::memset(block.memory, 0, block.bytes), true;
    const Result<rf_backend*> instance = backend.instance();
    if (!instance) return instance.error();
    const Result<const rf_memory_api*> memory = memory_of(backend, *instance);
    if (!memory) return memory.error();
    if (!*memory)
        return Error{RF_UNAVAILABLE, fmt::format("{}: its kernel wants zeroed memory and it does not lend rocforge.memory/1: "
                                                 "use rocforge_plan and rocforge_forward with your own",
                                                 backend.name())};
    constexpr std::uint64_t kMostAtOnce = 1 << 20;
    const std::vector<std::byte> zeros(std::min(block.bytes, kMostAtOnce));
    for (std::uint64_t at = 0; at < block.bytes; at += zeros.size()) {
        rf_error told = new_error();
        const rf_code code = (*memory)->to_device(*instance, &device, static_cast<std::byte*>(block.memory) + at, zeros.data(),
                                                  std::min<std::uint64_t>(zeros.size(), block.bytes - at), stream, &told);
        if (code != RF_OK) return Error{code, told_by(backend, told, "to_device"), told.native};
    }
    return true;
}

}  // namespace

// ---- Opening ---------------------------------------------------------------------------------------------------------------------------

Runtime::Runtime(Config config, Environment env, const rocforge_hooks& hooks)
    : config_(std::move(config)),
      env_(std::move(env)),
      log_(env_.log ? env_.log->c_str() : nullptr, hooks),
      threads_(hooks),
      workspaces_(hooks),
      zeroed_(workspaces_),
      registry_(config_, log_, threads_) {}

Result<std::shared_ptr<Runtime>> Runtime::open(const char* config_file, const rocforge_hooks& hooks) {
    Environment env = Environment::read();
    const Installation installation = Installation::find();
    const ConfigFiles files = rocforge::config_files(env, installation, config_file);
    Result<Config> config = read_config(files);
    if (!config) return config.error();
    std::shared_ptr<Runtime> runtime(new Runtime(std::move(*config), std::move(env), hooks));
    runtime->config_files_ = rocforge::describe(files, runtime->config_);
    if (Result<bool> loaded = runtime->load_all(installation); !loaded) return loaded.error();
    return runtime;
}

Result<bool> Runtime::load_all(const Installation& installation) {
    Discovered discovered = discover(config_, env_, installation);
    folders_ = std::move(discovered.folders);
    for (const Found& found : discovered.files) {
        const Plugin& plugin = registry_.plugin(load_plugin(registry_, config_, found));
        if (plugin.status == ROCFORGE_REFUSED) log_.write(RF_LOG_INFO, fmt::format("{} {}", plugin.path, plugin.reason));
    }
    if (!registry_.wrong_option().empty()) return Error{RF_INVALID, registry_.wrong_option()};
    settings_ = config_.settings();
    for (const auto& [name, value] : {std::pair{"ROCFORGE_BACKEND", env_.backend},
                                      {"ROCFORGE_PLUGIN_PATH", env_.plugin_path},
                                      {"ROCFORGE_ADD_PLUGIN_PATH", env_.add_plugin_path},
                                      {"ROCFORGE_LOG", env_.log}})
        if (value) settings_.push_back({name, toml_quoted(*value), "environment"});
    registry_changed();
    warn_of_leftovers(installation);
    return true;
}

// What was configured for somebody who is not there.
void Runtime::warn_of_leftovers(const Installation& installation) {
    const std::vector<std::string> names = registry_.names();
    const auto there = [&](const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); };
    if (!config_.order.origin.starts_with(installation.defaults.string()))  // the shipped order names backends that may not be installed
        for (const std::string& name : config_.order.value)
            if (name != "*" && !there(name))
                warnings_.push_back(fmt::format("select.order ({}): {}", config_.order.origin, registry_.missing(name).message));
    for (const auto& [name, keys] : config_.options)
        if (!there(name) && !keys.empty())
            warnings_.push_back(fmt::format("[backend.{}] ({}): {}", name, keys.begin()->second.origin, registry_.missing(name).message));
    for (const Rule& rule : config_.rules.value)
        if (!there(rule.use)) warnings_.push_back(fmt::format("select.rule ({}): {}", rule.origin, registry_.missing(rule.use).message));
    for (const auto& [kind, name] : config_.default_backend)
        if (!there(name.value)) warnings_.push_back(fmt::format("select.default ({}): {}", name.origin, registry_.missing(name.value).message));
    if (env_.backend && !there(*env_.backend)) warnings_.push_back("ROCFORGE_BACKEND: " + registry_.missing(*env_.backend).message);
    for (const std::string& warning : warnings_) log_.write(RF_LOG_INFO, warning);
}

void Runtime::registry_changed() {
    candidates_.clear();
    for (const Backend& backend : registry_.backends()) candidates_.push_back({backend.name(), backend.kind(), backend.approximate()});
    cache_.clear();
}

Result<bool> Runtime::load(const char* file) {
    const std::filesystem::path path = std::filesystem::absolute(file);
    const std::unique_lock lock(guard_);
    const Plugin& plugin = registry_.plugin(load_plugin(registry_, config_, {path, "rocforge_load", disabled_by(config_, path.filename().string())}));
    registry_changed();
    if (plugin.status != ROCFORGE_LOADED) return Error{RF_INCOMPATIBLE, fmt::format("{} {}", plugin.path, plugin.reason)};
    return true;
}

Result<bool> Runtime::register_backend(const rf_backend_api* api) {
    const std::unique_lock lock(guard_);
    Result<bool> added = rocforge::register_backend(registry_, api);
    registry_changed();
    return added;
}

Result<bool> Runtime::set_default(const char* backend) {
    const std::unique_lock lock(guard_);
    if (backend && !registry_.find(backend, 0)) return registry_.missing(backend);
    if (backend)
        default_backend_ = backend;
    else
        default_backend_.reset();
    cache_.clear();
    return true;
}

std::vector<Ranked> Runtime::ranking() const { return spell_out(config_.order.value, candidates_, 0); }

// ---- Asking ------------------------------------------------------------------------------------------------------------------------------

Policy Runtime::policy(const rf_device& device, const rf_problem& problem, const char* backend) const {
    Policy policy{named_choices(config_, facts_of(device, problem), backend ? backend : "", env_.backend.value_or("")), config_.order.value,
                  config_.order.origin, config_.fallback.value};
    if (default_backend_) {  // in place of what the files call the default
        std::erase_if(policy.named, [](const Named& named) { return named.source.starts_with("select.default"); });
        policy.named.push_back({*default_backend_, "rocforge_set_default"});
    }
    return policy;
}

bool Runtime::supports(Backend& backend, const rf_device& device, const rf_problem& problem) {
    if (backend.kind() != device.kind || (problem.features & ~backend.features())) return false;
    const Result<rf_device> own = backend.device_like(device);
    return own && backend.api().supports(*backend.instance(), &*own, &problem, nullptr) == RF_OK;
}

Verdict Runtime::examine(Backend& backend, const rf_device& device, const rf_problem& problem) {
    Verdict verdict;
    verdict.backend = &backend;
    const auto refuse = [&](std::int32_t code, std::string field, std::string have, std::string need, std::string hint) {
        verdict.reasons.push_back({code, std::move(field), std::move(have), std::move(need), std::move(hint)});
    };
    if (backend.kind() != device.kind) {
        refuse(RF_R_DEVICE_KIND, "device", kind_name(device.kind), kind_name(backend.kind()), fmt::format("--device {}", kind_name(backend.kind())));
        return verdict;
    }
    for (const std::string& name : feature_names(problem.features & ~backend.features()))
        refuse(RF_R_FEATURE, "features", name, "a feature that this backend implements", "");
    verdict.partial = !verdict.reasons.empty();
    const Result<rf_device> own = backend.device_like(device);
    if (!own) {
        const bool unknown_arch = own.error().code == RF_NOT_FOUND;
        refuse(unknown_arch ? RF_R_ARCH : RF_R_DRIVER, "device", own.error().message, unknown_arch ? "an arch that it knows" : "a device that works",
               "");
    }
    if (!verdict.reasons.empty()) return verdict;
    // The verdict is the one without a sink, which planning acts on; with a sink the reasons are told.
    const rf_sink sink{sizeof(rf_sink), 0, &verdict.reasons, take_reason};
    verdict.supported = supports(backend, device, problem);
    const rf_code told = backend.api().supports(*backend.instance(), &*own, &problem, &sink);
    if (verdict.supported && !verdict.reasons.empty()) {
        log_.write(RF_LOG_WARN, fmt::format("{}: supports() returns RF_OK and reports a refusal; the code counts", backend.name()));
        verdict.reasons.clear();
    }
    if (!verdict.supported && (verdict.reasons.empty() || told != RF_UNSUPPORTED))
        refuse(RF_R_FAULT, "supports", rocforge_code_name(told), "RF_UNSUPPORTED with a reason, as without a sink",
               "report this to the backend's vendor");
    return verdict;
}

Error Runtime::missing(const Decision& decision) const {
    Error error = registry_.missing(decision.named->backend);
    error.message += fmt::format(" (asked for by {})", decision.named->source);
    return error;
}

void Runtime::tell_fallback(const std::string& chosen, const std::string& why) const {
    log_.write(config_.fallback.value == Fallback::warn ? RF_LOG_WARN : RF_LOG_INFO, fmt::format("fell back to {}: {}", chosen, why));
}

Result<rf_code> Runtime::select(const rf_device& device, const rf_problem& from_caller, const char* backend, rocforge_choice& out) {
    Result<rf_problem> problem = complete_problem(from_caller);
    if (!problem) return problem.error();
    const std::shared_lock lock(guard_);
    for (Backend& each : registry_.backends()) out.verdicts.push_back(examine(each, device, *problem));
    for (const Ranked& ranked : ranking()) out.verdicts[ranked.candidate].dropped_in = ranked.dropped_in;
    const Policy policy_now = policy(device, *problem, backend);
    const Decision decision = choose(candidates_, device.kind, policy_now, [&](std::size_t i) { return out.verdicts[i].supported; });
    if (decision.code == RF_NOT_FOUND) return missing(decision);
    out.runtime = shared_from_this();
    out.problem = *problem;
    out.device_kind = device.kind;
    out.why = decision.why;
    out.named = decision.named && !decision.fell_back;
    out.fell_back = decision.fell_back;
    if (decision.code != RF_OK) {
        out.why = headline(decision, config_.fallback.value, device, out.verdicts);
        out.refusal = refusal_text(decision, config_.fallback.value, device, out.verdicts);
        return rf_code{RF_UNSUPPORTED};
    }
    out.winner = &registry_.backends()[decision.winner];
    out.device = *out.winner->device_like(device);
    if (out.fell_back) tell_fallback(out.winner->name(), out.why);
    return rf_code{RF_OK};
}

Result<rf_kv_layout> Runtime::kv_layout(const rf_device& device, const rf_problem& from_caller, std::uint32_t index) {
    rocforge_choice choice;
    const Result<rf_code> code = select(device, from_caller, nullptr, choice);
    if (!code) return code.error();
    if (*code != RF_OK) return Error{*code, choice.refusal};
    rf_kv_layout layout{};
    layout.struct_size = sizeof layout;
    const rf_code found = choice.winner->api().kv_layout(*choice.winner->instance(), &choice.device, &choice.problem, index, &layout);
    if (found != RF_OK) return Error{found, fmt::format("{}: no KV layout of index {}", choice.winner->name(), index)};
    return layout;
}

// ---- Devices -----------------------------------------------------------------------------------------------------------------------------

namespace {

// "rocm:1" or "rocm" to a kind and an ordinal; kind 0 for anything else.
rf_device parse_device(std::string_view name) {
    rf_device device{};
    device.struct_size = sizeof device;
    const std::size_t colon = name.find(':');
    device.kind = kind_by_name(name.substr(0, colon));
    if (!device.kind || colon == std::string_view::npos) return device;
    const std::string_view digits = name.substr(colon + 1);
    const bool number = !digits.empty() && digits.size() <= 4 && digits.find_first_not_of("0123456789") == std::string_view::npos;
    if (number)
        device.ordinal = std::stoi(std::string(digits));
    else
        device.kind = 0;
    return device;
}

}  // namespace

std::string Runtime::chosen_name(const char* backend) const {
    if (backend) return backend;
    if (env_.backend) return *env_.backend;
    if (default_backend_) return *default_backend_;
    const auto preset = config_.default_backend.find("");
    return preset == config_.default_backend.end() ? "" : preset->second.value;
}

Result<rf_device> Runtime::find_device(const char* name, const char* backend) {
    const std::shared_lock lock(guard_);
    const std::string chosen = chosen_name(backend);
    if (!chosen.empty() && !registry_.find(chosen, 0)) return registry_.missing(chosen);
    // Who is asked: the named one; for a device that is named itself, or where nobody insists on the backend, then all in order, then the rest.
    std::vector<Backend*> asked;
    const auto ask = [&](Backend& each) {
        if (std::find(asked.begin(), asked.end(), &each) == asked.end()) asked.push_back(&each);
    };
    for (Backend& each : registry_.backends())
        if (chosen == each.name()) ask(each);
    if (name || !backend)
        for (const Ranked& ranked : ranking()) ask(registry_.backends()[ranked.candidate]);
    if (name)
        for (Backend& each : registry_.backends()) ask(each);
    const rf_device wanted = name ? parse_device(name) : rf_device{};

    std::vector<std::string> why_not;
    for (Backend* each : asked) {
        if (wanted.kind && wanted.kind != each->kind()) continue;
        Result<rf_device> found = !name ? each->first_device() : wanted.kind ? each->device_like(wanted) : each->describe(name);
        if (found) return found;
        why_not.push_back(found.error().message);
    }
    if (name && !wanted.kind)
        return Error{RF_NOT_FOUND,
                     fmt::format("no backend knows the device '{}'; wanted cpu, rocm:N, cuda:N or an arch that a loaded backend describes", name)};
    if (why_not.empty())
        return Error{RF_UNAVAILABLE, name ? fmt::format("no backend for the device '{}' is loaded; rocforge doctor lists what was tried", name)
                                          : "no backend is loaded; rocforge doctor lists what was tried"};
    return Error{RF_UNAVAILABLE, fmt::format("{}", fmt::join(why_not, "; "))};
}

// ---- Planning ----------------------------------------------------------------------------------------------------------------------------

Result<PlanPointer> Runtime::plan_on(Backend& backend, const rf_device& device, const rf_problem& problem) {
    const Result<rf_backend*> self = backend.instance();
    if (!self) return self.error();
    if (device.ordinal < 0) return Error{RF_UNAVAILABLE, fmt::format("{}: {} is not a device of this machine", backend.name(), device.arch)};
    PlanPointer out(new rocforge_plan_t, rocforge_plan_release);
    out->device = device;
    out->nothing_to_do = problem.batch == 0 || problem.max_seq_q == 0 || !has_elements(problem.q);
    out->arguments = PlanArguments(problem);
    out->info.struct_size = sizeof(rf_plan_info);
    out->info.estimate_us = -1;
    rf_error error = new_error();
    const rf_code code = backend.api().plan(*self, &out->device, &problem, 0, &out->plan, &out->info, &error);
    if (code != RF_OK) {
        const bool contradiction = code == RF_UNSUPPORTED;  // supports() said yes
        return Error{contradiction ? rf_code{RF_INTERNAL} : code, told_by(backend, error, "plan"), error.native};
    }
    if (!out->plan) return Error{RF_INTERNAL, fmt::format("{}: plan returned RF_OK and no plan", backend.name())};
    out->backend = &backend;
    if (out->info.workspace_bytes > problem.workspace_limit_bytes)
        return Error{RF_INTERNAL, fmt::format("{}: plan wants {} bytes of workspace, the problem allows {}", backend.name(),
                                              out->info.workspace_bytes, problem.workspace_limit_bytes)};
    out->arguments.demand_scratch(out->info);
    out->runtime = shared_from_this();
    out->kernel = out->info.kernel ? out->info.kernel : "";
    return out;
}

Result<PlanPointer> Runtime::plan_choice(const rocforge_choice& choice) {
    if (!choice.winner) return Error{RF_UNSUPPORTED, choice.refusal};
    const std::shared_lock lock(guard_);
    Result<PlanPointer> made = plan_on(*choice.winner, choice.device, choice.problem);
    if (!made) {  // whoever else there is now, as when rocforge_plan meets this
        Policy policy_now{{}, config_.order.value, config_.order.origin, config_.fallback.value};
        if (choice.named) policy_now.named.push_back({choice.winner->name(), choice.why});
        return first_plan(policy_now, choice.device, choice.problem, Failure{choice.winner, made.error()});
    }
    (*made)->why = choice.why;
    (*made)->fell_back = choice.fell_back;
    return made;
}

Result<PlanPointer> Runtime::plan(const rf_device& device, const rf_problem& from_caller) {
    if (!RF_HAS(&from_caller, workspace_limit_bytes)) return complete_problem(from_caller).error();
    return cached_plan(PlanKey(device, from_caller), device);
}

Result<PlanPointer> Runtime::cached_plan(const PlanKey& key, const rf_device& device) {
    if (rocforge_plan_t* cached = cache_.find(key)) return PlanPointer(cached, rocforge_plan_release);
    const std::uint64_t generation = cache_.generation();
    Result<rf_problem> problem = complete_problem(key.problem);
    if (!problem) return problem.error();
    const std::shared_lock lock(guard_);
    Result<PlanPointer> made = first_plan(policy(device, *problem, nullptr), device, *problem, std::nullopt);
    if (made) cache_.add(key, made->get(), generation);
    return made;
}

// The plan of the first backend that the policy takes and that can plan: where one cannot, select.fallback says whether the next is tried.
Result<PlanPointer> Runtime::first_plan(const Policy& policy_now, const rf_device& device, const rf_problem& problem,
                                        std::optional<Failure> failure) {
    std::vector<const Backend*> failed;  // supported, but could not plan
    std::optional<Error> first_failure;
    for (;;) {
        if (failure) {
            if (config_.fallback.value == Fallback::error) return with_way_out(failure->error, *failure->backend);
            if (!first_failure) first_failure = failure->error;
            failed.push_back(failure->backend);
        }
        const Decision decision = choose(candidates_, device.kind, policy_now, [&](std::size_t i) {
            Backend& each = registry_.backends()[i];
            return std::find(failed.begin(), failed.end(), &each) == failed.end() && supports(each, device, problem);
        });
        if (decision.code == RF_NOT_FOUND) return missing(decision);
        if (decision.code != RF_OK) return first_failure ? *first_failure : nobody(decision, device, problem);
        Backend& winner = registry_.backends()[decision.winner];
        Result<PlanPointer> made = plan_on(winner, *winner.device_like(device), problem);
        if (made) {
            (*made)->why = first_failure ? fmt::format("{}, because of: {}", decision.why, first_failure->message) : decision.why;
            (*made)->fell_back = decision.fell_back || first_failure;
            if ((*made)->fell_back) tell_fallback(winner.name(), (*made)->why);
            return made;
        }
        failure = Failure{&winner, made.error()};
    }
}

// The refusal of everybody who was asked.
Error Runtime::nobody(const Decision& decision, const rf_device& device, const rf_problem& problem) {
    std::vector<Verdict> verdicts;
    for (Backend& each : registry_.backends())
        if (each.kind() == device.kind) verdicts.push_back(examine(each, device, problem));
    return {RF_UNSUPPORTED, refusal_text(decision, config_.fallback.value, device, verdicts)};
}

// ---- Forward -----------------------------------------------------------------------------------------------------------------------------

rf_code forward_plan(const rocforge_plan_t& plan, const rf_args& args, rf_error* error) noexcept {
    if (plan.nothing_to_do) return RF_OK;
    if (const PlanArguments::Fault fault = plan.arguments.check(args)) [[unlikely]]
        return guarded(error, [&] { return fail(error, RF_INVALID, "forward: " + plan.arguments.text_of(fault, args)); });
    // A message that the caller's struct still holds from before is not this call's.
    if (error && error->struct_size >= sizeof(rf_error)) error->message[0] = '\0';
    const rf_code code = plan.backend->api().forward(plan.plan, &args, error);
    if (code == RF_OK) [[likely]]
        return RF_OK;
    return guarded(error, [&] {
        rf_error told = new_error();
        if (error && error->struct_size >= sizeof(rf_error)) told = *error;
        return fail(error, code, told_by(*plan.backend, told, "forward"), told.native);
    });
}

Result<ZeroedBlocks::Block> Runtime::take_zeroed(const rocforge_plan_t& plan, void* stream) {
    Backend& backend = *plan.backend;
    Result<ZeroedBlocks::Block> taken = zeroed_.take(&backend, plan.device, plan.info.zeroed_bytes, stream);
    if (!taken || taken->zero) return taken;
    const Result<bool> zeroed = zero(backend, plan.device, *taken, stream);
    if (zeroed) return taken;
    zeroed_.give_up(*taken);
    return zeroed.error();
}

Result<bool> Runtime::attention(const rf_device& device, const rf_problem& from_caller, const rf_args& args) {
    if (!RF_HAS(&from_caller, workspace_limit_bytes)) return complete_problem(from_caller).error();
    if (!RF_HAS(&args, stream)) return Error{RF_INVALID, fmt::format("args.struct_size is {}, wanted {}", args.struct_size, sizeof(rf_args))};
    Result<PlanPointer> made = cached_plan(PlanKey(device, with_alignment_of(from_caller, args)), device);
    if (!made) return made.error();
    const rocforge_plan_t& plan = **made;
    rf_args call = sized_copy(&args);
    ZeroedBlocks::Block zeroed;
    if (plan.info.zeroed_bytes) {
        Result<ZeroedBlocks::Block> taken = take_zeroed(plan, args.stream);
        if (!taken) return taken.error();
        zeroed = *taken;
        call.zeroed = zeroed.memory;
    }
    Workspaces::Block workspace;
    if (plan.info.workspace_bytes) {
        Result<Workspaces::Block> taken = workspaces_.take(plan.device, plan.info.workspace_bytes, args.stream);
        if (!taken) {
            if (zeroed.memory) zeroed_.keep(zeroed);
            return taken.error();
        }
        workspace = *taken;
        call.workspace = workspace.memory;
        call.workspace_bytes = plan.info.workspace_bytes;
    }
    rf_error error = new_error();
    const rf_code code = forward_plan(plan, call, &error);
    if (workspace.memory) workspaces_.give(plan.device, workspace, args.stream);
    if (zeroed.memory) code == RF_OK ? zeroed_.keep(zeroed) : zeroed_.give_up(zeroed);
    if (code != RF_OK) return Error{code, error.message, error.native};
    return true;
}

}  // namespace rocforge

rocforge_plan_t::~rocforge_plan_t() {
    if (plan && backend) backend->api().plan_free(plan);
}
