// One emulated GPU: streams, events, captured graphs, modules and memory, on an Arena and a Server. It is lazy as GPUs are in the eyes of a host that
// does not wait: what is enqueued runs when somebody waits for it, so that a result read too early is still poison. Thread-safe by one lock.
#ifndef ROCFORGE_TESTS_EMULATED_DEVICE_H
#define ROCFORGE_TESTS_EMULATED_DEVICE_H

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server.h"

namespace rocforge::emulated {

// hipError_t, the numbers of HIP 5 to 7.
enum Error : int {
    kSuccess = 0,
    kInvalidValue = 1,
    kOutOfMemory = 2,
    kNoDevice = 100,
    kInvalidDevice = 101,
    kInvalidImage = 200,
    kInvalidHandle = 400,
    kNotFound = 500,
    kLaunchFailure = 719,
    kCaptureUnsupported = 900,
};

struct Profile {
    const char* arch;
    const char* features;  // as HIP appends them to the arch
    int wave_size, compute_units;
};

using Work = std::function<void()>;
using Works = std::vector<Work>;

struct Stream {
    std::deque<Work> pending;
    std::optional<Works> captured;  // while a capture is under way
};

struct Event {
    std::chrono::steady_clock::time_point at;
    Stream* stream = nullptr;  // of the record that has not run yet
};

struct Graph {
    Works works;
};

struct Module {
    std::uint32_t number;
};

struct Function {
    Server::Kernel kernel;
};

// Handles that the program holds: what is not one of these is refused, also after its end.
template <class T> class Handles {
public:
    T* add(std::unique_ptr<T> object) { return objects_.emplace_back(std::move(object)).get(); }
    T* find(void* handle) const {
        for (const auto& object : objects_)
            if (object.get() == handle) return object.get();
        return nullptr;
    }
    bool remove(void* handle) {
        return std::erase_if(objects_, [&](const auto& object) { return object.get() == handle; }) != 0;
    }
    template <class F> void each(F&& action) {
        for (const auto& object : objects_) action(*object);
    }

private:
    std::vector<std::unique_ptr<T>> objects_;
};

class Device {
public:
    // The device that the environment asks for; nullptr, with the reason on stderr, when it cannot be.
    static Device* get();

    explicit Device(const Profile& profile) : profile_(profile) {}

    std::recursive_mutex lock;
    const Profile& profile() const { return profile_; }

    Error allocate(void** address, std::size_t bytes);
    Error release(void* address);
    Error copy_in(std::uint64_t to, const void* from, std::size_t bytes, void* stream);
    Error copy_out(void* to, std::uint64_t from, std::size_t bytes, void* stream);

    Error load(void** module, const void* image);
    Error find(void** function, void* module, const char* name);
    Error launch(void* function, const std::uint32_t (&grid)[3], const std::uint32_t (&block)[3], std::uint32_t shared_bytes, void* stream,
                 void** parameters);

    Stream* stream(void* handle);  // nullptr: no such stream
    Error wait(void* stream);
    void drain(Stream& stream);  // runs what is pending

    Error record(void* event, void* stream);
    Error wait_event(void* event);
    Error begin_capture(void* stream);
    Error end_capture(void* stream, void** graph);
    Error replay(void* graph, void* stream);

    Handles<Stream> streams;
    Handles<Event> events;
    Handles<Graph> graphs, executables;
    Handles<Module> modules;

private:
    Server& server();
    Error enqueue(void* stream, Work work);
    Error failed(Error error, const std::string& why);
    Error take_failure();

    const Profile& profile_;
    Arena arena_;
    std::optional<Server> server_;
    Stream default_stream_;
    Handles<Function> functions_;
    Error failure_ = kSuccess;  // of enqueued work; reported to whoever waits, from then on
};

}  // namespace rocforge::emulated
#endif
