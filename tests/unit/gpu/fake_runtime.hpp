// What a test and the fake GPU runtime share. The fake stands where libamdhip64.so.7 or libcuda.so.1 would: it has devices that compute nothing,
// remembers what it was asked for, and fails on demand. A test finds its state by calling the library's rocforge_fake_state().
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

namespace fake {

struct Launch {
    std::string function;
    unsigned grid[3], threads, shared_bytes;
    void* stream;
    int device;                       // that was current
    std::vector<std::byte> argument;  // State::argument_bytes of it
};

// Copies are made when somebody waits for their stream.
struct Copy {
    void* to;
    const void* from;
    std::size_t bytes;
    void* stream;
};

struct State {
    std::mutex mutex;
    int devices = 2;
    std::string arch;                          // of every device
    std::string fails;                         // the call that fails, by its name in the library
    int error = 0;                             // what it returns then
    std::map<std::string, std::size_t> calls;  // how often each was made
    std::vector<Launch> launches;
    std::size_t argument_bytes = 0;
    std::map<void*, std::unique_ptr<std::byte[]>> open;  // modules, allocations, streams, events and graphs that were made and not yet destroyed
    std::vector<Copy> pending;
    std::set<void*> passed;                   // events that were recorded and then waited for
    std::vector<std::string> functions;       // that every module has
    std::map<std::string, int> shared_limit;  // CUDA: dynamic shared memory that a function may have
    int lazy = 0;                             // CUDA: functions that were looked up and are not yet loaded
};

}  // namespace fake
