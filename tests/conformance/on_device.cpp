#include "on_device.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "conformance/backend.h"

namespace rocforge::tests {

using conformance::empty_error;
using conformance::Image;
using conformance::Materialised;

namespace {

constexpr std::uint64_t kAlign = 256;
constexpr std::byte kGuard{0xFF};  // as a number of any type a NaN: a value read from it shows
constexpr std::uint64_t kFirstBlockBytes = 64 << 20;

std::uint64_t round_up(std::uint64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

}  // namespace

void demand(rf_code code, const rf_error& error, const char* doing) {
    if (code != RF_OK) throw std::runtime_error(std::string(doing) + ": " + rocforge_code_name(code) + ": " + error.message);
}

Device open_device(const Host& host, const PlacedBackend& backend) {
    rf_error error = empty_error();
    rocforge_device_t* device = nullptr;
    demand(rocforge_device_open(host.context(), &backend.device, backend.name.c_str(), &device, &error), error, "opening the device");
    return Device(device);
}

Made allocate(rocforge_device_t* device, std::uint64_t bytes) {
    rf_error error = empty_error();
    void* memory = nullptr;
    demand(rocforge_device_allocate(device, bytes, &memory, &error), error, "allocating");
    return {device, memory, rocforge_device_release};
}

Made create_stream(rocforge_device_t* device) {
    rf_error error = empty_error();
    void* stream = nullptr;
    demand(rocforge_stream_create(device, &stream, &error), error, "making a stream");
    return {device, stream, rocforge_stream_destroy};
}

// ---- StagedCase

namespace {

rocforge_plan_details details_of(const rocforge_plan_t* plan) {
    rocforge_plan_details details{};
    details.struct_size = sizeof details;
    rocforge_plan_describe(plan, &details);
    return details;
}

}  // namespace

StagedCase::StagedCase(rocforge_device_t* device, const Materialised& tensors, const rocforge_plan_t* plan)
    : device_(device),
      plan_(plan),
      image_(tensors, details_of(plan).zeroed_bytes),
      block_(allocate(device, image_.bytes())),
      workspace_(allocate(device, details_of(plan).workspace_bytes)),
      after_(image_.bytes()),
      args_(image_.args(static_cast<std::byte*>(block_.get()))) {
    args_.workspace = workspace_.get();
    args_.workspace_bytes = details_of(plan).workspace_bytes;
}

void StagedCase::upload(void* stream) {
    rf_error error = empty_error();
    demand(rocforge_copy_to_device(device_, block_.get(), image_.refresh(), image_.bytes(), stream, &error), error, "copying");
}

void StagedCase::enqueue(void* stream) {
    rf_error error = empty_error();
    args_.stream = stream;
    demand(rocforge_forward(plan_, &args_, &error), error, "forward");
}

void StagedCase::download(void* stream) {
    rf_error error = empty_error();
    demand(rocforge_copy_to_host(device_, after_.data(), block_.get(), after_.size(), stream, &error), error, "copying back");
    if (const std::string damage = image_.collect(after_.data()); !damage.empty()) throw std::runtime_error(damage);
}

// ---- DeviceRunner

struct DeviceRunner::Call {
    PlanHandle plan;
    Image image;
    rf_args args{};
    std::byte* base = nullptr;
};

DeviceRunner::DeviceRunner(const Host& host, const PlacedBackend& backend)
    : host_(host), backend_(backend), device_(open_device(host, backend)), stream_(create_stream(device_.get())) {}

// The block, grown where it is too small: the image first, the workspace behind it. What an earlier case left there is this one's garbage.
std::byte* DeviceRunner::room(std::uint64_t bytes) {
    if (bytes > block_bytes_) {
        block_ = Made();
        block_bytes_ = std::max({bytes, 2 * block_bytes_, kFirstBlockBytes});
        block_ = allocate(device_.get(), block_bytes_);
        const std::vector<std::byte> garbage(kFirstBlockBytes, kGuard);
        rf_error error = empty_error();
        for (std::uint64_t at = 0; at < block_bytes_; at += garbage.size())
            demand(rocforge_copy_to_device(device_.get(), static_cast<std::byte*>(block_.get()) + at, garbage.data(),
                                           std::min<std::uint64_t>(garbage.size(), block_bytes_ - at), nullptr, &error),
                   error, "filling device memory");
    }
    return static_cast<std::byte*>(block_.get());
}

void DeviceRunner::enqueue(Call& call, void* stream) {
    rf_error error = empty_error();
    call.args.stream = stream;
    demand(rocforge_forward(call.plan.get(), &call.args, &error), error, "forward");
}

// Captured once, its plan freed, replayed on the block and once more on the block as it was before.
void DeviceRunner::run_captured(Call& call) {
    rf_error error = empty_error();
    void* graph = nullptr;
    demand(rocforge_graph_begin(device_.get(), stream_.get(), &error), error, "beginning a capture");
    enqueue(call, stream_.get());
    demand(rocforge_graph_end(device_.get(), stream_.get(), &graph, &error), error, "ending a capture");
    const Made owner(device_.get(), graph, rocforge_graph_destroy);
    call.plan.reset();
    for (int replay = 0; replay < 2; ++replay) {
        if (replay > 0)
            demand(rocforge_copy_to_device(device_.get(), call.base, call.image.refresh(), call.image.bytes(), stream_.get(), &error), error,
                   "copying");
        demand(rocforge_graph_replay(device_.get(), graph, stream_.get(), &error), error, "replaying");
        demand(rocforge_stream_synchronize(device_.get(), stream_.get(), &error), error, "waiting for a replay");
    }
}

bool DeviceRunner::lends_graphs() const {
    rf_error error = empty_error();
    if (rocforge_graph_begin(device_.get(), stream_.get(), &error) == RF_UNSUPPORTED) return false;
    void* graph = nullptr;
    demand(rocforge_graph_end(device_.get(), stream_.get(), &graph, &error), error, "capturing nothing");
    rocforge_graph_destroy(device_.get(), graph);
    return true;
}

rf_code DeviceRunner::run(DeviceManner manner, const Materialised& tensors, const rf_problem& problem, const rf_args& args, std::string& why) {
    try {
        return attempt(manner, tensors, problem, args, why);
    } catch (const std::runtime_error& failure) {
        why = failure.what();
        return RF_DEVICE;
    }
}

rf_code DeviceRunner::attempt(DeviceManner manner, const Materialised& tensors, const rf_problem& problem, const rf_args& args, std::string& why) {
    PlanHandle plan;
    const rf_code code = plan_on(host_, backend_, conformance::with_true_alignment(problem, args), plan, why);
    if (code != RF_OK) return code;
    const rocforge_plan_details details = details_of(plan.get());
    Call call{std::move(plan), Image(tensors, details.zeroed_bytes)};
    const std::uint64_t workspace_offset = round_up(call.image.bytes());
    call.base = room(workspace_offset + details.workspace_bytes);
    call.args = call.image.args(call.base);
    call.args.workspace = call.base + workspace_offset;
    call.args.workspace_bytes = details.workspace_bytes;
    const bool default_stream = manner == DeviceManner::default_stream;
    void* const stream = default_stream ? nullptr : stream_.get();
    rf_error error = empty_error();
    demand(rocforge_copy_to_device(device_.get(), call.base, call.image.refresh(), call.image.bytes(), stream, &error), error, "copying");
    if (manner == DeviceManner::graph_replayed_twice && (details.flags & RF_P_CAPTURABLE)) {
        run_captured(call);
    } else {
        enqueue(call, stream);
        if (!default_stream) call.plan.reset();
    }
    after_.resize(call.image.bytes());
    demand(rocforge_copy_to_host(device_.get(), after_.data(), call.base, after_.size(), stream, &error), error, "copying back");
    why = call.image.collect(after_.data());
    return why.empty() ? rf_code{RF_OK} : rf_code{RF_INTERNAL};
}

}  // namespace rocforge::tests
