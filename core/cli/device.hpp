// A device's own memory, stream and clock, through the backend that will run there: RAII over the library's calls, and the tensors of one call
// staged. Chooses no device and no backend; without a Device, memory is the host's.
#pragma once

#include <rocforge/rocforge.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "memory.hpp"
#include "session.hpp"

namespace rocforge::cli {

// Throws Quit (kBackend) for a device that only describe() knows.
void demand_present(const rf_device& device);

// Every function throws Quit with the backend's message.
class Device {
public:
    Device(rocforge_context* context, const rf_device& device, const std::string& backend);
    rocforge_device_t* get() const noexcept { return handle_.get(); }

    void upload(void* to, std::span<const std::byte> from) const;
    void download(std::span<std::byte> to, const void* from) const;
    // Waits for the default stream.
    void synchronize() const;

private:
    struct Shut {
        void operator()(rocforge_device_t* handle) const noexcept { rocforge_device_close(handle); }
    };
    std::unique_ptr<rocforge_device_t, Shut> handle_;
};

// Nothing for a CPU, whose memory is the host's.
std::unique_ptr<Device> device_memory(rocforge_context* context, const rf_device& device, const std::string& backend);

// Memory of a device, contents undefined.
class DeviceBuffer {
public:
    DeviceBuffer() = default;
    DeviceBuffer(const Device& device, std::uint64_t bytes);
    // A copy of host memory.
    DeviceBuffer(const Device& device, std::span<const std::byte> from);
    void* data() const noexcept { return memory_.get(); }

private:
    struct Release {
        rocforge_device_t* device;
        void operator()(void* memory) const noexcept { rocforge_device_release(device, memory); }
    };
    std::unique_ptr<void, Release> memory_;
};

// A moment by the device's clock.
class Mark {
public:
    explicit Mark(const Device& device);
    void record() const;  // on the default stream
    double us_since(const Mark& earlier) const;
    // Whether the device's backend lends a clock.
    static bool lent_by(const Device& device);

private:
    struct Destroy {
        rocforge_device_t* device;
        void operator()(void* mark) const noexcept { rocforge_mark_destroy(device, mark); }
    };
    std::unique_ptr<void, Destroy> mark_;
};

// Host buffers with a copy of each on a device, and the arguments that point to the copies.
class Staged {
public:
    // `args` point to the buffers' beginnings; buffers without memory are passed over.
    Staged(const Device& device, const rf_args& args, const std::vector<const Buffer*>& buffers);
    const rf_args& args() const noexcept { return args_; }
    // Copies a buffer back; waits for the default stream.
    void fetch(const Buffer& buffer) const;

private:
    struct Copy {
        const Buffer* host;
        DeviceBuffer there;
    };
    const Device& device_;
    std::vector<Copy> copies_;
    rf_args args_;
};

}  // namespace rocforge::cli
