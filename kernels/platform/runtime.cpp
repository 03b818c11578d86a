// See runtime.h. What both vendors share; hip.cpp and cuda.cpp hold the rest.
#include "kernels/platform/runtime.h"

#include <memory>

#include "kernels/platform/vendors.h"

namespace rocforge::platform {
namespace {

// The same numbers in hipError_t and CUresult.
enum : int { kOutOfMemory = 2, kNoDevice = 100, kNotFound = 500 };

constexpr unsigned kBesideDefaultStream = 1;  // {hip,CU_}StreamNonBlocking
// Relaxed: capture may then begin and end on different threads, and what other threads do meanwhile does not break it.
constexpr int kRelaxedCapture = 2;

const char* name_of(Vendor vendor) { return vendor == Vendor::amd ? "AMD" : "NVIDIA"; }

// Never destroyed: other static destructors may still release memory through it.
template <class Opened> const Runtime& opened() {
    static const Runtime& runtime = *std::make_unique<Opened>().release();
    return runtime;
}

}  // namespace

const Runtime& Runtime::of(Vendor vendor) { return vendor == Vendor::amd ? opened<HipRuntime>() : opened<CudaRuntime>(); }

Runtime::Runtime(Vendor vendor, Library library) : library_(std::move(library)), calls_(resolve_calls(library_, vendor)), vendor_(vendor) {}

void Runtime::count_devices() {
    if (const int number = calls_.device_count.function(&devices_)) fail_without_device(number);
    if (devices_ <= 0) fail_without_device(kNoDevice);
}

std::string Runtime::named(int number) const {
    const char* name = error_name(number);
    return (name ? name : "error") + (" (" + std::to_string(number) + ")");
}

void Runtime::fail(const char* call, int number) const {
    throw Error(number == kOutOfMemory ? Fault::no_memory : Fault::device, number, std::string(call) + ": " + named(number));
}

void Runtime::fail_without_device(int number) const {
    throw Error(Fault::unavailable, number, "no " + std::string(name_of(vendor_)) + " GPU: " + named(number));
}

int Runtime::attribute(int number, int device) const {
    int value = 0;
    must(calls_.device_attribute, &value, number, device);
    return value;
}

DeviceFacts Runtime::facts(int device) const {
    DeviceFacts facts{};
    char name[256] = {};
    must(calls_.device_name, name, static_cast<int>(sizeof name - 1), device);
    facts.name = name;
    int version = 0;
    must(calls_.version, &version);
    facts.runtime = version_text(version);
    std::size_t bytes = 0;
    must(calls_.device_memory, &bytes, device);
    facts.memory_bytes = bytes;
    complete(facts, device);
    return facts;
}

Module Runtime::load(int device, const void* image) const {
    const Current current(*this, device);
    Module module = nullptr;
    must(calls_.module_load, &module, image);
    return module;
}

void Runtime::unload(int device, Module module) const noexcept {
    try {
        const Current current(*this, device);
        calls_.module_unload.function(module);
    } catch (const Error&) {}  // the device is gone, and its modules with it
}

Function Runtime::function(int device, Module module, const char* name, std::uint32_t shared_bytes) const {
    const Current current(*this, device);
    Function function = nullptr;
    const int number = calls_.module_function.function(&function, module, name);
    if (number == kNotFound) return nullptr;
    if (number != 0) fail(calls_.module_function.name, number);
    prepare(function, shared_bytes);
    return function;
}

void Runtime::launch(int device, std::span<const Launchable> kernels, const void* argument, Stream stream) const {
    const Current current(*this, device);
    void* arguments[] = {const_cast<void*>(argument)};  // the runtimes copy it
    for (const Launchable& k : kernels) {
        must(calls_.launch, k.function, k.grid[0], k.grid[1], k.grid[2], k.threads, 1u, 1u, k.shared_bytes, stream, arguments, nullptr);
    }
}

void Runtime::map(int device, std::span<const MapRequest> requests) const {
    const Current current(*this, device);
    for (const MapRequest& request : requests) encode(request);
}

void Runtime::encode(const MapRequest&) const {
    throw Error(Fault::unavailable, 0, "no copy engine in the runtime of " + std::string(name_of(vendor_)) + " GPUs");
}

void* Runtime::allocate(int device, std::uint64_t bytes) const {
    const Current current(*this, device);
    void* memory = nullptr;
    must(calls_.allocate, &memory, static_cast<std::size_t>(bytes));
    return memory;
}

void Runtime::release(int device, void* memory) const noexcept {
    if (!memory) return;
    try {
        const Current current(*this, device);
        calls_.release.function(memory);
    } catch (const Error&) {}
}

void Runtime::copy_to_device(int device, void* to, const void* from, std::uint64_t bytes, Stream stream) const {
    const Current current(*this, device);
    must(calls_.copy_to_device, to, from, static_cast<std::size_t>(bytes), stream);
    must(calls_.stream_synchronize, stream);
}

void Runtime::copy_to_host(int device, void* to, const void* from, std::uint64_t bytes, Stream stream) const {
    const Current current(*this, device);
    must(calls_.copy_to_host, to, from, static_cast<std::size_t>(bytes), stream);
    must(calls_.stream_synchronize, stream);
}

Stream Runtime::create_stream(int device) const {
    const Current current(*this, device);
    Stream stream = nullptr;
    must(calls_.stream_create, &stream, kBesideDefaultStream);
    return stream;
}

void Runtime::destroy_stream(int device, Stream stream) const noexcept {
    if (!stream) return;
    try {
        const Current current(*this, device);
        calls_.stream_destroy.function(stream);
    } catch (const Error&) {}
}

void Runtime::synchronize(int device, Stream stream) const {
    const Current current(*this, device);
    must(calls_.stream_synchronize, stream);
}

Event Runtime::create_event(int device) const {
    const Current current(*this, device);
    Event event = nullptr;
    must(calls_.event_create, &event, 0u);
    return event;
}

void Runtime::destroy_event(int device, Event event) const noexcept {
    if (!event) return;
    try {
        const Current current(*this, device);
        calls_.event_destroy.function(event);
    } catch (const Error&) {}
}

void Runtime::record(int device, Event event, Stream stream) const {
    const Current current(*this, device);
    must(calls_.event_record, event, stream);
}

double Runtime::elapsed_us(int device, Event first, Event second) const {
    const Current current(*this, device);
    must(calls_.event_synchronize, first);
    must(calls_.event_synchronize, second);
    float milliseconds = 0;
    must(calls_.event_elapsed, &milliseconds, first, second);
    return milliseconds * 1e3;
}

void Runtime::begin_capture(int device, Stream stream) const {
    const Current current(*this, device);
    must(calls_.capture_begin, stream, kRelaxedCapture);
}

Executable Runtime::end_capture(int device, Stream stream) const {
    const Current current(*this, device);
    Graph graph = nullptr;
    must(calls_.capture_end, stream, &graph);
    Executable executable = nullptr;
    const int number = calls_.graph_instantiate.function(&executable, graph, 0);
    calls_.graph_destroy.function(graph);
    if (number != 0) fail(calls_.graph_instantiate.name, number);
    return executable;
}

void Runtime::replay(int device, Executable graph, Stream stream) const {
    const Current current(*this, device);
    must(calls_.graph_launch, graph, stream);
}

void Runtime::destroy_graph(int device, Executable graph) const noexcept {
    if (!graph) return;
    try {
        const Current current(*this, device);
        calls_.executable_destroy.function(graph);
    } catch (const Error&) {}
}

}  // namespace rocforge::platform
