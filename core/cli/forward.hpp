// A chosen backend made ready to run: its plan and scratch in the memory of its device, and forward with a clock around it.
#pragma once

#include <rocforge/rocforge.h>

#include <string>

#include "device.hpp"
#include "memory.hpp"
#include "session.hpp"

namespace rocforge::cli {

class Forward {
public:
    // Plans; `device` where the backend computes in device memory, else nullptr. Throws Quit with the backend's message.
    Forward(const Verdict& verdict, const Device* device);

    // Runs once on args, whose workspace is set here; returns microseconds by the host's clock until the result is there. Throws Quit.
    double operator()(const rf_args& args) const;
    // The same without waiting for a device.
    void enqueue(rf_args args) const;

    double plan_us() const noexcept { return plan_us_; }
    const std::string& kernel() const noexcept { return kernel_; }

private:
    void take_scratch(const rocforge_plan_details& details);

    const Device* device_;
    Plan plan_;
    Buffer workspace_, zeroed_;
    DeviceBuffer device_workspace_, device_zeroed_;
    std::uint64_t workspace_bytes_ = 0;
    double plan_us_ = 0;
    std::string kernel_;
};

}  // namespace rocforge::cli
