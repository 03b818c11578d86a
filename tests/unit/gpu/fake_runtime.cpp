// The fake GPU runtime (fake_runtime.hpp), compiled with AMD's names (FAKE_HIP: the major version) and with NVIDIA's. Device memory is
// host memory; kernels do nothing.
#include "fake_runtime.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#ifdef FAKE_HIP
#define NAME(hip, cuda) hip
#else
#define NAME(hip, cuda) cuda
#endif
#define API(type, hip, cuda) extern "C" __attribute__((visibility("default"))) type NAME(hip, cuda)
// Counts the call, and returns from it where it is told to fail. __func__ is the name in the library.
#define ENTER \
    if (const int error = entered(__func__)) return error
#define ENTER_ON_A_DEVICE \
    ENTER;                \
    if (current() < 0 || current() >= state().devices) return kNoContext

namespace {

enum : int { kInvalidValue = 1, kNoDevice = 100, kInvalidDevice = 101, kNoContext = 201, kNotFound = 500, kNotReady = 600 };

// The calling thread's devices: HIP has a current one, CUDA a stack of contexts.
thread_local std::vector<int> stack;

fake::State& state() {
    static fake::State state;
    return state;
}

int current() {
#ifdef FAKE_HIP
    return stack.empty() ? 0 : stack.back();
#else
    return stack.empty() ? -1 : stack.back();
#endif
}

int entered(const char* name) {
    fake::State& s = state();
    const std::lock_guard lock(s.mutex);
    ++s.calls[name];
    return s.fails == name ? s.error : 0;
}

// Something that the caller must give back, of so many bytes.
int make(void** out, std::size_t bytes = 16) {
    const std::lock_guard lock(state().mutex);
    auto made = std::make_unique<std::byte[]>(bytes);
    *out = made.get();
    state().open.emplace(*out, std::move(made));
    return 0;
}
int destroy(void* what) {
    const std::lock_guard lock(state().mutex);
    return state().open.erase(what) == 1 ? 0 : kInvalidValue;
}

// Enqueues a copy of which `device_side` must be an allocation's start.
int copy(const fake::Copy& what, void* device_side) {
    const std::lock_guard lock(state().mutex);
    if (!state().open.count(device_side)) return kInvalidValue;
    state().pending.push_back(what);
    return 0;
}

}  // namespace

API(fake::State*, rocforge_fake_state, rocforge_fake_state)() { return &state(); }
API(int, hip_fake_current, cuda_fake_current)() { return current(); }

API(int, hipGetDeviceCount, cuDeviceGetCount)(int* count) {
    ENTER;
    *count = state().devices;
    return state().devices > 0 || NAME(false, true) ? 0 : kNoDevice;  // CUDA counts none without an error
}
API(int, hipDeviceGetName, cuDeviceGetName)(char* name, int bytes, int device) {
    ENTER;
    if (device >= state().devices) return kInvalidDevice;
    std::strncpy(name, "Fake GPU", static_cast<std::size_t>(bytes));
    return 0;
}
API(int, hipDeviceTotalMem, cuDeviceTotalMem_v2)(std::size_t* bytes, int) {
    ENTER;
    *bytes = std::size_t{3} << 30;
    return 0;
}
API(int, hipDeviceGetAttribute, cuDeviceGetAttribute)(int* value, int attribute, int) {
    ENTER;
    switch (attribute) {
        case NAME(87, 10):
            *value = NAME(64, 32);
            return 0;
        case NAME(63, 16):
            *value = 7;
            return 0;
        case NAME(74, 97):
            *value = NAME(64, 100) * 1024;
            return 0;
#ifndef FAKE_HIP
        case 75:
            *value = state().arch[0] - '0';
            return 0;
        case 76:
            *value = state().arch[1] - '0';
            return 0;
#endif
        default:
            return 1;
    }
}
API(int, hipRuntimeGetVersion, cuDriverGetVersion)(int* version) {
    ENTER;
    *version = NAME(60443482, 12040);
    return 0;
}

API(int, hipModuleLoadData, cuModuleLoadData)(void** module, const void*) {
    ENTER_ON_A_DEVICE;
    return make(module);
}
API(int, hipModuleUnload, cuModuleUnload)(void* module) {
    ENTER_ON_A_DEVICE;
    return destroy(module);
}
API(int, hipModuleGetFunction, cuModuleGetFunction)(void** function, void*, const char* name) {
    ENTER_ON_A_DEVICE;
    std::vector<std::string>& functions = state().functions;
    const auto found = std::find(functions.begin(), functions.end(), name);
    if (found == functions.end()) return kNotFound;
    *function = &*found;
    const std::lock_guard lock(state().mutex);
    ++state().lazy;
    return 0;
}
API(int, hipModuleLaunchKernel, cuLaunchKernel)
(void* function, unsigned x, unsigned y, unsigned z, unsigned threads, unsigned, unsigned, unsigned shared_bytes, void* stream, void** arguments,
 void**) {
    ENTER_ON_A_DEVICE;
    fake::State& s = state();
    const std::lock_guard lock(s.mutex);
    const auto* bytes = static_cast<const std::byte*>(arguments[0]);
    s.launches.push_back(
        {*static_cast<std::string*>(function), {x, y, z}, threads, shared_bytes, stream, current(), {bytes, bytes + s.argument_bytes}});
    return 0;
}

#ifndef FAKE_HIP
// The map begins with the tensor's address and its extent in rows.
API(int, , cuTensorMapEncodeTiled)
(void* map, int, unsigned, void* base, const std::uint64_t* extents, const std::uint64_t*, const unsigned*, const unsigned*, int, int, int, int) {
    ENTER_ON_A_DEVICE;
    std::memcpy(map, &base, sizeof base);
    std::memcpy(static_cast<std::byte*>(map) + sizeof base, extents + 1, sizeof *extents);
    return 0;
}
#endif
API(int, hipMalloc, cuMemAlloc_v2)(void** memory, std::size_t bytes) {
    ENTER_ON_A_DEVICE;
    return make(memory, bytes);
}
API(int, hipFree, cuMemFree_v2)(void* memory) {
    ENTER_ON_A_DEVICE;
    return destroy(memory);
}
API(int, hipMemcpyHtoDAsync, cuMemcpyHtoDAsync_v2)(void* to, const void* from, std::size_t bytes, void* stream) {
    ENTER_ON_A_DEVICE;
    return copy({to, from, bytes, stream}, to);
}
API(int, hipMemcpyDtoHAsync, cuMemcpyDtoHAsync_v2)(void* to, void* from, std::size_t bytes, void* stream) {
    ENTER_ON_A_DEVICE;
    return copy({to, from, bytes, stream}, from);
}

API(int, hipStreamCreateWithFlags, cuStreamCreate)(void** stream, unsigned flags) {
    ENTER_ON_A_DEVICE;
    return flags == 1 ? make(stream) : 1;
}
API(int, hipStreamDestroy, cuStreamDestroy_v2)(void* stream) {
    ENTER_ON_A_DEVICE;
    return destroy(stream);
}
API(int, hipStreamSynchronize, cuStreamSynchronize)(void* stream) {
    ENTER_ON_A_DEVICE;
    const std::lock_guard lock(state().mutex);
    std::erase_if(state().pending, [&](const fake::Copy& copy) {
        if (copy.stream == stream) std::memcpy(copy.to, copy.from, copy.bytes);
        return copy.stream == stream;
    });
    return 0;
}

API(int, hipEventCreateWithFlags, cuEventCreate)(void** event, unsigned) {
    ENTER_ON_A_DEVICE;
    return make(event);
}
API(int, hipEventDestroy, cuEventDestroy_v2)(void* event) {
    ENTER_ON_A_DEVICE;
    return destroy(event);
}
API(int, hipEventRecord, cuEventRecord)(void* event, void*) {
    ENTER_ON_A_DEVICE;
    const std::lock_guard lock(state().mutex);
    state().passed.erase(event);
    return 0;
}
API(int, hipEventSynchronize, cuEventSynchronize)(void* event) {
    ENTER_ON_A_DEVICE;
    const std::lock_guard lock(state().mutex);
    state().passed.insert(event);
    return 0;
}
API(int, hipEventElapsedTime, cuEventElapsedTime)(float* milliseconds, void* first, void* second) {
    ENTER_ON_A_DEVICE;
    const std::lock_guard lock(state().mutex);
    *milliseconds = 0.25f;
    return state().passed.count(first) && state().passed.count(second) ? 0 : kNotReady;
}

API(int, hipStreamBeginCapture, cuStreamBeginCapture_v2)(void*, int) {
    ENTER_ON_A_DEVICE;
    return 0;
}
API(int, hipStreamEndCapture, cuStreamEndCapture)(void*, void** graph) {
    ENTER_ON_A_DEVICE;
    return make(graph);
}
API(int, hipGraphInstantiateWithFlags, cuGraphInstantiateWithFlags)(void** executable, void*, unsigned long long) {
    ENTER_ON_A_DEVICE;
    return make(executable);
}
API(int, hipGraphLaunch, cuGraphLaunch)(void*, void*) {
    ENTER_ON_A_DEVICE;
    return 0;
}
API(int, hipGraphExecDestroy, cuGraphExecDestroy)(void* executable) {
    ENTER_ON_A_DEVICE;
    return destroy(executable);
}
API(int, hipGraphDestroy, cuGraphDestroy)(void* graph) {
    ENTER_ON_A_DEVICE;
    return destroy(graph);
}

#ifdef FAKE_HIP

API(int, hipGetDevice, )(int* device) {
    ENTER;
    *device = current();
    return 0;
}
API(int, hipSetDevice, )(int device) {
    ENTER;
    if (device < 0 || device >= state().devices) return kInvalidDevice;
    stack.assign(1, device);
    return 0;
}
// hipDeviceProp_t, with something other than zeros around gcnArchName.
#if FAKE_HIP >= 6
API(int, hipGetDevicePropertiesR0600, )(void* properties, int) {
    constexpr std::size_t kBytes = 1472, kArch = 1160;
#else
API(int, hipGetDeviceProperties, )(void* properties, int) {
    constexpr std::size_t kBytes = 792, kArch = 396;
#endif
    ENTER;
    std::memset(properties, 'x', kBytes);
    std::strcpy(static_cast<char*>(properties) + kArch, state().arch.c_str());
    return 0;
}
API(const char*, hipGetErrorName, )(int error) {
    return error == kNoDevice ? "hipErrorNoDevice" : error == 2 ? "hipErrorOutOfMemory" : "hipErrorFake";
}

#else

API(int, , cuInit)(unsigned) {
    ENTER;
    return 0;
}
API(int, , cuDevicePrimaryCtxRetain)(void** context, int device) {
    ENTER;
    *context = reinterpret_cast<void*>(static_cast<std::intptr_t>(device) + 1);
    return 0;
}
API(int, , cuCtxPushCurrent_v2)(void* context) {
    ENTER;
    stack.push_back(static_cast<int>(reinterpret_cast<std::intptr_t>(context)) - 1);
    return 0;
}
API(int, , cuCtxPopCurrent_v2)(void**) {
    ENTER;
    stack.pop_back();
    return 0;
}
API(int, , cuFuncLoad)(void*) {
    ENTER_ON_A_DEVICE;
    const std::lock_guard lock(state().mutex);
    --state().lazy;
    return 0;
}
API(int, , cuFuncGetAttribute)(int* value, int attribute, void* function) {
    ENTER_ON_A_DEVICE;
    const auto found = state().shared_limit.find(*static_cast<std::string*>(function));
    *value = found == state().shared_limit.end() ? 48 * 1024 : found->second;
    return attribute == 8 ? 0 : 1;
}
API(int, , cuFuncSetAttribute)(void* function, int attribute, int value) {
    ENTER_ON_A_DEVICE;
    state().shared_limit[*static_cast<std::string*>(function)] = value;
    return attribute == 8 ? 0 : 1;
}
API(int, , cuGetErrorName)(int error, const char** name) {
    *name = error == kNoDevice ? "CUDA_ERROR_NO_DEVICE" : error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "CUDA_ERROR_FAKE";
    return 0;
}

#endif
