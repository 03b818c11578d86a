#include "device.hpp"

#include "problem.hpp"

#include <rocforge/plugin.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <utility>

using namespace rocforge;

namespace {

constexpr std::uint64_t kAlign = 256;  // of device memory, by the contract

template <class Table> constexpr const char* kId = nullptr;
template <> constexpr const char* kId<rf_memory_api> = "rocforge.memory/1";
template <> constexpr const char* kId<rf_timer_api> = "rocforge.timer/1";
template <> constexpr const char* kId<rf_graph_api> = "rocforge.graph/1";

// Of a table as 1.0 had it: slots that later headers append are asked for with RF_HAS.
template <class Table> constexpr std::size_t kFirstSize = 0;
template <> constexpr std::size_t kFirstSize<rf_memory_api> = offsetof(rf_memory_api, synchronize) + sizeof(rf_memory_api::synchronize);
template <> constexpr std::size_t kFirstSize<rf_timer_api> = offsetof(rf_timer_api, elapsed_us) + sizeof(rf_timer_api::elapsed_us);
template <> constexpr std::size_t kFirstSize<rf_graph_api> = offsetof(rf_graph_api, destroy) + sizeof(rf_graph_api::destroy);

const char* missing_slot(const rf_memory_api& table) {
    if (!table.allocate) return "allocate";
    if (!table.release) return "release";
    if (!table.to_device) return "to_device";
    if (!table.to_host) return "to_host";
    if (!table.stream_create) return "stream_create";
    if (!table.stream_destroy) return "stream_destroy";
    if (!table.synchronize) return "synchronize";
    return nullptr;
}
const char* missing_slot(const rf_timer_api& table) {
    if (!table.create) return "create";
    if (!table.destroy) return "destroy";
    if (!table.record) return "record";
    if (!table.elapsed_us) return "elapsed_us";
    return nullptr;
}
const char* missing_slot(const rf_graph_api& table) {
    if (!table.begin) return "begin";
    if (!table.end) return "end";
    if (!table.replay) return "replay";
    if (!table.destroy) return "destroy";
    return nullptr;
}

// The backend's table of that type: NULL where it lends none, RF_INCOMPATIBLE where it is not whole.
template <class Table> Result<const Table*> lent_table(const Backend& backend, rf_backend* instance) {
    const rf_backend_api& api = backend.api();
    const auto* table = static_cast<const Table*>(RF_HAS(&api, extension) && api.extension ? api.extension(instance, kId<Table>) : nullptr);
    if (!table) return table;
    const auto broken = [&](const std::string& how) { return Error{RF_INCOMPATIBLE, fmt::format("{}: its {} {}", backend.name(), kId<Table>, how)}; };
    if (table->struct_size < kFirstSize<Table>) return broken(fmt::format("has {} bytes, wanted {}", table->struct_size, kFirstSize<Table>));
    if (table->reserved) return broken(fmt::format("has reserved {}, wanted 0", table->reserved));
    if (const char* slot = missing_slot(*table)) return broken(fmt::format("lacks the slot {}", slot));
    return table;
}

// The backend of that name for that device, able to be asked for it.
Result<Backend*> lender(Registry& registry, const rf_device& device, const char* name) {
    Backend* backend = registry.find(name, device.kind);
    if (!backend) {
        if (!registry.find(name, 0)) return registry.missing(name);
        return Error{RF_NOT_FOUND, fmt::format("backend '{}' is not registered for {}", name, kind_name(device.kind))};
    }
    if (device.kind == RF_DEVICE_CPU) return Error{RF_UNSUPPORTED, fmt::format("{}: computes in host memory: hand it host pointers", name)};
    if (device.ordinal < 0)
        return Error{RF_UNAVAILABLE, fmt::format("{}: {} is not a device of this machine", name, device.arch ? device.arch : "an arch")};
    return backend;
}

// The names of arguments that must not be NULL, with their values: the first that is, or nullptr.
struct Given {
    const void* pointer;
    const char* name;
};
const char* null_among(std::initializer_list<Given> arguments) {
    for (const Given& each : arguments)
        if (!each.pointer) return each.name;
    return nullptr;
}

// Calls a slot of a table that the backend may not lend; what the backend says of a failure is told in its name.
template <class Table, class Slot, class... Arguments>
rf_code ask(const rocforge_device_t& device, const Table* table, Slot Table::*slot, const char* doing, rf_error* error, Arguments... arguments) {
    return guarded(error, [&]() -> rf_code {
        if (!table) return fail(error, RF_UNSUPPORTED, fmt::format("{}: it does not lend {}", device.backend->name(), kId<Table>));
        rf_error told = new_error();
        const rf_code code = (table->*slot)(device.instance, &device.device, arguments..., &told);
        return code == RF_OK ? rf_code{RF_OK} : fail(error, code, told_by(*device.backend, told, doing), told.native);
    });
}

// Calls a slot that gives something back and cannot fail. NULL is nothing, and so is what a table that is not lent cannot have made.
template <class Table>
void give_back(const rocforge_device_t* device, const Table* rocforge_device_t::*table, void (*Table::*slot)(rf_backend*, const rf_device*, void*),
               void* made) {
    if (device && made && device->*table) ((device->*table)->*slot)(device->instance, &device->device, made);
}

}  // namespace

namespace rocforge {

Result<const rf_memory_api*> memory_of(const Backend& backend, rf_backend* instance) { return lent_table<rf_memory_api>(backend, instance); }

Result<std::unique_ptr<rocforge_device_t>> open_device(Runtime& runtime, const rf_device& device, const char* name) {
    const std::shared_lock lock(runtime.guard());
    const Result<Backend*> backend = lender(runtime.registry(), device, name);
    if (!backend) return backend.error();
    const Result<rf_backend*> instance = (*backend)->instance();
    if (!instance) return instance.error();
    const Result<rf_device> own = (*backend)->device_like(device);
    if (!own) return own.error();
    const auto memory = memory_of(**backend, *instance);
    if (!memory) return memory.error();
    if (!*memory)
        return Error{RF_UNSUPPORTED,
                     fmt::format("{}: it does not lend {}: bring device memory from the device's own runtime", name, kId<rf_memory_api>)};
    const auto timer = lent_table<rf_timer_api>(**backend, *instance);
    if (!timer) return timer.error();
    const auto graph = lent_table<rf_graph_api>(**backend, *instance);
    if (!graph) return graph.error();
    return std::make_unique<rocforge_device_t>(rocforge_device_t{runtime.shared_from_this(), *backend, *instance, *own, *memory, *timer, *graph});
}

}  // namespace rocforge

extern "C" {

rf_code rocforge_device_open(rocforge_context* context, const rf_device* device, const char* backend, rocforge_device_t** out, rf_error* error) {
    if (out) *out = nullptr;
    if (const char* name = null_among({{context, "context"}, {device, "device"}, {backend, "backend"}, {out, "out"}}))
        return null_argument(error, name);
    return guarded(error, [&]() -> rf_code {
        Result<std::unique_ptr<rocforge_device_t>> opened = open_device(*context->runtime, sized_copy(device), backend);
        if (!opened) return fail(error, opened.error().code, opened.error().message, opened.error().native);
        *out = opened->release();
        return RF_OK;
    });
}

void rocforge_device_close(rocforge_device_t* device) { delete device; }

// ---- Memory

rf_code rocforge_device_allocate(rocforge_device_t* device, uint64_t bytes, void** memory, rf_error* error) {
    if (const char* name = null_among({{device, "device"}, {memory, "memory"}})) return null_argument(error, name);
    *memory = nullptr;
    void* got = nullptr;
    const rf_code code = ask(*device, device->memory, &rf_memory_api::allocate, "allocate", error, std::max<uint64_t>(bytes, 1), &got);
    if (code != RF_OK) return code;
    if (!got || reinterpret_cast<std::uintptr_t>(got) % kAlign != 0) {
        rocforge_device_release(device, got);
        return guarded(error, [&] {
            return fail(error, RF_INTERNAL, fmt::format("{}: allocate gave {}, wanted memory aligned to {}", device->backend->name(), got, kAlign));
        });
    }
    *memory = got;
    return RF_OK;
}

void rocforge_device_release(rocforge_device_t* device, void* memory) {
    give_back(device, &rocforge_device_t::memory, &rf_memory_api::release, memory);
}

rf_code rocforge_copy_to_device(rocforge_device_t* device, void* to, const void* from, uint64_t bytes, void* stream, rf_error* error) {
    if (const char* name = null_among({{device, "device"}, {to, "to"}, {from, "from_host"}})) return null_argument(error, name);
    if (bytes == 0) return RF_OK;
    return ask(*device, device->memory, &rf_memory_api::to_device, "to_device", error, to, from, bytes, stream);
}

rf_code rocforge_copy_to_host(rocforge_device_t* device, void* to, const void* from, uint64_t bytes, void* stream, rf_error* error) {
    if (const char* name = null_among({{device, "device"}, {to, "to_host"}, {from, "from"}})) return null_argument(error, name);
    if (bytes == 0) return RF_OK;
    return ask(*device, device->memory, &rf_memory_api::to_host, "to_host", error, to, from, bytes, stream);
}

// ---- Streams

rf_code rocforge_stream_create(rocforge_device_t* device, void** stream, rf_error* error) {
    if (const char* name = null_among({{device, "device"}, {stream, "stream"}})) return null_argument(error, name);
    return ask(*device, device->memory, &rf_memory_api::stream_create, "stream_create", error, stream);
}

void rocforge_stream_destroy(rocforge_device_t* device, void* stream) {
    give_back(device, &rocforge_device_t::memory, &rf_memory_api::stream_destroy, stream);
}

rf_code rocforge_stream_synchronize(rocforge_device_t* device, void* stream, rf_error* error) {
    if (!device) return null_argument(error, "device");
    return ask(*device, device->memory, &rf_memory_api::synchronize, "synchronize", error, stream);
}

// ---- Marks

rf_code rocforge_mark_create(rocforge_device_t* device, void** mark, rf_error* error) {
    if (const char* name = null_among({{device, "device"}, {mark, "mark"}})) return null_argument(error, name);
    return ask(*device, device->timer, &rf_timer_api::create, "create", error, mark);
}

void rocforge_mark_destroy(rocforge_device_t* device, void* mark) { give_back(device, &rocforge_device_t::timer, &rf_timer_api::destroy, mark); }

rf_code rocforge_mark_record(rocforge_device_t* device, void* mark, void* stream, rf_error* error) {
    if (const char* name = null_among({{device, "device"}, {mark, "mark"}})) return null_argument(error, name);
    return ask(*device, device->timer, &rf_timer_api::record, "record", error, mark, stream);
}

rf_code rocforge_mark_elapsed_us(rocforge_device_t* device, void* first, void* second, double* us, rf_error* error) {
    if (const char* name = null_among({{device, "device"}, {first, "first"}, {second, "second"}, {us, "us"}})) return null_argument(error, name);
    return ask(*device, device->timer, &rf_timer_api::elapsed_us, "elapsed_us", error, first, second, us);
}

// ---- Graphs

rf_code rocforge_graph_begin(rocforge_device_t* device, void* stream, rf_error* error) {
    if (const char* name = null_among({{device, "device"}, {stream, "stream"}})) return null_argument(error, name);
    return ask(*device, device->graph, &rf_graph_api::begin, "begin", error, stream);
}

rf_code rocforge_graph_end(rocforge_device_t* device, void* stream, void** graph, rf_error* error) {
    if (const char* name = null_among({{device, "device"}, {stream, "stream"}, {graph, "graph"}})) return null_argument(error, name);
    return ask(*device, device->graph, &rf_graph_api::end, "end", error, stream, graph);
}

rf_code rocforge_graph_replay(rocforge_device_t* device, void* graph, void* stream, rf_error* error) {
    if (const char* name = null_among({{device, "device"}, {graph, "graph"}})) return null_argument(error, name);
    return ask(*device, device->graph, &rf_graph_api::replay, "replay", error, graph, stream);
}

void rocforge_graph_destroy(rocforge_device_t* device, void* graph) { give_back(device, &rocforge_device_t::graph, &rf_graph_api::destroy, graph); }

}  // extern "C"
