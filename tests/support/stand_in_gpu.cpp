// A stand-in for a GPU backend, for tests of everything that stages tensors: the textbook formula over memory that is kept apart as a device's is.
// Its addresses are of no use to the host (reading one is a SIGSEGV) and the host's are of none to it; what is enqueued runs when somebody waits, so
// that a caller who does not wait reads poison; and every step can be made to fail. It computes on the host and proves nothing about any GPU.
// It registers for cuda, with one device, and for rocm, where it has none.
#include <rocforge/plugin.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "conformance/oracle.h"
#include "conformance/storage.h"

namespace {

using namespace rocforge::conformance;
using rocforge::Failure;

constexpr std::uint64_t kWorkspaceBytes = 700, kZeroedBytes = 300, kSpoiltBytes = 64 << 20;
using Work = std::function<void()>;

struct Stream {
    std::vector<Work> pending;
    bool capturing = false;
};

struct Mark {
    std::chrono::steady_clock::time_point at;
    Stream* stream = nullptr;
};

// What a memory address of the device stands for. The addresses are reserved and never readable; the bytes lie elsewhere.
struct Region {
    std::uint64_t bytes, reserved;
    std::unique_ptr<std::byte[]> data;
};

// The device: its memory, its streams, what failed since the last wait. One lock around all of it.
class World {
public:
    World(std::string fails, std::uint64_t capacity_bytes, bool computes_nothing)
        : idle(computes_nothing), fails_(std::move(fails)), capacity_bytes_(capacity_bytes) {}
    ~World() {
        for (const auto& [address, region] : regions_) munmap(reinterpret_cast<void*>(address), region.reserved);
    }
    World(const World&) = delete;
    World& operator=(const World&) = delete;

    std::recursive_mutex guard;
    const bool idle;  // forward computes nothing: for what is about time alone

    std::uint64_t capacity_bytes() const { return capacity_bytes_; }
    bool fails(const char* step) const { return fails_ == step; }
    void may_fail(const char* step) const {
        if (fails(step)) throw Failure(RF_DEVICE, std::string(step) + " fails, as it was told to", 719);
    }

    void* allocate(std::uint64_t bytes) {
        if (fails("allocate") || bytes > capacity_bytes_ - used_bytes_)
            throw Failure(RF_NO_MEMORY, "out of device memory: " + std::to_string(bytes) + " bytes wanted, " +
                                            std::to_string(fails("allocate") ? 0 : capacity_bytes_ - used_bytes_) + " free");
        const std::uint64_t reserved = (bytes + 4095) / 4096 * 4096;
        void* address = mmap(nullptr, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (address == MAP_FAILED) throw std::bad_alloc();
        used_bytes_ += bytes;
        Region region{bytes, reserved, std::unique_ptr<std::byte[]>(new std::byte[bytes])};
        // Contents undefined: a NaN, and no counter at zero. Further on nobody looks, and what is never touched takes no memory.
        std::memset(region.data.get(), 0xFF, std::min(bytes, kSpoiltBytes));
        regions_[reinterpret_cast<std::uintptr_t>(address)] = std::move(region);
        return address;
    }
    void release(void* address) {
        const auto found = regions_.find(reinterpret_cast<std::uintptr_t>(address));
        if (found == regions_.end()) return;
        used_bytes_ -= found->second.bytes;
        munmap(address, found->second.reserved);
        regions_.erase(found);
    }
    // Where [address, address + bytes) of the device really lies.
    std::byte* real(const void* address, std::uint64_t bytes) {
        const auto at = reinterpret_cast<std::uintptr_t>(address);
        auto after = regions_.upper_bound(at);
        if (after != regions_.begin()) {
            const auto& [base, region] = *std::prev(after);
            if (at - base <= region.bytes && bytes <= region.bytes - (at - base)) return region.data.get() + (at - base);
        }
        throw Failure(RF_DEVICE, "an illegal address: no memory of this device", 700);
    }

    Stream& stream(void* handle) { return handle ? *static_cast<Stream*>(handle) : default_stream_; }
    // Runs what is pending. What fails there is told here, and what stood behind it is dropped.
    void wait(Stream& stream) {
        if (stream.capturing) throw Failure(RF_INVALID, "waiting on a stream that is being captured");
        for (const Work& work : std::exchange(stream.pending, {})) work();
        if (fails("kernel") && ran_) throw Failure(RF_DEVICE, "a kernel fails, as it was told to", 719);
    }
    void ran() { ran_ = true; }

private:
    const std::string fails_;
    const std::uint64_t capacity_bytes_;
    std::uint64_t used_bytes_ = 0;
    std::map<std::uintptr_t, Region> regions_;
    Stream default_stream_;
    bool ran_ = false;
};

// rf_args with the addresses behind which the bytes really lie; what is NULL stays so.
rf_args really(World& world, rf_args args) {
    for (const std::size_t offset :
         {offsetof(rf_args, q), offsetof(rf_args, k), offsetof(rf_args, v), offsetof(rf_args, out), offsetof(rf_args, lse), offsetof(rf_args, mask),
          offsetof(rf_args, alibi_slopes), offsetof(rf_args, sink), offsetof(rf_args, kv_lengths), offsetof(rf_args, cu_seqlens_q),
          offsetof(rf_args, cu_seqlens_kv), offsetof(rf_args, block_table), offsetof(rf_args, k_scale), offsetof(rf_args, v_scale)}) {
        void* pointer = nullptr;
        std::memcpy(&pointer, reinterpret_cast<std::byte*>(&args) + offset, sizeof pointer);
        if (pointer) pointer = world.real(pointer, 1);
        std::memcpy(reinterpret_cast<std::byte*>(&args) + offset, &pointer, sizeof pointer);
    }
    args.workspace = world.real(args.workspace, kWorkspaceBytes);
    args.zeroed = world.real(args.zeroed, kZeroedBytes);
    return args;
}

void compute(World& world, const rf_problem& p, const rf_args& device_args) {
    const rf_args a = really(world, device_args);
    const auto* counters = static_cast<const std::byte*>(a.zeroed);
    for (std::uint64_t n = 0; n < kZeroedBytes; ++n)
        if (counters[n] != std::byte{0}) throw Failure(RF_DEVICE, "zeroed memory is not zero");
    std::memset(a.workspace, 0x5A, kWorkspaceBytes);
    world.ran();
    if (world.idle) return;
    for (std::int64_t b = 0; b < p.batch; ++b) {
        const Sequence s = sequence_of(p, a, b);
        for (std::int64_t h = 0; h < p.q.shape[1]; ++h)
            for (std::int64_t i = 0; i < s.len_q; ++i) {
                const Row row = textbook_row(p, a, b, h, i);
                const Place at = place_of_query(p, s, b, i);
                for (std::int64_t d = 0; d < p.v.shape[3]; ++d)
                    store(p.out.dtype, a.out, offset_of(p.out, at.axis0, h, at.axis2, d), row.out[static_cast<std::size_t>(d)]);
                if (p.features & RF_F_LSE) store(kF32, a.lse, offset_of(p.lse, at.axis0, h, at.axis2, 0), row.lse);
            }
    }
}

template <std::int32_t kKind> class StandIn {
public:
    struct Plan {
        std::shared_ptr<World> world;
        rf_problem problem;
        void forward(const rf_args& args) const {
            const std::lock_guard lock(world->guard);
            world->may_fail("launch");
            really(*world, args);  // a host pointer is refused here, where its caller sees it
            world->stream(args.stream).pending.push_back([w = world.get(), p = problem, args] { compute(*w, p, args); });
        }
    };

    explicit StandIn(const rf_host_api& host)
        : world(std::make_shared<World>(host.option(host.self, "stand_in_gpu", "fail"),
                                        std::stoull(host.option(host.self, "stand_in_gpu", "memory_mib")) << 20,
                                        host.option(host.self, "stand_in_gpu", "compute") == std::string("nothing"))) {}

    rf_code device(std::int32_t index, rf_device& out) const {
        if (kKind == RF_DEVICE_ROCM) throw Failure(RF_UNAVAILABLE, "no GPU of this kind here: a stand-in has none");
        if (index > 0) return RF_NOT_FOUND;
        limits(out);
        out.memory_bytes = world->capacity_bytes();
        return RF_OK;
    }
    rf_code describe(std::string_view arch, rf_device& out) const {
        if (arch != kArch) return RF_NOT_FOUND;
        limits(out);
        return RF_OK;
    }
    void supports(const rf_device&, const rf_problem& p, rocforge::Reasons& reasons) const {
        if (p.q.shape[3] > 512) reasons.refuse(RF_R_HEAD_DIM, "q.shape[3]", std::to_string(p.q.shape[3]), "at most 512", "use backend \"cpu\"");
        if (p.workspace_limit_bytes < kWorkspaceBytes)
            reasons.refuse(RF_R_WORKSPACE, "workspace_limit_bytes", std::to_string(p.workspace_limit_bytes), std::to_string(kWorkspaceBytes));
        if (p.q.align < 16 && p.q.shape[3] % 64 == 0)
            reasons.refuse(RF_R_ALIGN, "q.align", std::to_string(p.q.align), "16", "align the tensors to 16 bytes");
    }
    rf_code kv_layout(const rf_device&, const rf_problem& p, std::uint32_t index, rf_kv_layout& out) const {
        if (index > 0) return RF_NOT_FOUND;
        out.kind = RF_KV_CONTIGUOUS;
        if (p.features & RF_F_PAGED_KV) out.kind = RF_KV_PAGED, out.page_min = out.page_multiple = 1, out.page_max = 1 << 20;
        for (std::uint8_t axis = 0; axis < 4; ++axis) out.order[axis] = axis;
        return RF_OK;
    }
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem& problem, std::uint32_t algo, rf_plan_info& info) const {
        if (algo > 0) throw Failure(RF_NOT_FOUND, "one algorithm alone");
        world->may_fail("plan");
        info.workspace_bytes = kWorkspaceBytes;
        info.zeroed_bytes = kZeroedBytes;
        info.flags = RF_P_CAPTURABLE | RF_P_DETERMINISTIC;
        info.kernel = "textbook";
        return std::make_unique<Plan>(Plan{world, problem});
    }
    const void* extension(const char* id) const {
        const std::string wanted = id;
        if (world->fails("extensions")) return nullptr;
        if (wanted == "rocforge.memory/1") return &kMemory;
        if (wanted == "rocforge.timer/1" && !world->fails("timer")) return &kTimer;
        if (wanted == "rocforge.graph/1" && !world->fails("graph")) return &kGraph;
        return nullptr;
    }

private:
    static constexpr const char* kArch = "stand_in_9000";
    static void limits(rf_device& out) {
        out.wave_size = 32;
        out.arch = kArch;
        out.name = "A stand-in";
        out.runtime = "none";
    }
    // The backend's own world, locked, for the time of one call.
    template <class Body> static rf_code in(rf_backend* self, rf_error* error, Body&& body) {
        return rocforge::guarded(error, [&] {
            World& own = *reinterpret_cast<StandIn*>(self)->world;
            const std::lock_guard lock(own.guard);
            body(own);
            return rf_code{RF_OK};
        });
    }

    static rf_code allocate(rf_backend* self, const rf_device*, std::uint64_t bytes, void** out, rf_error* error) {
        return in(self, error, [&](World& w) { *out = w.allocate(bytes); });
    }
    static void release(rf_backend* self, const rf_device*, void* memory) {
        in(self, nullptr, [&](World& w) { w.release(memory); });
    }
    static rf_code to_device(rf_backend* self, const rf_device*, void* to, const void* from, std::uint64_t bytes, void* stream, rf_error* error) {
        return in(self, error, [&](World& w) {
            w.may_fail("to_device");
            w.wait(w.stream(stream));
            std::memcpy(w.real(to, bytes), from, bytes);
        });
    }
    static rf_code to_host(rf_backend* self, const rf_device*, void* to, const void* from, std::uint64_t bytes, void* stream, rf_error* error) {
        return in(self, error, [&](World& w) {
            w.may_fail("to_host");
            w.wait(w.stream(stream));
            std::memcpy(to, w.real(from, bytes), bytes);
        });
    }
    static rf_code stream_create(rf_backend* self, const rf_device*, void** out, rf_error* error) {
        return in(self, error, [&](World&) { *out = new Stream; });
    }
    static void stream_destroy(rf_backend* self, const rf_device*, void* stream) {
        in(self, nullptr, [&](World&) { delete static_cast<Stream*>(stream); });
    }
    static rf_code synchronize(rf_backend* self, const rf_device*, void* stream, rf_error* error) {
        return in(self, error, [&](World& w) { w.wait(w.stream(stream)); });
    }

    static rf_code mark_create(rf_backend* self, const rf_device*, void** out, rf_error* error) {
        return in(self, error, [&](World&) { *out = new Mark; });
    }
    static void mark_destroy(rf_backend* self, const rf_device*, void* mark) {
        in(self, nullptr, [&](World&) { delete static_cast<Mark*>(mark); });
    }
    static rf_code record(rf_backend* self, const rf_device*, void* mark, void* stream, rf_error* error) {
        return in(self, error, [&](World& w) {
            auto* m = static_cast<Mark*>(mark);
            m->stream = &w.stream(stream);
            m->stream->pending.push_back([m] { m->at = std::chrono::steady_clock::now(); });
        });
    }
    static rf_code elapsed_us(rf_backend* self, const rf_device*, void* first, void* second, double* us, rf_error* error) {
        return in(self, error, [&](World& w) {
            const auto *from = static_cast<Mark*>(first), *to = static_cast<Mark*>(second);
            if (!from->stream || !to->stream) throw Failure(RF_INVALID, "a mark that was never recorded");
            w.wait(*from->stream), w.wait(*to->stream);
            *us = std::chrono::duration<double, std::micro>(to->at - from->at).count();
        });
    }

    static rf_code begin(rf_backend* self, const rf_device*, void* stream, rf_error* error) {
        return in(self, error, [&](World& w) {
            w.wait(w.stream(stream));
            w.stream(stream).capturing = true;
        });
    }
    static rf_code end(rf_backend* self, const rf_device*, void* stream, void** graph, rf_error* error) {
        return in(self, error, [&](World& w) {
            w.stream(stream).capturing = false;
            *graph = new std::vector<Work>(std::exchange(w.stream(stream).pending, {}));
        });
    }
    static rf_code replay(rf_backend* self, const rf_device*, void* graph, void* stream, rf_error* error) {
        return in(self, error, [&](World& w) {
            for (const Work& work : *static_cast<std::vector<Work>*>(graph)) w.stream(stream).pending.push_back(work);
        });
    }
    static void graph_destroy(rf_backend* self, const rf_device*, void* graph) {
        in(self, nullptr, [&](World&) { delete static_cast<std::vector<Work>*>(graph); });
    }

    static constexpr rf_memory_api kMemory{sizeof(rf_memory_api), 0,          allocate, release, to_device, to_host, stream_create,
                                           stream_destroy,        synchronize};
    static constexpr rf_timer_api kTimer{sizeof(rf_timer_api), 0, mark_create, mark_destroy, record, elapsed_us};
    static constexpr rf_graph_api kGraph{sizeof(rf_graph_api), 0, begin, end, replay, graph_destroy};

    std::shared_ptr<World> world;
};

constexpr rf_option kFail{sizeof(rf_option),
                          0,
                          "fail",
                          "nothing|plan|allocate|to_device|to_host|launch|kernel|extensions|timer|graph",
                          "nothing",
                          "the step that fails, the table that is not lent"},
    kMemoryMib{sizeof(rf_option), 0, "memory_mib", "1..1048576", "1024", "the device's memory"};
constexpr rf_option kCompute{sizeof(rf_option), 0, "compute", "attention|nothing", "attention", "what forward does"};
constexpr const rf_option* kOptions[]{&kFail, &kMemoryMib, &kCompute, nullptr};

// All but dropout, so that something is refused.
constexpr rf_features kFeatures = RF_F_CAUSAL | RF_F_BOTTOM_RIGHT | RF_F_WINDOW | RF_F_GROUPED_HEADS | RF_F_MASK_BOOL | RF_F_MASK_ADD | RF_F_ALIBI |
                                  RF_F_SOFTCAP | RF_F_SINK | RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_PAGED_KV | RF_F_LSE | RF_F_DIM_V |
                                  RF_F_DETERMINISTIC | RF_F_KV_DTYPE | RF_F_KV_SCALES | RF_F_RAGGED_KV | RF_F_DIAGONAL | RF_F_OUT_DTYPE;

template <std::int32_t kKind>
constexpr rf_backend_api kTable = rocforge::backend_table<StandIn<kKind>>(
    {.name = "stand_in_gpu", .version = "1.0.0", .vendor = "tests", .features = kFeatures, .device_kind = kKind, .options = kOptions});

}  // namespace

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) {
    const rf_code code = host->register_backend(host->self, &kTable<RF_DEVICE_CUDA>);
    return code == RF_OK ? host->register_backend(host->self, &kTable<RF_DEVICE_ROCM>) : code;
}
