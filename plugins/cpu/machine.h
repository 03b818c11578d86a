// What the machine says of itself: for rf_device's people-facing fields. Reads /proc and sysconf; decides nothing.
#ifndef ROCFORGE_PLUGINS_CPU_MACHINE_H
#define ROCFORGE_PLUGINS_CPU_MACHINE_H

#include <cstdint>
#include <string>

namespace rocforge::cpu {

struct Machine {
    std::string name;  // "AMD EPYC 9554", else what uname calls the machine
    std::uint64_t memory_bytes;
    std::uint32_t cores;  // that this process may run on
};
Machine this_machine();

}  // namespace rocforge::cpu
#endif
