// A conformance case on a device with memory of its own, through the public host API: its tensors staged as one block (conformance/image.h), run in
// several manners, copied back. One allocation a device and one copy each way a run: on a borrowed GPU the minutes are few.
#ifndef ROCFORGE_TESTS_CONFORMANCE_ON_DEVICE_H
#define ROCFORGE_TESTS_CONFORMANCE_ON_DEVICE_H

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "conformance/image.h"
#include "host.h"

namespace rocforge::tests {

// Throws std::runtime_error naming what was done unless code is RF_OK.
void demand(rf_code code, const rf_error& error, const char* doing);

struct GiveBack {
    void operator()(rocforge_device_t* d) const { rocforge_device_close(d); }
    void operator()(rocforge_plan_t* p) const { rocforge_plan_release(p); }
};
using Device = std::unique_ptr<rocforge_device_t, GiveBack>;
using PlanHandle = std::unique_ptr<rocforge_plan_t, GiveBack>;

// Throws where the backend lends no memory.
Device open_device(const Host&, const PlacedBackend&);

// Something that a device made and that goes back to it: memory, a stream, a graph.
class Made {
public:
    using Release = void (*)(rocforge_device_t*, void*);
    Made() = default;
    Made(rocforge_device_t* device, void* handle, Release release) : device_(device), handle_(handle), release_(release) {}
    Made(Made&& other) noexcept { swap(other); }
    Made& operator=(Made&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Made() {
        if (handle_) release_(device_, handle_);
    }
    void* get() const { return handle_; }

private:
    void swap(Made& other) noexcept { std::swap(device_, other.device_), std::swap(handle_, other.handle_), std::swap(release_, other.release_); }
    rocforge_device_t* device_ = nullptr;
    void* handle_ = nullptr;
    Release release_ = nullptr;
};
Made allocate(rocforge_device_t*, std::uint64_t bytes);
Made create_stream(rocforge_device_t*);

// A case on a device with memory of its own: for what needs several at once, or one again and again.
class StagedCase {
public:
    StagedCase(rocforge_device_t*, const conformance::Materialised&, const rocforge_plan_t*);
    // Poison, inputs and counters anew. Waits.
    void upload(void* stream);
    void enqueue(void* stream);
    // Results to the case's own tensors; throws where something was written that may not be. Waits.
    void download(void* stream);

private:
    rocforge_device_t* device_;
    const rocforge_plan_t* plan_;
    conformance::Image image_;
    Made block_, workspace_;
    std::vector<std::byte> after_;
    rf_args args_{};
};

// How a case is run on a device. Each leaves the results in the case's own tensors.
enum class DeviceManner { default_stream, own_stream_plan_freed_at_once, graph_replayed_twice };

class DeviceRunner {
public:
    DeviceRunner(const Host&, const PlacedBackend&);
    // RF_UNSUPPORTED with the reasons; RF_INTERNAL where memory was written to that is not an output's; whatever else the device or the plan failed
    // with.
    rf_code run(DeviceManner, const conformance::Materialised&, const rf_problem&, const rf_args&, std::string& why);
    const PlacedBackend& backend() const { return backend_; }
    rocforge_device_t* device() const { return device_.get(); }
    bool lends_graphs() const;

private:
    struct Call;
    rf_code attempt(DeviceManner, const conformance::Materialised&, const rf_problem&, const rf_args&, std::string& why);
    void enqueue(Call&, void* stream);
    void run_captured(Call&);
    std::byte* room(std::uint64_t bytes);

    const Host& host_;
    PlacedBackend backend_;
    Device device_;
    Made block_, stream_;
    std::uint64_t block_bytes_ = 0;
    std::vector<std::byte> after_;
};

}  // namespace rocforge::tests
#endif
