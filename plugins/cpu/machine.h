// What the machine says of itself: for rf_device's people-facing fields. Reads /proc and sysconf; decides nothing.
#ifndef ROCFORGE_PLUGINS_CPU_MACHINE_H
#define ROCFORGE_PLUGINS_CPU_MACHINE_H

#include <cstdint>
#include <string>
#include <string_view>

namespace rocforge::cpu {

struct Machine {
    std::string name;  // "AMD EPYC 9554", else what uname calls the machine
    std::uint64_t memory_bytes;
    std::uint32_t cores;  // that this process may run on
};
Machine this_machine();

// "x86-64-v4" for the Highway target "AVX3", and so on.
const char* arch_of_target(std::string_view highway_target);

}  // namespace rocforge::cpu
#endif
