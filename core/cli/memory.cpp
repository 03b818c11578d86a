#include "memory.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string>

#include "status.hpp"
#include "terminal.hpp"

namespace rocforge::cli {
namespace {

constexpr std::uint64_t kAlign = 256;

// The number in a file of one line; UINT64_MAX for "max", no file or no number.
std::uint64_t read_number(const char* path) {
    std::ifstream file(path);
    std::uint64_t value = 0;
    return file >> value ? value : UINT64_MAX;
}

std::uint64_t system_available_bytes() {
    std::ifstream file("/proc/meminfo");
    std::string key;
    for (std::uint64_t kib = 0; file >> key >> kib; file.ignore(256, '\n')) {
        if (key == "MemAvailable:") return kib * 1024;
    }
    return UINT64_MAX;
}

std::uint64_t group_available_bytes() {
    const std::uint64_t limit = read_number("/sys/fs/cgroup/memory.max"), used = read_number("/sys/fs/cgroup/memory.current");
    if (limit == UINT64_MAX || used == UINT64_MAX) return UINT64_MAX;
    return limit - std::min(limit, used);
}

}  // namespace

Buffer::Buffer(std::uint64_t bytes) : bytes_(bytes) {
    const std::uint64_t rounded = bytes > UINT64_MAX - kAlign ? bytes : std::max(kAlign, (bytes + kAlign - 1) / kAlign * kAlign);
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlign, rounded)));
    if (!memory_) throw Quit(Status::kBackend, "out of host memory: cannot allocate " + human_bytes(static_cast<double>(bytes)));
    std::memset(memory_.get(), 0, bytes);
}

std::uint64_t available_memory_bytes() { return std::min(system_available_bytes(), group_available_bytes()); }

void demand_memory(std::uint64_t bytes) {
    const std::uint64_t available = available_memory_bytes();
    if (bytes <= available) return;
    throw Quit(Status::kBackend, fmt::format("needs {} of host memory, {} are free", human_bytes(static_cast<double>(bytes)),
                                             human_bytes(static_cast<double>(available))));
}

}  // namespace rocforge::cli
