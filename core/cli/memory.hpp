// Buffers for tensors, and how much memory may still be asked for. Host memory alone: tensors of another device need rocforge.memory/1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

namespace rocforge::cli {

// 256-aligned host memory, zeroed, never null: a tensor without elements has an address too. Throws Quit (kBackend) when there is none left.
class Buffer {
public:
    Buffer() = default;
    explicit Buffer(std::uint64_t bytes);

    std::byte* data() const noexcept { return memory_.get(); }
    std::span<std::byte> span() const noexcept { return {memory_.get(), static_cast<std::size_t>(bytes_)}; }
    template <class T> std::span<T> as() const noexcept {
        return {reinterpret_cast<T*>(memory_.get()), static_cast<std::size_t>(bytes_) / sizeof(T)};
    }

private:
    struct Free {
        void operator()(std::byte* memory) const noexcept { std::free(memory); }
    };
    std::unique_ptr<std::byte, Free> memory_;
    std::uint64_t bytes_ = 0;
};

// What the system and this process's control group leave free. UINT64_MAX where neither says.
std::uint64_t available_memory_bytes();

// Throws Quit (kBackend) naming both figures when `bytes` are more than what is available: the kernel promises memory that it does not have
// and then kills the process that touches it.
void demand_memory(std::uint64_t bytes);

}  // namespace rocforge::cli
