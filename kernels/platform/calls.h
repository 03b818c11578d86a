// The calls of a GPU runtime that have one shape on both vendors: HIP's runtime copied CUDA's driver API word for word, so one table of function
// pointers serves both and only the names differ. Own declarations: no vendor header is needed to build, and none can disagree with the library.
#ifndef ROCFORGE_KERNELS_PLATFORM_CALLS_H
#define ROCFORGE_KERNELS_PLATFORM_CALLS_H

#include <cstddef>

#include "kernels/platform/library.h"

namespace rocforge::platform {

// The runtimes' opaque pointers.
using Module = struct OpaqueModule*;
using Function = struct OpaqueFunction*;
using Stream = struct OpaqueStream*;
using Event = struct OpaqueEvent*;
using Graph = struct OpaqueGraph*;            // as captured
using Executable = struct OpaqueExecutable*;  // a graph made ready to be launched

enum class Vendor : unsigned char { amd, nvidia };

// One call: its result is 0, or an error's number.
template <class... Parameters> struct RuntimeCall {
    const char* name;
    int (*function)(Parameters...);
};

// CUdeviceptr is an integer as wide as a pointer and is passed as one on every ABI that both runtimes exist for; here it is void*.
static_assert(sizeof(void*) == 8, "both runtimes are 64-bit");

struct Calls {
    RuntimeCall<int*> device_count;
    RuntimeCall<char*, int, int> device_name;      // text, bytes of it, device
    RuntimeCall<std::size_t*, int> device_memory;  // bytes, device
    RuntimeCall<int*, int, int> device_attribute;  // value, attribute, device
    RuntimeCall<int*> version;
    RuntimeCall<Module*, const void*> module_load;
    RuntimeCall<Module> module_unload;
    RuntimeCall<Function*, Module, const char*> module_function;
    RuntimeCall<Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream, void**, void**> launch;
    RuntimeCall<void**, std::size_t> allocate;
    RuntimeCall<void*> release;
    RuntimeCall<void*, const void*, std::size_t, Stream> copy_to_device, copy_to_host;
    RuntimeCall<Stream*, unsigned> stream_create;  // flags
    RuntimeCall<Stream> stream_destroy, stream_synchronize;
    RuntimeCall<Event*, unsigned> event_create;  // flags
    RuntimeCall<Event> event_destroy, event_synchronize;
    RuntimeCall<Event, Stream> event_record;
    RuntimeCall<float*, Event, Event> event_elapsed;  // milliseconds
    RuntimeCall<Stream, int> capture_begin;           // mode
    RuntimeCall<Stream, Graph*> capture_end;
    RuntimeCall<Executable*, Graph, unsigned long long> graph_instantiate;
    RuntimeCall<Executable, Stream> graph_launch;
    RuntimeCall<Executable> executable_destroy;
    RuntimeCall<Graph> graph_destroy;
};

// Throws Error{unavailable} naming the first that the library lacks.
Calls resolve_calls(const Library& library, Vendor vendor);

}  // namespace rocforge::platform
#endif
