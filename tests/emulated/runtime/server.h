// The process that runs the kernels of an emulated GPU (runner/server.py), and the device memory that both share. Knows nothing of HIP.
#ifndef ROCFORGE_TESTS_EMULATED_SERVER_H
#define ROCFORGE_TESTS_EMULATED_SERVER_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace rocforge::emulated {

// What the emulator refuses or what went wrong with it, in words.
struct Refused : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The code object holds no kernel of that name.
struct Absent : Refused {
    using Refused::Refused;
};

// Device memory: pages of a file without a name. The device's address of a byte is of no use to the host, as on a GPU (no access there; the host
// copies through a second mapping). Addresses are never used twice, so that a pointer into freed memory is a fault for ever. An allocation ends where
// its last page does, but for the 256 bytes to which its start is aligned; what of its pages lies before and behind it holds a pattern that must
// stay.
class Arena {
public:
    Arena();
    ~Arena();
    Arena(const Arena&) = delete;
    Arena& operator=(const Arena&) = delete;

    struct Pages {
        std::uint64_t offset, bytes;
    };

    int file() const { return file_; }
    std::uint64_t address() const { return address_; }
    static std::uint64_t bytes();

    // The device address of new, poisoned memory; 0 when there is no room.
    std::uint64_t allocate(std::uint64_t bytes);
    bool owns(std::uint64_t address) const { return blocks_.count(address) != 0; }
    Pages pages(std::uint64_t address) const;
    // Gives the memory back. The block must be owned.
    void release(std::uint64_t address);
    // Where the host finds [address, address + bytes); nullptr unless it lies inside one allocation.
    std::byte* host(std::uint64_t address, std::uint64_t bytes) const;
    // Names an allocation around which something was written; empty: none.
    std::string overrun() const;

private:
    std::byte* at(std::uint64_t address) const { return host_ + (address - address_); }

    int file_ = -1;
    std::uint64_t address_ = 0, next_ = 0, live_bytes_ = 0;
    std::byte* host_ = nullptr;
    std::map<std::uint64_t, std::uint64_t> blocks_;  // device address -> bytes
};

class Server {
public:
    struct Kernel {
        struct Argument {
            std::uint32_t offset, bytes;
        };
        std::uint32_t number;
        std::vector<Argument> arguments;
    };

    Server(const std::string& arch, const Arena& arena);
    ~Server();
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;

    std::uint32_t load(std::string_view code_object);
    Kernel kernel(std::uint32_t module, std::string_view name);
    void launch(const Kernel& kernel, const std::uint32_t (&grid)[3], const std::uint32_t (&block)[3], std::uint32_t shared_bytes,
                std::string_view arguments);
    void allow(const Arena::Pages& pages, bool allowed);

private:
    enum class Kind : std::uint32_t { load, kernel, launch, allow };
    std::string ask(Kind kind, std::string_view payload);
    void send(const void* data, std::size_t bytes);
    void receive(void* data, std::size_t bytes);
    std::string answer();

    int socket_ = -1;
    int process_ = -1;
};

}  // namespace rocforge::emulated
#endif
