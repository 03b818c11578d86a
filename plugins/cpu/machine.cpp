// See machine.h.
#include "plugins/cpu/machine.h"

#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>

namespace rocforge::cpu {
namespace {

std::string model_name() {
    std::ifstream info("/proc/cpuinfo");
    for (std::string line; std::getline(info, line);) {
        const std::size_t colon = line.find(": ");
        if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
    }
    utsname system{};
    return uname(&system) == 0 ? system.machine : "CPU";
}

}  // namespace

Machine this_machine() {
    const long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE), online = sysconf(_SC_NPROCESSORS_ONLN);
    Machine machine{model_name(), 0, online > 0 ? static_cast<std::uint32_t>(online) : 1};
    if (pages > 0 && page_bytes > 0) machine.memory_bytes = static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0)
        machine.cores = static_cast<std::uint32_t>(CPU_COUNT(&allowed));
    return machine;
}

}  // namespace rocforge::cpu
