// A chosen backend made ready to run on host memory: its plan and scratch, and forward with a clock around it.
#pragma once

#include <rocforge/rocforge.h>

#include <string>

#include "memory.hpp"
#include "session.hpp"

namespace rocforge::cli {

// Where tensors must lie for a device. Throws Quit: kBackend for a device that only describe() knows or whose memory is not the host's.
void demand_host_device(const rf_device& device);

class Forward {
public:
    // Plans; throws Quit with the backend's message.
    explicit Forward(const Verdict& verdict);

    // Runs once on args, whose workspace is set here; returns microseconds until forward returned. Throws Quit.
    double operator()(rf_args args) const;

    double plan_us() const noexcept { return plan_us_; }
    const std::string& kernel() const noexcept { return kernel_; }

private:
    Plan plan_;
    Buffer workspace_, zeroed_;
    double plan_us_ = 0;
    std::string kernel_;
};

}  // namespace rocforge::cli
