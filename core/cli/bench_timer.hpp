// How long one forward takes, measured as others of this field measure it. Runs what it is given; chooses and plans nothing but its own cache flush.
//
// On a device that lends a clock each run stands between two marks. Before the first mark an untimed forward over one key writes 256 MiB: it empties
// the caches, so that decode does not find its K and V there, and keeps the device busy while the host enqueues the run, so that the marks do not
// measure the launch. It has the measured problem's heads, rows and types, so that as a rule it runs the same kernel, whose instructions stay where
// they are. Triton's do_bench does the same with a buffer of that size that it zeroes by a few instructions.
#pragma once

#include <rocforge/rocforge.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "device.hpp"
#include "forward.hpp"

namespace rocforge::cli {

struct Budget {
    std::size_t least_runs;
    double warm_up_us, measure_us;  // more runs than one, than least_runs, are made until it is spent
};

struct Times {
    std::vector<double> us;  // of each run, ascending
    bool by_device = false;  // else by the host's clock, around forward and the wait for it
    bool cold = false;       // caches were emptied before each run
};

// Told before a step, as text for a progress line. False: stop.
using Tell = std::function<bool(const std::string&)>;

// Host memory. Nothing when told to stop.
std::optional<Times> time_on_host(const Forward& forward, const rf_args& args, const Budget& budget, const Tell& tell);

// The untimed forward between runs.
class CacheFlush {
public:
    // For runs of a problem like `like`; nullptr where the backend refuses it with one key and without features.
    static std::unique_ptr<CacheFlush> make(rocforge_context* context, const rf_device& device, const std::string& backend, const Device& memory,
                                            const rf_problem& like);
    void enqueue() const { forward_.enqueue(args_); }

private:
    CacheFlush(const Verdict& verdict, const rf_problem& problem, const Device& memory);
    DeviceBuffer row_, out_;
    Forward forward_;
    rf_args args_{};
};

// `flush` may be nullptr. Nothing when told to stop.
std::optional<Times> time_on_device(const Device& device, const Forward& forward, const rf_args& args, const CacheFlush* flush, const Budget& budget,
                                    const Tell& tell);

}  // namespace rocforge::cli
