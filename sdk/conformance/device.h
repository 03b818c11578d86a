// A device with memory of its own, as a backend lends it through its extensions (rocforge.memory/1, timer/1, graph/1): memory, streams, graphs and
// marks that go back by themselves. Every failure is Broken, with the backend's words.
#ifndef ROCFORGE_CONFORMANCE_DEVICE_H
#define ROCFORGE_CONFORMANCE_DEVICE_H

#include "backend.h"
#include "image.h"

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace rocforge::conformance {

class LentDevice {
public:
    // Throws Broken where a table that is offered is not whole.
    LentDevice(const Backend&, const rf_device&);
    const Backend& backend() const { return backend_; }
    const rf_device& device() const { return device_; }
    // NULL: not lent.
    const rf_memory_api* memory() const { return memory_; }
    const rf_timer_api* timer() const { return timer_; }
    const rf_graph_api* graph() const { return graph_; }

    void to_device(void* dst, const void* src, std::uint64_t bytes, void* stream) const;
    void to_host(void* dst, const void* src, std::uint64_t bytes, void* stream) const;
    void synchronize(void* stream) const;

private:
    template <class Table> const Table* table(const char* id, std::span<const char* const> slots) const;
    const Backend& backend_;
    rf_device device_;
    const rf_memory_api* memory_;
    const rf_timer_api* timer_;
    const rf_graph_api* graph_;
};

// Something that a device made: memory, a stream, a mark, a graph.
class Lent {
public:
    Lent() = default;
    Lent(const LentDevice& from, void (*release)(rf_backend*, const rf_device*, void*), void* handle)
        : from_(&from), release_(release), handle_(handle) {}
    Lent(Lent&& other) noexcept { swap(other); }
    Lent& operator=(Lent&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Lent() {
        if (handle_) release_(from_->backend().self(), &from_->device(), handle_);
    }
    void* get() const { return handle_; }
    std::byte* bytes() const { return static_cast<std::byte*>(handle_); }

private:
    void swap(Lent& other) noexcept { std::swap(from_, other.from_), std::swap(release_, other.release_), std::swap(handle_, other.handle_); }
    const LentDevice* from_ = nullptr;
    void (*release_)(rf_backend*, const rf_device*, void*) = nullptr;
    void* handle_ = nullptr;
};
Lent allocate(const LentDevice&, std::uint64_t bytes);
Lent create_stream(const LentDevice&);
Lent create_mark(const LentDevice&);
void record(const LentDevice&, const Lent& mark, void* stream);
double elapsed_us(const LentDevice&, const Lent& first, const Lent& second);
// What `enqueue` puts on the stream, kept instead of run.
template <class Enqueue> Lent captured(const LentDevice&, void* stream, Enqueue&& enqueue);
void replay(const LentDevice&, const Lent& graph, void* stream);

// A case staged on a device with its plan's workspace, guard bands all around.
class StagedCall {
public:
    StagedCall(const LentDevice&, const Materialised&, const Plan&);
    // Poison, inputs and counters anew. Waits.
    void upload(void* stream);
    // RF_OK, or the code and why.
    rf_code enqueue(const Plan&, void* stream, std::string& why);
    // Results to the case's own tensors. What was written where nothing may be, or "". Waits.
    std::string download(void* stream);
    const rf_args& args() const { return args_; }

private:
    const LentDevice& device_;
    Image image_;
    std::uint64_t workspace_offset_, end_;
    Lent block_;
    std::vector<std::byte> after_;
    rf_args args_{};
};

// ---- Implementation of the template

namespace detail {
void begin_capture(const LentDevice&, void* stream);
Lent end_capture(const LentDevice&, void* stream);
}  // namespace detail

template <class Enqueue> Lent captured(const LentDevice& device, void* stream, Enqueue&& enqueue) {
    detail::begin_capture(device, stream);
    try {
        enqueue();
    } catch (...) {
        detail::end_capture(device, stream);  // a stream left capturing would spoil whatever comes next
        throw;
    }
    return detail::end_capture(device, stream);
}

}  // namespace rocforge::conformance
#endif
