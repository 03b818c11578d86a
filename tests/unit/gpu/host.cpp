#include "host.hpp"

#include <dlfcn.h>

#include <stdexcept>

namespace tiny {
namespace {

rf_host_api host_api(std::vector<const rf_backend_api*>& tables) {
    rf_host_api api{};
    api.struct_size = sizeof api;
    api.self = reinterpret_cast<const rf_host*>(&tables);
    api.workers = 1;
    api.register_backend = [](const rf_host* self, const rf_backend_api* table) -> rf_code {
        reinterpret_cast<std::vector<const rf_backend_api*>*>(const_cast<rf_host*>(self))->push_back(table);
        return RF_OK;
    };
    return api;
}

void take_reason(void* self, const rf_reason* r) {
    static_cast<std::vector<Refusal>*>(self)->push_back({r->code, r->field, r->have, r->need, r->hint});
}

}  // namespace

std::vector<const rf_backend_api*> tables_of(rf_plugin_entry entry) {
    std::vector<const rf_backend_api*> tables;
    const rf_host_api api = host_api(tables);
    if (entry(&api, nullptr) != RF_OK) throw std::runtime_error("the plugin's entry failed");
    return tables;
}

rf_plugin_entry entry_of(const char* file) {
    void* const library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!library) throw std::runtime_error(dlerror());
    return reinterpret_cast<rf_plugin_entry>(dlsym(library, RF_PLUGIN_ENTRY));
}

Backend::Backend(const rf_backend_api& table) : table_(table) {
    std::vector<const rf_backend_api*> none;
    const rf_host_api api = host_api(none);
    if (table_.init(&api, &self_, nullptr) != RF_OK) throw std::runtime_error("init failed");
}

Backend::~Backend() { table_.shutdown(self_); }

Outcome Backend::device(std::int32_t index, rf_device& out) const {
    out = {};
    out.struct_size = sizeof out;
    return outcome([&](rf_error* error) { return table_.device(self_, index, &out, error); });
}

rf_device Backend::describe(const char* arch) const {
    rf_device device{};
    device.struct_size = sizeof device;
    if (table_.describe(self_, arch, &device) != RF_OK) throw std::runtime_error(std::string("unknown arch ") + arch);
    return device;
}

std::vector<Refusal> Backend::refusals(const rf_device& device, const rf_problem& problem) const {
    std::vector<Refusal> found;
    const rf_sink sink{sizeof(rf_sink), 0, &found, take_reason};
    const rf_code told = table_.supports(self_, &device, &problem, &sink), silent = table_.supports(self_, &device, &problem, nullptr);
    if (told != silent || (told == RF_OK) != found.empty()) throw std::logic_error("the verdict depends on the sink, or on nothing that was told");
    return found;
}

Plan::Plan(const Backend& backend, const rf_device& device, const rf_problem& problem, std::uint32_t algo) : backend_(backend) {
    info_.struct_size = sizeof info_;
    outcome_ =
        Backend::outcome([&](rf_error* error) { return backend.table().plan(backend.self(), &device, &problem, algo, &plan_, &info_, error); });
}

Plan::~Plan() {
    if (plan_) backend_.table().plan_free(plan_);
}

Outcome Plan::forward(const rf_args& args) const {
    return Backend::outcome([&](rf_error* error) { return backend_.table().forward(plan_, &args, error); });
}

}  // namespace tiny
