// See calls.h.
#include "kernels/platform/calls.h"

namespace rocforge::platform {
namespace {

struct Resolver {
    const Library& library;
    Vendor vendor;

    template <class... Parameters> void operator()(RuntimeCall<Parameters...>& call, const char* hip, const char* cuda) const {
        const char* name = vendor == Vendor::amd ? hip : cuda;
        call = {name, library.require<int(Parameters...)>(name)};
    }
};

}  // namespace

Calls resolve_calls(const Library& library, Vendor vendor) {
    Calls calls{};
    const Resolver resolve{library, vendor};
    resolve(calls.device_count, "hipGetDeviceCount", "cuDeviceGetCount");
    resolve(calls.device_name, "hipDeviceGetName", "cuDeviceGetName");
    resolve(calls.device_memory, "hipDeviceTotalMem", "cuDeviceTotalMem_v2");
    resolve(calls.device_attribute, "hipDeviceGetAttribute", "cuDeviceGetAttribute");
    resolve(calls.version, "hipRuntimeGetVersion", "cuDriverGetVersion");
    resolve(calls.module_load, "hipModuleLoadData", "cuModuleLoadData");
    resolve(calls.module_unload, "hipModuleUnload", "cuModuleUnload");
    resolve(calls.module_function, "hipModuleGetFunction", "cuModuleGetFunction");
    resolve(calls.launch, "hipModuleLaunchKernel", "cuLaunchKernel");
    resolve(calls.allocate, "hipMalloc", "cuMemAlloc_v2");
    resolve(calls.release, "hipFree", "cuMemFree_v2");
    resolve(calls.copy_to_device, "hipMemcpyHtoDAsync", "cuMemcpyHtoDAsync_v2");
    resolve(calls.copy_to_host, "hipMemcpyDtoHAsync", "cuMemcpyDtoHAsync_v2");
    resolve(calls.stream_create, "hipStreamCreateWithFlags", "cuStreamCreate");
    resolve(calls.stream_destroy, "hipStreamDestroy", "cuStreamDestroy_v2");
    resolve(calls.stream_synchronize, "hipStreamSynchronize", "cuStreamSynchronize");
    resolve(calls.event_create, "hipEventCreateWithFlags", "cuEventCreate");
    resolve(calls.event_destroy, "hipEventDestroy", "cuEventDestroy_v2");
    resolve(calls.event_synchronize, "hipEventSynchronize", "cuEventSynchronize");
    resolve(calls.event_record, "hipEventRecord", "cuEventRecord");
    resolve(calls.event_elapsed, "hipEventElapsedTime", "cuEventElapsedTime");
    resolve(calls.capture_begin, "hipStreamBeginCapture", "cuStreamBeginCapture_v2");
    resolve(calls.capture_end, "hipStreamEndCapture", "cuStreamEndCapture");
    resolve(calls.graph_instantiate, "hipGraphInstantiateWithFlags", "cuGraphInstantiateWithFlags");
    resolve(calls.graph_launch, "hipGraphLaunch", "cuGraphLaunch");
    resolve(calls.executable_destroy, "hipGraphExecDestroy", "cuGraphExecDestroy");
    resolve(calls.graph_destroy, "hipGraphDestroy", "cuGraphDestroy");
    return calls;
}

}  // namespace rocforge::platform
