#include "device.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace rocforge::emulated {
namespace {

// Compute units as HIP counts them: MI210, MI300X, RX 7900 XTX, RX 9070 XT.
constexpr Profile kProfiles[] = {
    {"gfx90a", ":sramecc+:xnack-", 64, 104}, {"gfx942", ":sramecc+:xnack-", 64, 304}, {"gfx1100", "", 32, 48}, {"gfx1201", "", 32, 32}};

const Profile* profile_from_environment() {
    const char* const arch = std::getenv("ROCFORGE_EMULATED_ARCH");
    if (arch == nullptr) {
        std::fputs("emulated GPU: ROCFORGE_EMULATED_ARCH is unset; set it to gfx90a, gfx942, gfx1100 or gfx1201\n", stderr);
        return nullptr;
    }
    for (const Profile& profile : kProfiles)
        if (std::strcmp(profile.arch, arch) == 0) return &profile;
    std::fprintf(stderr, "emulated GPU: ROCFORGE_EMULATED_ARCH=%s is none of gfx90a, gfx942, gfx1100, gfx1201\n", arch);
    return nullptr;
}

// Bytes of a code object, from its ELF header: section headers are its end, as the linkers of AMD's toolchain write it. 0: not an ELF file.
std::size_t image_bytes(const void* image) {
    std::uint64_t section_headers;
    std::uint16_t entry_bytes, entries;
    const char* const bytes = static_cast<const char*>(image);
    if (std::memcmp(bytes,
                    "\x7f"
                    "ELF",
                    4) != 0)
        return 0;
    std::memcpy(&section_headers, bytes + 40, sizeof section_headers);
    std::memcpy(&entry_bytes, bytes + 58, sizeof entry_bytes);
    std::memcpy(&entries, bytes + 60, sizeof entries);
    return section_headers + std::size_t{entry_bytes} * entries;
}

}  // namespace

Device* Device::get() {
    static Device* const device = []() -> Device* {
        const Profile* const profile = profile_from_environment();
        if (profile == nullptr) return nullptr;
        if (std::getenv("TINYGRAD_DIR") == nullptr) {
            std::fputs("emulated GPU: TINYGRAD_DIR is unset; name a checkout of tinygrad\n", stderr);
            return nullptr;
        }
        try {
            return new Device(*profile);  // as a driver's state: it outlives every static object of the program
        } catch (const Refused& refused) {
            std::fprintf(stderr, "emulated GPU: %s\n", refused.what());
            return nullptr;
        }
    }();
    return device;
}

Error Device::failed(Error error, const std::string& why) {
    std::fprintf(stderr, "emulated %s: %s\n", profile_.arch, why.c_str());
    return error;
}

Server& Device::server() {
    if (!server_) server_.emplace(profile_.arch, arena_);
    return *server_;
}

Error Device::allocate(void** address, std::size_t bytes) {
    *address = nullptr;
    if (bytes == 0) return kSuccess;
    const std::uint64_t found = arena_.allocate(bytes);
    if (found == 0) return kOutOfMemory;
    try {
        server().allow(arena_.pages(found), true);
    } catch (const Refused& refused) { return failed(kLaunchFailure, refused.what()); }
    *address = reinterpret_cast<void*>(found);
    return kSuccess;
}

Error Device::release(void* address) {
    if (address == nullptr) return kSuccess;
    const std::uint64_t at = reinterpret_cast<std::uintptr_t>(address);
    if (!arena_.owns(at)) return failed(kInvalidValue, "hipFree of an address that hipMalloc did not return, or twice");
    drain(default_stream_);
    streams.each([&](Stream& stream) { drain(stream); });
    const Arena::Pages pages = arena_.pages(at);
    arena_.release(at);
    try {
        server().allow(pages, false);
    } catch (const Refused& refused) { return failed(kLaunchFailure, refused.what()); }
    return kSuccess;
}

// From pageable memory HIP copies before it returns, except into a graph, which reads at each replay.
Error Device::copy_in(std::uint64_t to, const void* from, std::size_t bytes, void* handle) {
    Stream* const on = stream(handle);
    if (on == nullptr) return kInvalidHandle;
    if (arena_.host(to, bytes) == nullptr) return failed(kInvalidValue, "copy of " + std::to_string(bytes) + " bytes to outside of any allocation");
    if (on->captured) return enqueue(handle, [=, this] { std::memcpy(arena_.host(to, bytes), from, bytes); });
    const std::string kept(static_cast<const char*>(from), bytes);
    return enqueue(handle, [=, this] {
        std::byte* const there = arena_.host(to, kept.size());
        if (there == nullptr) throw Refused("copy to memory that was freed meanwhile");
        std::memcpy(there, kept.data(), kept.size());
    });
}

Error Device::copy_out(void* to, std::uint64_t from, std::size_t bytes, void* handle) {
    if (arena_.host(from, bytes) == nullptr)
        return failed(kInvalidValue, "copy of " + std::to_string(bytes) + " bytes from outside of any allocation");
    return enqueue(handle, [=, this] {
        const std::byte* const there = arena_.host(from, bytes);
        if (there == nullptr) throw Refused("copy from memory that was freed meanwhile");
        std::memcpy(to, there, bytes);
    });
}

Error Device::load(void** module, const void* image) {
    const std::size_t bytes = image_bytes(image);
    if (bytes == 0) return failed(kInvalidImage, "the image is not an ELF code object");
    try {
        *module = modules.add(std::make_unique<Module>(Module{server().load({static_cast<const char*>(image), bytes})}));
    } catch (const Refused& refused) { return failed(kInvalidImage, refused.what()); }
    return kSuccess;
}

Error Device::find(void** function, void* module, const char* name) {
    const Module* const from = modules.find(module);
    if (from == nullptr) return kInvalidHandle;
    try {
        *function = functions_.add(std::make_unique<Function>(Function{server().kernel(from->number, name)}));
    } catch (const Absent&) { return kNotFound; } catch (const Refused& refused) {
        return failed(kInvalidImage, refused.what());
    }
    return kSuccess;
}

Error Device::launch(void* handle, const std::uint32_t (&grid)[3], const std::uint32_t (&block)[3], std::uint32_t shared_bytes, void* on,
                     void** parameters) {
    const Function* const function = functions_.find(handle);
    if (function == nullptr) return kInvalidHandle;
    for (int axis = 0; axis < 3; ++axis)
        if (std::uint64_t{grid[axis]} * block[axis] > std::numeric_limits<std::uint32_t>::max() || grid[axis] == 0 || block[axis] == 0)
            return kInvalidValue;
    std::string arguments;
    for (std::size_t i = 0; i < function->kernel.arguments.size(); ++i) {
        const auto [offset, bytes] = function->kernel.arguments[i];
        arguments.resize(offset + std::size_t{bytes}, '\xFF');
        std::memcpy(arguments.data() + offset, parameters[i], bytes);
    }
    const std::array<std::uint32_t, 6> extents{grid[0], grid[1], grid[2], block[0], block[1], block[2]};
    return enqueue(on, [=, this] {
        server().launch(function->kernel, {extents[0], extents[1], extents[2]}, {extents[3], extents[4], extents[5]}, shared_bytes, arguments);
        if (const std::string overrun = arena_.overrun(); !overrun.empty()) throw Refused(overrun);
    });
}

Stream* Device::stream(void* handle) { return handle == nullptr ? &default_stream_ : streams.find(handle); }

Error Device::enqueue(void* handle, Work work) {
    Stream* const on = stream(handle);
    if (on == nullptr) return kInvalidHandle;
    if (on->captured)
        on->captured->push_back(std::move(work));
    else
        on->pending.push_back(std::move(work));
    return kSuccess;
}

void Device::drain(Stream& stream) {
    while (!stream.pending.empty()) {
        const Work work = std::move(stream.pending.front());
        stream.pending.pop_front();
        if (failure_ != kSuccess) continue;  // as on a GPU, nothing runs after a fault
        try {
            work();
        } catch (const Refused& refused) { failure_ = failed(kLaunchFailure, refused.what()); }
    }
}

Error Device::wait(void* handle) {
    Stream* const on = stream(handle);
    if (on == nullptr) return kInvalidHandle;
    if (on->captured) return failed(kCaptureUnsupported, "waiting for a stream while it is captured");
    drain(*on);
    return failure_;
}

Error Device::record(void* handle, void* on) {
    Event* const event = events.find(handle);
    if (event == nullptr || stream(on) == nullptr) return kInvalidHandle;
    event->stream = stream(on);
    return enqueue(on, [this, handle] {
        if (Event* const live = events.find(handle)) *live = {std::chrono::steady_clock::now(), nullptr};
    });
}

Error Device::wait_event(void* handle) {
    const Event* const event = events.find(handle);
    if (event == nullptr) return kInvalidHandle;
    if (event->stream != nullptr) drain(*event->stream);
    return failure_;
}

Error Device::begin_capture(void* handle) {
    Stream* const on = streams.find(handle);
    if (on == nullptr) return failed(kCaptureUnsupported, "the default stream cannot be captured");
    if (on->captured) return kCaptureUnsupported;
    on->captured.emplace();
    return kSuccess;
}

Error Device::end_capture(void* handle, void** graph) {
    Stream* const on = streams.find(handle);
    if (on == nullptr || !on->captured) return kInvalidHandle;
    *graph = graphs.add(std::make_unique<Graph>(Graph{std::move(*on->captured)}));
    on->captured.reset();
    return kSuccess;
}

Error Device::replay(void* handle, void* on) {
    const Graph* const graph = executables.find(handle);
    if (graph == nullptr) return kInvalidHandle;
    for (const Work& work : graph->works)
        if (const Error error = enqueue(on, work); error != kSuccess) return error;
    return kSuccess;
}

}  // namespace rocforge::emulated
