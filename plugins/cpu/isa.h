// The instruction sets that the backend has kernels for, by the names that the option `isa`, ROCFORGE_CPU_ISA, plans and `rocforge list` share.
// Asks the processor; chooses nothing.
#ifndef ROCFORGE_PLUGINS_CPU_ISA_H
#define ROCFORGE_PLUGINS_CPU_ISA_H

#include <optional>
#include <string>
#include <vector>

#include "plugins/cpu/attention.h"

namespace rocforge::cpu {

struct Isa {
    const char* name;                        // "avx512"
    const char* arch;                        // what a machine with it is called: "x86-64-v4"
    std::string missing = {};                // why it does not run here; empty: it does, and has the general kernel
    Kernel general = {};                     // all of attention
    std::optional<Kernel> tiles = {};        // what tiles_take() takes
    std::optional<Kernel> few_by_unit = {};  // general with few rows' products by the unit
};

// Every name, best first.
std::vector<Isa> isas();

// Asks the system for what the set needs beyond the processor, once a process: AMX's state. To be called for the set that is chosen, since the
// process keeps that state. Empty: granted; else why not.
std::string claim(const Isa&);

// The kernel of the set that a plan of this problem uses.
Kernel kernel_for(const Isa&, const Attention&);

}  // namespace rocforge::cpu
#endif
