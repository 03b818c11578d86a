// Is this file a shared library that dlopen can take without harm? Reads bytes, executes nothing. dlopen itself trusts its input: a library that was
// copied half way kills the process with SIGBUS, and a RUNPATH of "." lets the working directory choose what is loaded.
#pragma once

#include "result.hpp"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace rocforge {

// What a good file needs, for messages.
struct ElfFacts {
    std::vector<std::string> needed;  // DT_NEEDED, as written
};

// RF_INCOMPATIBLE with the reason unless `file` is ELF64 for this machine, ET_DYN, with every segment, the dynamic section, symbol and string
// table inside the file, `symbol` defined, no RUNPATH or RPATH entry that is empty or neither absolute nor $ORIGIN-based, no NEEDED name with a
// slash.
Result<ElfFacts> check_elf(std::span<const std::byte> file, std::string_view symbol);
// The same for a regular file; RF_NOT_FOUND where it cannot be read.
Result<ElfFacts> check_elf_file(const std::filesystem::path& file, std::string_view symbol);

}  // namespace rocforge
