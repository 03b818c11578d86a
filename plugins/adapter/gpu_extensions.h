// The tables of rocforge.memory/1, rocforge.timer/1 and rocforge.graph/1 over a GPU backend B (a GpuBackend). Thin: each slot is one call of
// kernels/platform on the device, guarded.
#ifndef ROCFORGE_PLUGINS_ADAPTER_GPU_EXTENSIONS_H
#define ROCFORGE_PLUGINS_ADAPTER_GPU_EXTENSIONS_H

#include <rocforge/plugin.hpp>

#include <atomic>
#include <memory>
#include <string_view>

#include "plugins/adapter/gpu_backend.h"

namespace rocforge::adapter {

template <class B> class GpuExtensions {
public:
    static const void* find(std::string_view id) {
        if (id == "rocforge.memory/1") return &kMemory;
        if (id == "rocforge.timer/1") return &kTimer;
        if (id == "rocforge.graph/1") return &kGraph;
        return nullptr;
    }

private:
    using Runtime = platform::Runtime;

    // A mark is an event that knows whether it was ever recorded: a runtime's answer to one that was not differs from version to version.
    struct Mark {
        platform::Event event;
        std::atomic<bool> recorded = false;
    };

    template <class Body> static rf_code on(rf_backend* b, const rf_device* device, rf_error* error, Body&& body) {
        return guarded(error, [&] {
            reinterpret_cast<B*>(b)->on_device(sized_copy(device), body);
            return rf_code{RF_OK};
        });
    }
    static platform::Stream stream_of(void* stream) { return static_cast<platform::Stream>(stream); }

    static rf_code allocate(rf_backend* b, const rf_device* d, std::uint64_t bytes, void** out, rf_error* error) {
        return on(b, d, error, [&](const Runtime& runtime, int device) { *out = runtime.allocate(device, bytes); });
    }
    static void release(rf_backend* b, const rf_device* d, void* memory) {
        on(b, d, nullptr, [&](const Runtime& runtime, int device) { runtime.release(device, memory); });
    }
    static rf_code to_device(rf_backend* b, const rf_device* d, void* to, const void* from, std::uint64_t bytes, void* stream, rf_error* error) {
        return on(b, d, error, [&](const Runtime& runtime, int device) { runtime.copy_to_device(device, to, from, bytes, stream_of(stream)); });
    }
    static rf_code to_host(rf_backend* b, const rf_device* d, void* to, const void* from, std::uint64_t bytes, void* stream, rf_error* error) {
        return on(b, d, error, [&](const Runtime& runtime, int device) { runtime.copy_to_host(device, to, from, bytes, stream_of(stream)); });
    }
    static rf_code stream_create(rf_backend* b, const rf_device* d, void** out, rf_error* error) {
        return on(b, d, error, [&](const Runtime& runtime, int device) { *out = runtime.create_stream(device); });
    }
    static void stream_destroy(rf_backend* b, const rf_device* d, void* stream) {
        on(b, d, nullptr, [&](const Runtime& runtime, int device) { runtime.destroy_stream(device, stream_of(stream)); });
    }
    static rf_code synchronize(rf_backend* b, const rf_device* d, void* stream, rf_error* error) {
        return on(b, d, error, [&](const Runtime& runtime, int device) { runtime.synchronize(device, stream_of(stream)); });
    }

    static rf_code mark_create(rf_backend* b, const rf_device* d, void** out, rf_error* error) {
        return on(b, d, error, [&](const Runtime& runtime, int device) {
            auto mark = std::make_unique<Mark>();
            mark->event = runtime.create_event(device);
            *out = mark.release();
        });
    }
    static void mark_destroy(rf_backend* b, const rf_device* d, void* mark) {
        const std::unique_ptr<Mark> owned(static_cast<Mark*>(mark));
        if (owned) on(b, d, nullptr, [&](const Runtime& runtime, int device) { runtime.destroy_event(device, owned->event); });
    }
    static rf_code mark_record(rf_backend* b, const rf_device* d, void* mark, void* stream, rf_error* error) {
        return on(b, d, error, [&](const Runtime& runtime, int device) {
            Mark& m = *static_cast<Mark*>(mark);
            runtime.record(device, m.event, stream_of(stream));
            m.recorded = true;
        });
    }
    static rf_code elapsed(rf_backend* b, const rf_device* d, void* first, void* second, double* us, rf_error* error) {
        return on(b, d, error, [&](const Runtime& runtime, int device) {
            const Mark &start = *static_cast<const Mark*>(first), &stop = *static_cast<const Mark*>(second);
            if (!start.recorded || !stop.recorded) throw Failure(RF_INVALID, "elapsed_us: a mark was never recorded");
            *us = runtime.elapsed_us(device, start.event, stop.event);
        });
    }

    static rf_code capture_begin(rf_backend* b, const rf_device* d, void* stream, rf_error* error) {
        return on(b, d, error, [&](const Runtime& runtime, int device) { runtime.begin_capture(device, stream_of(stream)); });
    }
    static rf_code capture_end(rf_backend* b, const rf_device* d, void* stream, void** graph, rf_error* error) {
        return on(b, d, error, [&](const Runtime& runtime, int device) { *graph = runtime.end_capture(device, stream_of(stream)); });
    }
    static rf_code replay(rf_backend* b, const rf_device* d, void* graph, void* stream, rf_error* error) {
        return on(b, d, error,
                  [&](const Runtime& runtime, int device) { runtime.replay(device, static_cast<platform::Executable>(graph), stream_of(stream)); });
    }
    static void graph_destroy(rf_backend* b, const rf_device* d, void* graph) {
        on(b, d, nullptr, [&](const Runtime& runtime, int device) { runtime.destroy_graph(device, static_cast<platform::Executable>(graph)); });
    }

    static constexpr rf_memory_api kMemory{sizeof(rf_memory_api), 0,          allocate, release, to_device, to_host, stream_create,
                                           stream_destroy,        synchronize};
    static constexpr rf_timer_api kTimer{sizeof(rf_timer_api), 0, mark_create, mark_destroy, mark_record, elapsed};
    static constexpr rf_graph_api kGraph{sizeof(rf_graph_api), 0, capture_begin, capture_end, replay, graph_destroy};
};

}  // namespace rocforge::adapter
#endif
