#include "device.h"

#include <algorithm>
#include <cstring>

namespace rocforge::conformance {
namespace {

constexpr std::uint64_t kAlign = 256, kGuardBytes = 4096;  // behind the workspace, where a kernel's slice too many begins
constexpr std::byte kGarbage{0xFF};                        // a NaN of any type

void demand(rf_code code, const rf_error& error, const char* doing) {
    if (code != RF_OK) throw Broken(std::string(doing) + ": " + told(code, error));
}

std::uint64_t round_up(std::uint64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

// The slots of the tables, in their order, all of them pointers.
constexpr const char* kMemorySlots[] = {"allocate", "release", "to_device", "to_host", "stream_create", "stream_destroy", "synchronize"};
constexpr const char* kTimerSlots[] = {"create", "destroy", "record", "elapsed_us"};
constexpr const char* kGraphSlots[] = {"begin", "end", "replay", "destroy"};
static_assert(sizeof(rf_memory_api) == 8 + sizeof kMemorySlots && sizeof(rf_timer_api) == 8 + sizeof kTimerSlots &&
              sizeof(rf_graph_api) == 8 + sizeof kGraphSlots);

template <class Make, class... Rest> void* made(const LentDevice& device, const char* doing, Make make, Rest... rest) {
    void* handle = nullptr;
    rf_error error = empty_error();
    demand(make(device.backend().self(), &device.device(), rest..., &handle, &error), error, doing);
    return handle;
}

}  // namespace

template <class Table> const Table* LentDevice::table(const char* id, std::span<const char* const> slots) const {
    const rf_backend_api& api = backend_.api();
    const auto* found = RF_HAS(&api, extension) && api.extension ? static_cast<const Table*>(api.extension(backend_.self(), id)) : nullptr;
    if (!found) return nullptr;
    constexpr std::size_t kFirstSlot = offsetof(Table, reserved) + sizeof found->reserved;
    const std::size_t size = kFirstSlot + slots.size_bytes();
    if (found->struct_size < size)
        throw Broken(std::string(id) + ": its table has " + std::to_string(found->struct_size) + " bytes, its slots take " + std::to_string(size));
    if (found->reserved) throw Broken(std::string(id) + ": reserved is " + std::to_string(found->reserved) + ", not 0");
    for (std::size_t n = 0; n < slots.size(); ++n) {
        const void* slot = nullptr;
        std::memcpy(&slot, reinterpret_cast<const std::byte*>(found) + kFirstSlot + n * sizeof slot, sizeof slot);
        if (!slot) throw Broken(std::string(id) + ": its slot " + slots[n] + " is NULL; a table that is offered is whole");
    }
    return found;
}

LentDevice::LentDevice(const Backend& backend, const rf_device& device)
    : backend_(backend),
      device_(device),
      memory_(table<rf_memory_api>("rocforge.memory/1", kMemorySlots)),
      timer_(table<rf_timer_api>("rocforge.timer/1", kTimerSlots)),
      graph_(table<rf_graph_api>("rocforge.graph/1", kGraphSlots)) {}

void LentDevice::to_device(void* dst, const void* src, std::uint64_t bytes, void* stream) const {
    rf_error error = empty_error();
    demand(memory_->to_device(backend_.self(), &device_, dst, src, bytes, stream, &error), error, "copying to the device");
}

void LentDevice::to_host(void* dst, const void* src, std::uint64_t bytes, void* stream) const {
    rf_error error = empty_error();
    demand(memory_->to_host(backend_.self(), &device_, dst, src, bytes, stream, &error), error, "copying to the host");
}

void LentDevice::synchronize(void* stream) const {
    rf_error error = empty_error();
    demand(memory_->synchronize(backend_.self(), &device_, stream, &error), error, "waiting for a stream");
}

Lent allocate(const LentDevice& d, std::uint64_t bytes) { return {d, d.memory()->release, made(d, "allocating", d.memory()->allocate, bytes)}; }
Lent create_stream(const LentDevice& d) { return {d, d.memory()->stream_destroy, made(d, "making a stream", d.memory()->stream_create)}; }
Lent create_mark(const LentDevice& d) { return {d, d.timer()->destroy, made(d, "making a mark", d.timer()->create)}; }

void record(const LentDevice& d, const Lent& mark, void* stream) {
    rf_error error = empty_error();
    demand(d.timer()->record(d.backend().self(), &d.device(), mark.get(), stream, &error), error, "recording a mark");
}

double elapsed_us(const LentDevice& d, const Lent& first, const Lent& second) {
    rf_error error = empty_error();
    double us = -1;
    demand(d.timer()->elapsed_us(d.backend().self(), &d.device(), first.get(), second.get(), &us, &error), error, "reading marks");
    return us;
}

namespace detail {

void begin_capture(const LentDevice& d, void* stream) {
    rf_error error = empty_error();
    demand(d.graph()->begin(d.backend().self(), &d.device(), stream, &error), error, "beginning a capture");
}

Lent end_capture(const LentDevice& d, void* stream) { return {d, d.graph()->destroy, made(d, "ending a capture", d.graph()->end, stream)}; }

}  // namespace detail

void replay(const LentDevice& d, const Lent& graph, void* stream) {
    rf_error error = empty_error();
    demand(d.graph()->replay(d.backend().self(), &d.device(), graph.get(), stream, &error), error, "replaying a graph");
}

// ---- StagedCall: the image, then the workspace, then a guard band

StagedCall::StagedCall(const LentDevice& device, const Materialised& tensors, const Plan& plan)
    : device_(device),
      image_(tensors, plan.info().zeroed_bytes),
      workspace_offset_(round_up(image_.bytes())),
      end_(workspace_offset_ + plan.info().workspace_bytes),
      block_(allocate(device, end_ + kGuardBytes)),
      after_(std::max<std::uint64_t>(image_.bytes(), kGuardBytes)),
      args_(image_.args(block_.bytes())) {
    args_.workspace = plan.info().workspace_bytes ? block_.bytes() + workspace_offset_ : nullptr;
    args_.workspace_bytes = plan.info().workspace_bytes;
    if (plan.info().zeroed_bytes == 0) args_.zeroed = nullptr;
}

void StagedCall::upload(void* stream) {
    device_.to_device(block_.get(), image_.refresh(), image_.bytes(), stream);
    constexpr std::uint64_t kPiece = 1 << 20;
    const std::vector<std::byte> garbage(static_cast<std::size_t>(std::min(kPiece, end_ + kGuardBytes - workspace_offset_)), kGarbage);
    for (std::uint64_t at = workspace_offset_; at < end_ + kGuardBytes; at += garbage.size())
        device_.to_device(block_.bytes() + at, garbage.data(), std::min<std::uint64_t>(garbage.size(), end_ + kGuardBytes - at), stream);
}

rf_code StagedCall::enqueue(const Plan& plan, void* stream, std::string& why) {
    args_.stream = stream;
    return plan.forward(args_, why);
}

std::string StagedCall::download(void* stream) {
    device_.to_host(after_.data(), block_.bytes() + end_, kGuardBytes, stream);
    if (std::any_of(after_.begin(), after_.begin() + kGuardBytes, [](std::byte b) { return b != kGarbage; }))
        return "memory past the workspace was written to";
    device_.to_host(after_.data(), block_.get(), image_.bytes(), stream);
    return image_.collect(after_.data());
}

}  // namespace rocforge::conformance
