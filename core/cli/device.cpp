#include "device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "names.hpp"
#include "terminal.hpp"

namespace rocforge::cli {
namespace {

constexpr std::array kPointers{offsetof(rf_args, q),
                               offsetof(rf_args, k),
                               offsetof(rf_args, v),
                               offsetof(rf_args, out),
                               offsetof(rf_args, lse),
                               offsetof(rf_args, mask),
                               offsetof(rf_args, alibi_slopes),
                               offsetof(rf_args, sink),
                               offsetof(rf_args, kv_lengths),
                               offsetof(rf_args, cu_seqlens_q),
                               offsetof(rf_args, cu_seqlens_kv),
                               offsetof(rf_args, block_table)};

void* made(rf_code code, void* handle, const LibraryError& error) {
    check(code, error);
    return handle;
}

}  // namespace

void demand_present(const rf_device& device) {
    if (device.ordinal >= 0) return;
    throw Quit(Status::kBackend,
               fmt::format("{} is known but not in this machine; name a device of this machine (rocforge list), or ask rocforge explain",
                           device_name(device)));
}

// ---- Device

Device::Device(rocforge_context* context, const rf_device& device, const std::string& backend) {
    rocforge_device_t* opened = nullptr;
    LibraryError error;
    const rf_code code = rocforge_device_open(context, &device, backend.c_str(), &opened, &error);
    // That a backend lends no memory is no verdict on the problem.
    if (code == RF_UNSUPPORTED) throw Quit(Status::kBackend, error.message);
    check(code, error);
    handle_.reset(opened);
}

void Device::upload(void* to, std::span<const std::byte> from) const {
    LibraryError error;
    check(rocforge_copy_to_device(get(), to, from.data(), from.size(), nullptr, &error), error);
}

void Device::download(std::span<std::byte> to, const void* from) const {
    LibraryError error;
    check(rocforge_copy_to_host(get(), to.data(), from, to.size(), nullptr, &error), error);
}

void Device::synchronize() const {
    LibraryError error;
    check(rocforge_stream_synchronize(get(), nullptr, &error), error);
}

std::unique_ptr<Device> device_memory(rocforge_context* context, const rf_device& device, const std::string& backend) {
    return device.kind == RF_DEVICE_CPU ? nullptr : std::make_unique<Device>(context, device, backend);
}

// ---- DeviceBuffer

DeviceBuffer::DeviceBuffer(const Device& device, std::uint64_t bytes) {
    void* memory = nullptr;
    LibraryError error;
    const rf_code code = rocforge_device_allocate(device.get(), bytes, &memory, &error);
    memory_ = {made(code, memory, error), {device.get()}};
}

DeviceBuffer::DeviceBuffer(const Device& device, std::span<const std::byte> from) : DeviceBuffer(device, from.size()) { device.upload(data(), from); }

// ---- Mark

Mark::Mark(const Device& device) {
    void* mark = nullptr;
    LibraryError error;
    const rf_code code = rocforge_mark_create(device.get(), &mark, &error);
    mark_ = {made(code, mark, error), {device.get()}};
}

void Mark::record() const {
    LibraryError error;
    check(rocforge_mark_record(mark_.get_deleter().device, mark_.get(), nullptr, &error), error);
}

double Mark::us_since(const Mark& earlier) const {
    LibraryError error;
    double us = 0;
    check(rocforge_mark_elapsed_us(mark_.get_deleter().device, earlier.mark_.get(), mark_.get(), &us, &error), error);
    return us;
}

bool Mark::lent_by(const Device& device) {
    void* mark = nullptr;
    LibraryError error;
    const rf_code code = rocforge_mark_create(device.get(), &mark, &error);
    rocforge_mark_destroy(device.get(), mark);
    if (code != RF_UNSUPPORTED) check(code, error);
    return code == RF_OK;
}

// ---- Staged

Staged::Staged(const Device& device, const rf_args& args, const std::vector<const Buffer*>& buffers) : device_(device), args_(args) {
    std::uint64_t bytes = 0;
    for (const Buffer* buffer : buffers) bytes += buffer->span().size();
    try {
        for (const Buffer* buffer : buffers)
            if (buffer->data()) copies_.push_back({buffer, DeviceBuffer(device, buffer->span())});
    } catch (const Quit& quit) {
        throw Quit(quit.status(), fmt::format("{} (the tensors take {} of device memory)", quit.what(), human_bytes(static_cast<double>(bytes))));
    }
    for (const std::size_t offset : kPointers) {
        std::byte* const slot = reinterpret_cast<std::byte*>(&args_) + offset;
        const void* pointer = nullptr;
        std::memcpy(&pointer, slot, sizeof pointer);
        const auto copy = std::find_if(copies_.begin(), copies_.end(), [&](const Copy& each) { return each.host->data() == pointer; });
        if (pointer && copy == copies_.end()) throw std::logic_error("an argument that is not staged");
        void* const there = pointer ? copy->there.data() : nullptr;
        std::memcpy(slot, &there, sizeof there);
    }
}

void Staged::fetch(const Buffer& buffer) const {
    const auto copy = std::find_if(copies_.begin(), copies_.end(), [&](const Copy& each) { return each.host == &buffer; });
    if (copy != copies_.end()) device_.download(buffer.span(), copy->there.data());
}

}  // namespace rocforge::cli
