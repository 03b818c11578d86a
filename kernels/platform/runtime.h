// One vendor's GPU runtime behind a few calls: devices, modules, launches, memory, streams, events, graphs. It is opened by name when a device is
// first asked for and never closed; nothing here runs before that. Every result is checked. It chooses no kernel and knows no attention.
//
// Every call leaves the calling thread's current device (context) as found, and may be made from any thread, also at once.
#ifndef ROCFORGE_KERNELS_PLATFORM_RUNTIME_H
#define ROCFORGE_KERNELS_PLATFORM_RUNTIME_H

#include <cstdint>
#include <span>
#include <string>

#include "kernels/platform/calls.h"
#include "kernels/platform/error.h"
#include "kernels/platform/tensor_map.h"

namespace rocforge::platform {

// What a device says of itself.
struct DeviceFacts {
    std::string arch;                                      // "gfx942:sramecc+:xnack-", "sm_90"
    std::string name;                                      // for people
    std::string runtime;                                   // "hip 6.4.43482", "cuda 13.0"
    std::uint32_t wave_size, compute_units, shared_bytes;  // shared memory that one block may have
    std::uint64_t memory_bytes;
};

// One kernel, ready to be launched.
struct Launchable {
    Function function;
    std::uint32_t grid[3];  // blocks
    std::uint32_t threads;  // of a block
    std::uint32_t shared_bytes;
};

// A tensor that begins at `base`, and where its map goes.
struct MapRequest {
    const BoxedTensor* tensor;
    const void* base;
    TensorMap* map;
};

class Runtime {
public:
    // Throws Error{unavailable} where the runtime or every device is missing, each time that it is asked.
    static const Runtime& of(Vendor vendor);

    virtual ~Runtime() = default;
    Runtime(const Runtime&) = delete;
    Runtime& operator=(const Runtime&) = delete;

    int devices() const { return devices_; }  // 1 or more
    DeviceFacts facts(int device) const;

    // image: a code object for this device, which may be gone after the call.
    Module load(int device, const void* image) const;
    void unload(int device, Module module) const noexcept;
    // nullptr where the module has none of that name. Ready for launches with so much dynamic shared memory, which then load nothing more.
    Function function(int device, Module module, const char* name, std::uint32_t shared_bytes) const;
    // Enqueues the kernels in order, each with the one argument, a struct by value. Allocates nothing and waits for nothing.
    void launch(int device, std::span<const Launchable> kernels, const void* argument, Stream stream) const;

    // Maps of tensors for kernels that use the copy engine: NVIDIA's alone. Allocates nothing, waits for nothing and reads no tensor.
    void map(int device, std::span<const MapRequest> requests) const;

    void* allocate(int device, std::uint64_t bytes) const;
    void release(int device, void* memory) const noexcept;
    // In the stream's order, and over when they return.
    void copy_to_device(int device, void* to, const void* from, std::uint64_t bytes, Stream stream) const;
    void copy_to_host(int device, void* to, const void* from, std::uint64_t bytes, Stream stream) const;

    Stream create_stream(int device) const;  // does not wait for the default stream
    void destroy_stream(int device, Stream stream) const noexcept;
    void synchronize(int device, Stream stream) const;

    Event create_event(int device) const;
    void destroy_event(int device, Event event) const noexcept;
    void record(int device, Event event, Stream stream) const;
    double elapsed_us(int device, Event first, Event second) const;  // waits for both

    void begin_capture(int device, Stream stream) const;
    Executable end_capture(int device, Stream stream) const;
    void replay(int device, Executable graph, Stream stream) const;
    void destroy_graph(int device, Executable graph) const noexcept;

protected:
    Runtime(Vendor vendor, Library library);

    // Counts the devices; throws Error{unavailable} with the runtime's own reason where there is none. Constructors call it last.
    void count_devices();

    template <class... P, class... A> void must(const RuntimeCall<P...>& call, A... arguments) const {
        if (const int number = call.function(arguments...)) fail(call.name, number);
    }
    int attribute(int number, int device) const;
    [[noreturn]] void fail(const char* call, int number) const;
    [[noreturn]] void fail_without_device(int number) const;
    std::string named(int number) const;  // "hipErrorOutOfMemory (2)"

    Library library_;
    Calls calls_;

private:
    // Makes `device` current for this thread while it lives.
    class Current {
    public:
        Current(const Runtime& runtime, int device) : runtime_(runtime), before_(runtime.enter(device)) {}
        ~Current() { runtime_.leave(before_); }
        Current(const Current&) = delete;
        Current& operator=(const Current&) = delete;

    private:
        const Runtime& runtime_;
        int before_;
    };

    // What the two vendors do not share. enter() makes the device current; leave() takes what it returned and undoes that.
    virtual int enter(int device) const = 0;
    virtual void leave(int before) const noexcept = 0;
    virtual const char* error_name(int number) const = 0;
    virtual std::string version_text(int version) const = 0;
    virtual void complete(DeviceFacts& facts, int device) const = 0;  // arch, wave_size, compute_units, shared_bytes
    virtual void encode(const MapRequest& request) const;             // with a device current
    virtual void prepare(Function, std::uint32_t) const {}            // for dynamic shared memory of so many bytes

    Vendor vendor_;
    int devices_ = 0;
};

}  // namespace rocforge::platform
#endif
