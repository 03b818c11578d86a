// libamdhip64.so.7 of an emulated GPU: the calls of HIP that kernels/platform/hip.cpp resolves, on emulated::Device. A test that puts this library's
// folder into LD_LIBRARY_PATH runs plugins as they are shipped. Its device calls itself emulated: nothing measured on it speaks of a GPU's speed.
#include <cstdio>
#include <cstring>

#include "device.h"

using namespace rocforge::emulated;

namespace {

constexpr int kVersion = 70000000;  // 7.0.0
constexpr std::size_t kMemoryBytes = std::size_t{64} << 30, kSharedBytes = 65536;
constexpr std::size_t kPropertyBytes = 1472, kArchOffset = 1160;  // hipDeviceProp_tR0600
enum : int { kMultiprocessorCount = 63, kMaxSharedMemoryPerBlock = 74, kWarpSize = 87 };

// Runs an action on the device, under its lock.
template <class F> int on_device(F&& action) {
    Device* const device = Device::get();
    if (device == nullptr) return kNoDevice;
    const std::lock_guard guard(device->lock);
    return action(*device);
}

// One of each handle's makers and enders.
template <class T> int create(void** handle, Handles<T> Device::*kind, T object = {}) {
    return on_device([&](Device& device) {
        *handle = (device.*kind).add(std::make_unique<T>(std::move(object)));
        return kSuccess;
    });
}

template <class T> int destroy(void* handle, Handles<T> Device::*kind) {
    return on_device([&](Device& device) { return (device.*kind).remove(handle) ? kSuccess : kInvalidHandle; });
}

std::uint64_t number(const void* address) { return reinterpret_cast<std::uintptr_t>(address); }

}  // namespace

#define EMULATED_HIP extern "C" __attribute__((visibility("default")))

EMULATED_HIP int hipGetDeviceCount(int* count) {
    *count = Device::get() == nullptr ? 0 : 1;
    return *count == 0 ? kNoDevice : kSuccess;
}

EMULATED_HIP int hipGetDevice(int* device) {
    *device = 0;
    return Device::get() == nullptr ? kNoDevice : kSuccess;
}

EMULATED_HIP int hipSetDevice(int device) { return device == 0 ? kSuccess : kInvalidDevice; }

EMULATED_HIP int hipDeviceGetName(char* name, int bytes, int device) {
    return on_device([&](Device& on) {
        if (device != 0) return kInvalidDevice;
        std::snprintf(name, static_cast<std::size_t>(bytes), "emulated %s (tinygrad)", on.profile().arch);
        return kSuccess;
    });
}

EMULATED_HIP int hipDeviceTotalMem(std::size_t* bytes, int device) {
    *bytes = kMemoryBytes;
    return device == 0 ? kSuccess : kInvalidDevice;
}

EMULATED_HIP int hipDeviceGetAttribute(int* value, int attribute, int device) {
    return on_device([&](Device& on) {
        if (device != 0) return kInvalidDevice;
        switch (attribute) {
            case kMultiprocessorCount:
                *value = on.profile().compute_units;
                return kSuccess;
            case kMaxSharedMemoryPerBlock:
                *value = kSharedBytes;
                return kSuccess;
            case kWarpSize:
                *value = on.profile().wave_size;
                return kSuccess;
            default:
                return kInvalidValue;
        }
    });
}

EMULATED_HIP int hipGetDevicePropertiesR0600(void* properties, int device) {
    return on_device([&](Device& on) {
        if (device != 0) return kInvalidDevice;
        std::memset(properties, 0, kPropertyBytes);
        std::snprintf(static_cast<char*>(properties) + kArchOffset, 256, "%s%s", on.profile().arch, on.profile().features);
        return kSuccess;
    });
}

EMULATED_HIP int hipRuntimeGetVersion(int* version) {
    *version = kVersion;
    return kSuccess;
}

EMULATED_HIP const char* hipGetErrorName(int error) {
    switch (error) {
        case kSuccess:
            return "hipSuccess";
        case kInvalidValue:
            return "hipErrorInvalidValue";
        case kOutOfMemory:
            return "hipErrorOutOfMemory";
        case kNoDevice:
            return "hipErrorNoDevice";
        case kInvalidDevice:
            return "hipErrorInvalidDevice";
        case kInvalidImage:
            return "hipErrorInvalidImage";
        case kInvalidHandle:
            return "hipErrorInvalidHandle";
        case kNotFound:
            return "hipErrorNotFound";
        case kLaunchFailure:
            return "hipErrorLaunchFailure";
        case kCaptureUnsupported:
            return "hipErrorStreamCaptureUnsupported";
        default:
            return "hipErrorUnknown";
    }
}

EMULATED_HIP int hipModuleLoadData(void** module, const void* image) {
    return on_device([&](Device& device) { return device.load(module, image); });
}
EMULATED_HIP int hipModuleUnload(void* module) { return destroy(module, &Device::modules); }
EMULATED_HIP int hipModuleGetFunction(void** function, void* module, const char* name) {
    return on_device([&](Device& device) { return device.find(function, module, name); });
}
EMULATED_HIP int hipModuleLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                                       unsigned block_z, unsigned shared_bytes, void* stream, void** parameters, void** extra) {
    if (extra != nullptr) return kInvalidValue;
    return on_device([&](Device& device) {
        return device.launch(function, {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, stream, parameters);
    });
}

EMULATED_HIP int hipMalloc(void** address, std::size_t bytes) {
    return on_device([&](Device& device) { return device.allocate(address, bytes); });
}
EMULATED_HIP int hipFree(void* address) {
    return on_device([&](Device& device) { return device.release(address); });
}
EMULATED_HIP int hipMemcpyHtoDAsync(void* to, const void* from, std::size_t bytes, void* stream) {
    return on_device([&](Device& device) { return device.copy_in(number(to), from, bytes, stream); });
}
EMULATED_HIP int hipMemcpyDtoHAsync(void* to, void* from, std::size_t bytes, void* stream) {
    return on_device([&](Device& device) { return device.copy_out(to, number(from), bytes, stream); });
}

EMULATED_HIP int hipStreamCreateWithFlags(void** stream, unsigned) { return create(stream, &Device::streams); }
EMULATED_HIP int hipStreamDestroy(void* stream) {
    return on_device([&](Device& device) {
        Stream* const gone = device.streams.find(stream);
        if (gone == nullptr) return kInvalidHandle;
        device.drain(*gone);
        device.events.each([&](Event& event) { event.stream = event.stream == gone ? nullptr : event.stream; });
        device.streams.remove(stream);
        return kSuccess;
    });
}
EMULATED_HIP int hipStreamSynchronize(void* stream) {
    return on_device([&](Device& device) { return device.wait(stream); });
}

EMULATED_HIP int hipEventCreateWithFlags(void** event, unsigned) { return create(event, &Device::events); }
EMULATED_HIP int hipEventDestroy(void* event) { return destroy(event, &Device::events); }
EMULATED_HIP int hipEventRecord(void* event, void* stream) {
    return on_device([&](Device& device) { return device.record(event, stream); });
}
EMULATED_HIP int hipEventSynchronize(void* event) {
    return on_device([&](Device& device) { return device.wait_event(event); });
}
EMULATED_HIP int hipEventElapsedTime(float* ms, void* from, void* to) {
    return on_device([&](Device& device) {
        const Event *const first = device.events.find(from), *const last = device.events.find(to);
        if (first == nullptr || last == nullptr) return kInvalidHandle;
        *ms = std::chrono::duration<float, std::milli>(last->at - first->at).count();
        return kSuccess;
    });
}

EMULATED_HIP int hipStreamBeginCapture(void* stream, int) {
    return on_device([&](Device& device) { return device.begin_capture(stream); });
}
EMULATED_HIP int hipStreamEndCapture(void* stream, void** graph) {
    return on_device([&](Device& device) { return device.end_capture(stream, graph); });
}
EMULATED_HIP int hipGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
    return on_device([&](Device& device) {
        const Graph* const from = device.graphs.find(graph);
        if (from == nullptr) return kInvalidHandle;
        *executable = device.executables.add(std::make_unique<Graph>(*from));
        return kSuccess;
    });
}
EMULATED_HIP int hipGraphLaunch(void* executable, void* stream) {
    return on_device([&](Device& device) { return device.replay(executable, stream); });
}
EMULATED_HIP int hipGraphExecDestroy(void* executable) { return destroy(executable, &Device::executables); }
EMULATED_HIP int hipGraphDestroy(void* graph) { return destroy(graph, &Device::graphs); }
