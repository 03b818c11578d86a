#include "forward.hpp"

#include <fmt/format.h>

#include <chrono>

#include "names.hpp"

namespace rocforge::cli {
namespace {

using Clock = std::chrono::steady_clock;

double us_since(Clock::time_point start) { return std::chrono::duration<double, std::micro>(Clock::now() - start).count(); }

}  // namespace

void demand_host_device(const rf_device& device) {
    if (device.ordinal < 0) {
        throw Quit(Status::kBackend,
                   fmt::format("{} is known but not in this machine; name a device of this machine (rocforge list), or ask rocforge explain",
                               device_name(device)));
    }
    if (device.kind != RF_DEVICE_CPU) {
        throw Quit(Status::kBackend,
                   fmt::format("{} has memory of its own, this command computes in host memory; use --device cpu", device_name(device)));
    }
}

Forward::Forward(const Verdict& verdict) {
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
    demand_memory(details.workspace_bytes + details.zeroed_bytes);
    workspace_ = Buffer(details.workspace_bytes);
    zeroed_ = Buffer(details.zeroed_bytes);
}

double Forward::operator()(rf_args args) const {
    args.workspace = workspace_.data();
    args.workspace_bytes = workspace_.span().size();
    args.zeroed = zeroed_.data();
    LibraryError error;
    const Clock::time_point start = Clock::now();
    const rf_code code = rocforge_forward(plan_.get(), &args, &error);
    const double us = us_since(start);
    check(code, error);
    return us;
}

}  // namespace rocforge::cli
