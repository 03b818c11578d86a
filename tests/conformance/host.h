// The public host API as a caller of conformance cases: contexts with lent threads, the backends in them, a plan and its workspace, the one call.
// Computes in host memory: on_device.h stages tensors for a device.
#ifndef ROCFORGE_TESTS_CONFORMANCE_HOST_H
#define ROCFORGE_TESTS_CONFORMANCE_HOST_H

#include <rocforge/rocforge.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "conformance/lent_threads.h"

namespace rocforge::tests {

// The threads that a context is lent: conformance/lent_threads.h says how they share the work.
struct Threads {
    std::uint32_t workers;  // 0: nothing is lent, the library uses its own
    conformance::Order order = conformance::Order::as_they_come;
};
constexpr Threads kLibraryThreads{0}, kOneWorker{1}, kThreeThreads{3}, kSevenThreads{7};
constexpr Threads kBackwards{3, conformance::Order::backwards};

// A backend and the device of its kind that is used.
struct PlacedBackend {
    std::string name;
    rf_device device;
};

// A context and what is in it. Throws std::runtime_error when it cannot be opened.
class Host {
public:
    // `toml`: the context's whole configuration, "" for none; written to a file of its own for as long as the context opens.
    explicit Host(const Threads& threads = kLibraryThreads, const std::string& toml = {});
    rocforge_context* context() const { return context_.get(); }
    // Those that compute in host memory, and those that lend a device's.
    const std::vector<PlacedBackend>& backends() const { return backends_; }
    const std::vector<PlacedBackend>& on_devices() const { return on_devices_; }
    // Why other backends are not among them.
    const std::vector<std::string>& left_out() const { return left_out_; }
    // How often a backend called the lent parallel_for.
    int lent_calls() const { return lent_->calls; }

private:
    struct Lent {
        conformance::LentThreads threads;
        std::atomic<int> calls{0};
    };
    struct Close {
        void operator()(rocforge_context* c) const { rocforge_close(c); }
    };
    void list_backends();
    void place(const PlacedBackend&);
    std::unique_ptr<Lent> lent_;  // outlives the context
    std::unique_ptr<rocforge_context, Close> context_;
    std::vector<PlacedBackend> backends_, on_devices_;
    std::vector<std::string> left_out_;
};

// Selects and plans; where that fails `why` holds every reason.
rf_code plan_on(const Host&, const PlacedBackend&, const rf_problem&, rocforge_plan_t** plan, std::string& why);
template <class Handle> rf_code plan_on(const Host& host, const PlacedBackend& backend, const rf_problem& problem, Handle& plan, std::string& why) {
    rocforge_plan_t* made = nullptr;
    const rf_code code = plan_on(host, backend, problem, &made, why);
    plan.reset(made);
    return code;
}

// One problem planned on one backend, with its own workspace in host memory.
class Planned {
public:
    // RF_OK, or the code and, in why, every reason.
    rf_code open(const Host&, const PlacedBackend&, const rf_problem&, std::string& why);
    rf_code forward(rf_args, std::string& why);
    // As the plan describes it: "prefill_f32 avx2".
    std::string kernel() const;

private:
    struct Release {
        void operator()(rocforge_plan_t* p) const { rocforge_plan_release(p); }
    };
    struct Free {
        void operator()(std::byte*) const;
    };
    std::unique_ptr<rocforge_plan_t, Release> plan_;
    std::unique_ptr<std::byte, Free> workspace_, zeroed_;
    std::uint64_t workspace_bytes_ = 0;
};

// select, plan_choice, forward.
rf_code run_planned(const Host&, const PlacedBackend&, const rf_problem&, const rf_args&, std::string& why);
// rocforge_attention with the backend as the context's default, and the problem as a host writes it: no derived bits, masks that broadcast by extents
// of 1, the scale left to its default where it is that.
rf_code run_one_call(const Host&, const PlacedBackend&, const rf_problem&, const rf_args&, std::string& why);

}  // namespace rocforge::tests
#endif
