#include "host.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <stdexcept>

namespace tiny {
namespace {

constexpr std::align_val_t kWorkspaceAlign{256};

// A rf_host is whatever its maker says.
Cpu* self_of(const rf_host* host) { return reinterpret_cast<Cpu*>(const_cast<rf_host*>(host)); }

rf_plugin_entry entry() {
    static void* const library = dlopen(ROCFORGE_CPU_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(dlerror());
    return reinterpret_cast<rf_plugin_entry>(dlsym(library, RF_PLUGIN_ENTRY));
}

rf_error empty_error() {
    rf_error error{};
    error.struct_size = sizeof error;
    return error;
}

void take_reason(void* self, const rf_reason* r) { static_cast<std::vector<Refusal>*>(self)->push_back({r->code, r->field, r->have, r->need}); }

}  // namespace

Cpu::Cpu(std::uint32_t workers, Options options) : options_(std::move(options)) {
    api_.struct_size = sizeof api_;
    api_.self = reinterpret_cast<const rf_host*>(this);
    api_.workers = workers;
    api_.register_backend = take_table;
    api_.log = [](const rf_host*, std::int32_t, const char*, const char*) {};
    api_.option = option;
    api_.parallel_for = parallel_for;
    api_.extension = [](const rf_host*, const char*) -> const void* { return nullptr; };
    rf_error error = empty_error();
    if (entry()(&api_, &error) != RF_OK || !table_) throw std::runtime_error("the cpu plugin registers nothing");
    code_ = table_->init(&api_, &backend_, &error);
    error_ = error.message;
}

Cpu::~Cpu() {
    if (code_ == RF_OK) table_->shutdown(backend_);
}

rf_code Cpu::take_table(const rf_host* host, const rf_backend_api* table) {
    self_of(host)->table_ = table;
    return RF_OK;
}

const char* Cpu::option(const rf_host* host, const char*, const char* key) {
    const Options& options = self_of(host)->options_;
    const auto found = options.find(key);
    return found == options.end() ? nullptr : found->second.c_str();
}

void Cpu::parallel_for(const rf_host* host, std::int64_t n, std::uint32_t max_workers, void (*body)(void*, std::int64_t, std::int64_t, std::uint32_t),
                       void* arg) {
    Cpu& cpu = *self_of(host);
    cpu.most_workers = std::max(cpu.most_workers, max_workers);
    for (std::int64_t i = 0; i < n; ++i) body(arg, i, i + 1, static_cast<std::uint32_t>(i % std::min(max_workers, cpu.api_.workers)));
}

rf_device Cpu::device() const {
    rf_device device{};
    device.struct_size = sizeof device;
    rf_error error = empty_error();
    if (table_->device(backend_, 0, &device, &error) != RF_OK) throw std::runtime_error(error.message);
    return device;
}

std::vector<Refusal> Cpu::refusals(const rf_problem& problem, const rf_device& device) const {
    std::vector<Refusal> found;
    const rf_sink sink{sizeof(rf_sink), 0, &found, take_reason};
    const rf_code code = table_->supports(backend_, &device, &problem, &sink);
    if ((code == RF_OK) != found.empty())
        throw std::logic_error("verdict " + std::to_string(code) + " with " + std::to_string(found.size()) + " reasons");
    return found;
}

rf_code Cpu::verdict(const rf_problem& problem) const {
    const rf_device at = device();
    return table_->supports(backend_, &at, &problem, nullptr);
}

void Plan::Free::operator()(std::byte* p) const { ::operator delete(p, kWorkspaceAlign); }

Plan::Plan(const Cpu& cpu, const rf_problem& problem, const rf_device& device, std::uint32_t algo) : cpu_(cpu) {
    info_.struct_size = sizeof info_;
    rf_error error = empty_error();
    code_ = cpu.table().plan(cpu.backend(), &device, &problem, algo, &plan_, &info_, &error);
    error_ = error.message;
    if (code_ != RF_OK) return;
    workspace_.reset(static_cast<std::byte*>(::operator new(info_.workspace_bytes, kWorkspaceAlign)));
    std::memset(workspace_.get(), 0xFF, info_.workspace_bytes);  // as floats: NaN
}

Plan::~Plan() {
    if (plan_) cpu_.table().plan_free(plan_);
}

rf_code Plan::forward(rf_args args, std::string& why) const {
    args.workspace = workspace_.get();
    args.workspace_bytes = info_.workspace_bytes;
    rf_error error = empty_error();
    const rf_code code = cpu_.table().forward(plan_, &args, &error);
    if (code != RF_OK) why = error.message;
    return code;
}

}  // namespace tiny
