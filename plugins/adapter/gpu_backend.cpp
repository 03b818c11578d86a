// See gpu_backend.h.
#include "plugins/adapter/gpu_backend.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "plugins/adapter/attention.h"
#include "plugins/adapter/gpu_arch.h"

namespace rocforge::adapter {

using kernels::Attention;
using kernels::CodeObject;
using kernels::Launch;
using kernels::Machine;
using kernels::Recipe;
using platform::Launchable;
using platform::Runtime;
using platform::Vendor;

// A device that the runtime has: what it says of itself, and the code loaded for it so far.
struct GpuBackend::Device {
    struct Loaded {
        const CodeObject* object;
        platform::Module module = nullptr;  // until a kernel is first looked for in it
    };
    platform::DeviceFacts facts;
    std::vector<Loaded> code;
};

namespace {

const char* name_of(Vendor vendor) { return vendor == Vendor::amd ? "AMD" : "NVIDIA"; }

rf_code code_of(platform::Fault fault) {
    switch (fault) {
        case platform::Fault::unavailable:
            return RF_UNAVAILABLE;
        case platform::Fault::no_memory:
            return RF_NO_MEMORY;
        case platform::Fault::device:
            break;
    }
    return RF_DEVICE;
}

// Blocks an axis may have; AMD counts threads instead: fewer than 2^32 a launch.
bool grid_fits(const Launch& launch, Vendor vendor) {
    constexpr std::uint32_t kMostX = (std::uint32_t{1} << 31) - 1, kMostYZ = 65535;
    if (launch.grid[0] > kMostX || launch.grid[1] > kMostYZ || launch.grid[2] > kMostYZ) return false;
    return vendor == Vendor::nvidia || std::uint64_t{launch.grid[0]} * launch.threads <= std::numeric_limits<std::uint32_t>::max();
}

bool without_rows(const Attention& a) { return a.batch == 0 || a.max_seq_q == 0; }

bool empty(const Launch& launch) { return launch.grid[0] == 0 || launch.grid[1] == 0 || launch.grid[2] == 0; }

}  // namespace

GpuBackend::GpuBackend(const GpuPlugin& plugin, Vendor vendor) : plugin_(plugin), vendor_(vendor) {}

GpuBackend::~GpuBackend() {
    for (std::size_t ordinal = 0; ordinal < devices_.size(); ++ordinal) {
        if (!devices_[ordinal]) continue;
        for (const Device::Loaded& loaded : devices_[ordinal]->code) {
            if (loaded.module) Runtime::of(vendor_).unload(static_cast<int>(ordinal), loaded.module);
        }
    }
}

Failure GpuBackend::failure_of(const char* name, const platform::Error& error) {
    return Failure(code_of(error.fault()), std::string(name) + ": " + error.what(), error.number());
}

void GpuBackend::require_real(const rf_device& device) const {
    if (device.ordinal < 0) throw Failure(RF_UNAVAILABLE, std::string(plugin_.name) + ": a hypothetical device runs nothing; name a real one");
}

int GpuBackend::ordinal_of(const rf_device& device, const Runtime& runtime) const {
    if (device.ordinal >= runtime.devices()) {
        throw Failure(RF_NOT_FOUND,
                      std::string(plugin_.name) + ": device " + std::to_string(device.ordinal) + "; there are " + std::to_string(runtime.devices()));
    }
    return device.ordinal;
}

// With mutex_ held.
GpuBackend::Device& GpuBackend::device_at(const Runtime& runtime, int ordinal) const {
    devices_.resize(static_cast<std::size_t>(runtime.devices()));
    std::unique_ptr<Device>& kept = devices_[static_cast<std::size_t>(ordinal)];
    if (!kept) {
        auto found = std::make_unique<Device>();
        found->facts = runtime.facts(ordinal);
        for (const CodeObject* object : objects_for(plugin_.code_objects(), found->facts.arch)) found->code.push_back({object});
        kept = std::move(found);
    }
    return *kept;
}

rf_code GpuBackend::device(std::int32_t index, rf_device& out) const {
    return reported(plugin_.name, [&]() -> rf_code {
        const Runtime& runtime = Runtime::of(vendor_);
        if (index < 0 || index >= runtime.devices()) return RF_NOT_FOUND;
        const std::lock_guard lock(mutex_);
        const platform::DeviceFacts& facts = device_at(runtime, index).facts;
        out = {.struct_size = out.struct_size,
               .kind = device_kind(vendor_),
               .ordinal = index,
               .wave_size = facts.wave_size,
               .compute_units = facts.compute_units,
               .lds_bytes = facts.shared_bytes,
               .memory_bytes = facts.memory_bytes,
               .arch = facts.arch.c_str(),
               .name = facts.name.c_str(),
               .runtime = facts.runtime.c_str()};
        return RF_OK;
    });
}

rf_code GpuBackend::describe(std::string_view arch, rf_device& out) const {
    out = {.struct_size = out.struct_size, .kind = device_kind(vendor_), .ordinal = -1, .runtime = ""};
    if (const GpuArch* known = known_arch(vendor_, arch)) {
        out.wave_size = known->wave_size;
        out.compute_units = known->compute_units;
        out.lds_bytes = known->lds_bytes;
        out.memory_bytes = known->memory_bytes;
        out.arch = known->arch;
        out.name = known->name;
        return RF_OK;
    }
    // An arch that no code is built for, but that device() has given.
    const std::lock_guard lock(mutex_);
    for (const std::unique_ptr<Device>& device : devices_) {
        if (!device || device->facts.arch != arch) continue;
        out.wave_size = device->facts.wave_size;
        out.compute_units = device->facts.compute_units;
        out.lds_bytes = device->facts.shared_bytes;
        out.memory_bytes = device->facts.memory_bytes;
        out.arch = device->facts.arch.c_str();
        out.name = device->facts.name.c_str();
        return RF_OK;
    }
    return RF_NOT_FOUND;
}

// The machine that kernels are chosen for; nullopt where this file holds nothing for it, which is reported.
std::optional<Machine> GpuBackend::check_device(const rf_device& device, Reasons& reasons) const {
    if (device.kind != device_kind(vendor_)) {
        const std::string need = std::to_string(device_kind(vendor_)) + (vendor_ == Vendor::amd ? " (rocm)" : " (cuda)");
        reasons.refuse(RF_R_DEVICE_KIND, "device.kind", std::to_string(device.kind), need);
        return std::nullopt;
    }
    const std::string arch = device.arch ? device.arch : "";
    const std::optional<kernels::Family> family = family_of(arch);
    if (family && !objects_for(plugin_.code_objects(), arch).empty()) return Machine{*family, device.compute_units};
    const std::string held = archs_held(plugin_.code_objects(), vendor_);
    if (held.empty()) {
        reasons.refuse(RF_R_NOT_BUILT, "device.arch", arch,
                       "code for it; this file was built without a compiler for " + std::string(name_of(vendor_)) + " GPUs",
                       "rebuild where its compiler is installed");
    } else {
        reasons.refuse(RF_R_ARCH, "device.arch", arch, "code for it; this file holds " + held, "use a device of these, or another backend");
    }
    return std::nullopt;
}

// Kernels are chosen for problems with rows alone.
Recipe GpuBackend::choose(const rf_problem& problem, const Machine& machine) const {
    const Attention attention = attention_of(problem);
    if (!without_rows(attention)) return plugin_.choose(attention, machine, problem.workspace_limit_bytes);
    Recipe nothing;
    nothing.name = "nothing";
    return nothing;
}

// What only the chosen kernels know: their workspace, grid and shared memory.
void GpuBackend::check_recipe(const rf_device& device, const rf_problem& problem, const Machine& machine, Reasons& reasons) const {
    const Recipe recipe = choose(problem, machine);
    if (recipe.workspace_bytes > problem.workspace_limit_bytes) {
        reasons.refuse(RF_R_WORKSPACE, "workspace_limit_bytes", std::to_string(problem.workspace_limit_bytes),
                       "at least " + std::to_string(recipe.workspace_bytes), "raise the limit");
    }
    for (const Launch& launch : recipe.launches) {
        if (!grid_fits(launch, vendor_)) {
            const std::string have = std::to_string(launch.grid[0]) + " x " + std::to_string(launch.grid[1]) + " x " +
                                     std::to_string(launch.grid[2]) + " blocks of " + std::to_string(launch.threads) + " threads";
            reasons.refuse(RF_R_SHAPE, "batch", have, "a grid that one launch may have", "split the batch, the heads or the rows over several calls");
            return;
        }
        if (launch.shared_bytes > device.lds_bytes) {
            reasons.refuse(RF_R_ARCH, "device.lds_bytes", std::to_string(device.lds_bytes),
                           std::to_string(launch.shared_bytes) + " for kernel " + recipe.name);
            return;
        }
    }
}

void GpuBackend::supports(const rf_device& device, const rf_problem& problem, Reasons& reasons) const {
    const std::optional<Machine> machine = check_device(device, reasons);
    if (reasons.enough()) return;
    check(plugin_.limits, problem, reasons);
    if (machine && reasons.verdict() == RF_OK) check_recipe(device, problem, *machine, reasons);  // kernels are chosen within the limits alone
}

rf_code GpuBackend::kv_layout(const rf_device&, const rf_problem& problem, std::uint32_t index, rf_kv_layout& out) const {
    return adapter::kv_layout(plugin_.limits, problem, index, out);
}

// With mutex_ held. Loads code objects in order until one has the kernel: most plans touch one.
std::vector<Launchable> GpuBackend::load(const Runtime& runtime, int ordinal, Device& device, const Recipe& recipe) const {
    std::vector<Launchable> kernels;
    for (const Launch& launch : recipe.launches) {
        if (empty(launch)) continue;
        platform::Function function = nullptr;
        for (Device::Loaded& loaded : device.code) {
            if (!loaded.module) loaded.module = runtime.load(ordinal, loaded.object->begin);
            function = runtime.function(ordinal, loaded.module, launch.function.c_str(), launch.shared_bytes);
            if (function) break;
        }
        if (!function) throw Failure(RF_INTERNAL, std::string(plugin_.name) + ": no code object has the kernel " + launch.function);
        kernels.push_back({function, {launch.grid[0], launch.grid[1], launch.grid[2]}, launch.threads, launch.shared_bytes});
    }
    return kernels;
}

std::unique_ptr<GpuBackend::Plan> GpuBackend::plan(const rf_device& device, const rf_problem& problem, std::uint32_t algo, rf_plan_info& info) const {
    if (algo != 0) throw Failure(RF_NOT_FOUND, std::string(plugin_.name) + ": algo " + std::to_string(algo) + "; there is algo 0 alone");
    FirstRefusal refusal;
    const rf_sink sink = refusal.sink();
    Reasons reasons(&sink);
    supports(device, problem, reasons);
    if (reasons.verdict() != RF_OK) throw Failure(RF_UNSUPPORTED, std::string(plugin_.name) + ": " + refusal.text);
    return on_device(device, [&](const Runtime& runtime, int ordinal) {
        Recipe recipe = choose(problem, Machine{*family_of(device.arch), device.compute_units});
        const std::lock_guard lock(mutex_);
        std::vector<Launchable> kernels = load(runtime, ordinal, device_at(runtime, ordinal), recipe);
        auto made = std::make_unique<Plan>(plugin_.name, runtime, ordinal, attention_of(problem), std::move(recipe), std::move(kernels));
        info = {.struct_size = info.struct_size,
                .flags = RF_P_CAPTURABLE | RF_P_DETERMINISTIC,
                .workspace_bytes = made->recipe().workspace_bytes,
                .zeroed_bytes = made->recipe().zeroed_bytes,
                .estimate_us = -1,
                .kernel = made->recipe().name.c_str()};
        return made;
    });
}

GpuBackend::Plan::Plan(const char* name, const Runtime& runtime, int ordinal, const Attention& attention, Recipe recipe,
                       std::vector<Launchable> kernels)
    : name_(name), runtime_(runtime), ordinal_(ordinal), attention_(attention), recipe_(std::move(recipe)), kernels_(std::move(kernels)) {}

void GpuBackend::Plan::forward(const rf_args& args) const {
    if (kernels_.empty()) return;
    if (args.workspace_bytes < recipe_.workspace_bytes || (recipe_.workspace_bytes > 0 && !args.workspace)) {
        throw Failure(RF_INVALID, std::string(name_) + ": workspace of " + std::to_string(args.workspace_bytes) + " bytes; the plan needs " +
                                      std::to_string(recipe_.workspace_bytes));
    }
    kernels::MappedCall argument;  // kernels that use no maps take its call alone
    argument.call = {.attention = attention_,
                     .pointers = pointers_of(args, attention_.dropout_p),
                     .cut = recipe_.cut,
                     .workspace = static_cast<std::byte*>(args.workspace),
                     .zeroed = static_cast<std::uint32_t*>(args.zeroed)};
    reported(name_, [&] {
        if (const auto& boxed = recipe_.boxed) {
            // Only here is it seen where the mask begins. Last, since it may be left out.
            argument.call.cut.boxed_mask = boxed->mask && reinterpret_cast<std::uintptr_t>(args.mask) % platform::BoxedTensor::kStrideBytes == 0;
            const platform::MapRequest requests[] = {{&boxed->q, args.q, &argument.q},
                                                     {&boxed->k, args.k, &argument.k},
                                                     {&boxed->v, args.v, &argument.v},
                                                     {&boxed->out, args.out, &argument.out},
                                                     {argument.call.cut.boxed_mask ? &*boxed->mask : nullptr, args.mask, &argument.mask}};
            runtime_.map(ordinal_, std::span(requests).first(argument.call.cut.boxed_mask ? 5 : 4));
        }
        runtime_.launch(ordinal_, kernels_, &argument, static_cast<platform::Stream>(args.stream));
    });
}

}  // namespace rocforge::adapter
