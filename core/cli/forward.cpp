#include "forward.hpp"

#include <chrono>

namespace rocforge::cli {
namespace {

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point start) { return std::chrono::duration<double, std::micro>(Clock::now() - start).count(); }

}  // namespace

Forward::Forward(const Verdict& verdict, const Device* device) : device_(device) {
    rocforge_plan_t* plan = nullptr;
    LibraryError error;
    const Clock::time_point start = Clock::now();
    const rf_code code = rocforge_plan_choice(verdict.choice.get(), &plan, &error);
    plan_us_ = us_since(start);
    check(code, error);
    plan_.reset(plan);
    rocforge_plan_details details{};
    details.struct_size = sizeof details;
    rocforge_plan_describe(plan, &details);
    kernel_ = details.kernel ? details.kernel : "";
    workspace_bytes_ = details.workspace_bytes;
    take_scratch(details);
}

void Forward::take_scratch(const rocforge_plan_details& details) {
    if (!device_) {
        demand_memory(details.workspace_bytes + details.zeroed_bytes);
        workspace_ = Buffer(details.workspace_bytes);
        zeroed_ = Buffer(details.zeroed_bytes);
        return;
    }
    device_workspace_ = DeviceBuffer(*device_, details.workspace_bytes);
    device_zeroed_ = DeviceBuffer(*device_, Buffer(details.zeroed_bytes).span());
}

void Forward::enqueue(rf_args args) const {
    args.workspace = device_ ? device_workspace_.data() : workspace_.data();
    args.workspace_bytes = workspace_bytes_;
    args.zeroed = device_ ? device_zeroed_.data() : zeroed_.data();
    LibraryError error;
    check(rocforge_forward(plan_.get(), &args, &error), error);
}

double Forward::operator()(const rf_args& args) const {
    const Clock::time_point start = Clock::now();
    enqueue(args);
    if (device_) device_->synchronize();
    return us_since(start);
}

}  // namespace rocforge::cli
