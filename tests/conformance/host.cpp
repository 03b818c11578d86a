// Contexts, plans and lent threads for the conformance tests.
#include "host.h"

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <stdexcept>

#include "conformance/backend.h"
#include "filter.h"

namespace rocforge::tests {

using conformance::empty_error;

namespace {

constexpr std::align_val_t kWorkspaceAlign{256};

// A number that a kernel must not rely on: as a float it is a NaN.
std::byte* garbage(std::uint64_t bytes) {
    auto* memory = static_cast<std::byte*>(::operator new(bytes, kWorkspaceAlign));
    std::memset(memory, 0xFF, bytes);
    return memory;
}

// A configuration file in a folder that nobody else may enter, as the library demands of what it trusts; both go with the object.
class ConfigFile {
public:
    explicit ConfigFile(const std::string& toml) {
        if (toml.empty()) return;
        std::string folder = (std::filesystem::temp_directory_path() / "rocforge-conformance-XXXXXX").string();
        if (!mkdtemp(folder.data())) throw std::runtime_error("cannot make a folder for a configuration: " + folder);  // mode 0700
        folder_ = folder;
        file_ = (folder_ / "rocforge.toml").string();
        std::ofstream(file_) << toml;
    }
    ~ConfigFile() {
        std::error_code ignored;
        if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
    }
    ConfigFile(const ConfigFile&) = delete;
    ConfigFile& operator=(const ConfigFile&) = delete;
    const char* path() const { return file_.empty() ? nullptr : file_.c_str(); }

private:
    std::filesystem::path folder_;
    std::string file_;
};

std::string reasons_of(const rocforge_choice* choice) {
    std::string text;
    rocforge_candidate candidate{};
    candidate.struct_size = sizeof candidate;
    for (std::uint32_t c = 0; rocforge_choice_candidate(choice, c, &candidate) == RF_OK; ++c)
        for (std::uint32_t r = 0; r < candidate.reasons; ++r) {
            rf_reason reason{};
            reason.struct_size = sizeof reason;
            if (rocforge_choice_reason(choice, c, r, &reason) != RF_OK) continue;
            text += std::string(text.empty() ? "" : "; ") + candidate.name + ": " + reason.field + " is " + reason.have + ", needs " + reason.need;
        }
    return text;
}

}  // namespace

Host::Host(const Threads& threads, const std::string& toml) : lent_(new Lent{{threads.workers, threads.order}}) {
    rocforge_hooks hooks{};
    hooks.struct_size = sizeof hooks;
    hooks.self = lent_.get();
    hooks.parallel_for = [](void* self, std::int64_t n, std::uint32_t max_workers, conformance::LentThreads::Body body, void* arg) {
        auto& lent = *static_cast<Lent*>(self);
        ++lent.calls;
        lent.threads.parallel_for(n, max_workers, body, arg);
    };
    hooks.workers = threads.workers;
    rf_error error = empty_error();
    rocforge_context* context = nullptr;
    const ConfigFile config(toml);
    if (rocforge_open(config.path(), threads.workers ? &hooks : nullptr, &context, &error) != RF_OK) throw std::runtime_error(error.message);
    context_.reset(context);
    list_backends();
}

void Host::list_backends() {
    rocforge_backend_info info{};
    info.struct_size = sizeof info;
    for (std::uint32_t index = 0; rocforge_backend(context(), index, &info) == RF_OK; ++index) {
        if (!wanted_backend(info.name)) continue;
        const auto leave_out = [&](const rf_error& error) { left_out_.push_back(std::string(info.name) + ": " + error.message); };
        rf_device device{};
        device.struct_size = sizeof device;
        rf_error error = empty_error();
        for (std::uint32_t at = 0;; ++at) {
            const rf_code code = rocforge_device(context(), info.name, info.device_kind, at, &device, &error);
            if (code != RF_OK) {
                if (at == 0) leave_out(error);
                break;
            }
            if (!wanted_device(device)) continue;
            place({info.name, device});
            break;
        }
    }
}

void Host::place(const PlacedBackend& backend) {
    if (backend.device.kind == RF_DEVICE_CPU) return backends_.push_back(backend);
    rf_error error = empty_error();
    rocforge_device_t* lent = nullptr;
    if (rocforge_device_open(context(), &backend.device, backend.name.c_str(), &lent, &error) == RF_OK)
        on_devices_.push_back(backend);
    else
        left_out_.push_back(error.message);
    rocforge_device_close(lent);
}

rf_code plan_on(const Host& host, const PlacedBackend& backend, const rf_problem& problem, rocforge_plan_t** plan, std::string& why) {
    rf_error error = empty_error();
    rocforge_choice* choice = nullptr;
    rf_code code = rocforge_select(host.context(), &backend.device, &problem, backend.name.c_str(), &choice, &error);
    const std::unique_ptr<rocforge_choice, void (*)(rocforge_choice*)> owner(choice, rocforge_choice_release);
    if (code == RF_OK) code = rocforge_plan_choice(choice, plan, &error);
    if (code != RF_OK) why = code == RF_UNSUPPORTED && choice ? reasons_of(choice) : error.message;
    return code;
}

void Planned::Free::operator()(std::byte* p) const { ::operator delete(p, kWorkspaceAlign); }

rf_code Planned::open(const Host& host, const PlacedBackend& backend, const rf_problem& problem, std::string& why) {
    const rf_code code = plan_on(host, backend, problem, plan_, why);
    if (code != RF_OK) return code;
    rocforge_plan_details details{};
    details.struct_size = sizeof details;
    rocforge_plan_describe(plan_.get(), &details);
    workspace_bytes_ = details.workspace_bytes;
    workspace_.reset(garbage(details.workspace_bytes));
    zeroed_.reset(garbage(details.zeroed_bytes));
    std::memset(zeroed_.get(), 0, details.zeroed_bytes);
    return RF_OK;
}

std::string Planned::kernel() const {
    rocforge_plan_details details{};
    details.struct_size = sizeof details;
    rocforge_plan_describe(plan_.get(), &details);
    return details.kernel ? details.kernel : "";
}

rf_code Planned::forward(rf_args args, std::string& why) {
    args.workspace = workspace_.get();
    args.workspace_bytes = workspace_bytes_;
    args.zeroed = zeroed_.get();
    rf_error error = empty_error();
    const rf_code code = rocforge_forward(plan_.get(), &args, &error);
    if (code != RF_OK) why = error.message;
    return code;
}

rf_code run_planned(const Host& host, const PlacedBackend& backend, const rf_problem& problem, const rf_args& args, std::string& why) {
    Planned planned;
    const rf_code code = planned.open(host, backend, problem, why);
    return code == RF_OK ? planned.forward(args, why) : code;
}

rf_code run_one_call(const Host& host, const PlacedBackend& backend, const rf_problem& complete, const rf_args& args, std::string& why) {
    rf_error error = empty_error();
    rf_problem problem = complete;
    problem.features &= ~(RF_F_GROUPED_HEADS | RF_F_DIM_V | RF_F_KV_DTYPE | RF_F_OUT_DTYPE | RF_F_DIAGONAL);
    if (problem.scale == static_cast<float>(1 / std::sqrt(static_cast<double>(problem.q.shape[3])))) problem.scale = NAN;
    for (rf_tensor* tensor : {&problem.mask, &problem.k_scale, &problem.v_scale})
        for (int axis = 0; axis < (tensor == &problem.mask ? 4 : 3); ++axis)
            if (tensor->stride[axis] == 0 && tensor->shape[axis] > 1) tensor->shape[axis] = 1;
    rf_code code = rocforge_set_default(host.context(), backend.name.c_str(), &error);
    if (code == RF_OK) code = rocforge_attention(host.context(), &backend.device, &problem, &args, &error);
    if (code != RF_OK) why = error.message;
    return code;
}

}  // namespace rocforge::tests
