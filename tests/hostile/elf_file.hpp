// A shared library's bytes with names for the fields that the tests damage. Reads only sound files (it is given the build's own plugins) and trusts
// them.
#pragma once

#include <elf.h>

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace hostile {

class ElfFile {
public:
    explicit ElfFile(const std::filesystem::path& file);

    std::string bytes;

    Elf64_Ehdr& header() { return at<Elf64_Ehdr>(0); }
    Elf64_Phdr& segment(std::uint32_t type);
    // The first dynamic entry of that tag.
    Elf64_Dyn& dynamic(std::int64_t tag);
    // Where the bytes of a virtual address stand in the file.
    std::size_t offset_of(std::uint64_t address);
    // The string that a dynamic entry (DT_NEEDED, DT_RUNPATH) points to, and a new text in its place, no longer than the old.
    std::string dynamic_string(std::int64_t tag);
    void set_dynamic_string(std::int64_t tag, std::string_view text);
    // The symbol-table entry of a defined symbol, by a linear search.
    Elf64_Sym& symbol(std::string_view name);
    template <class T> T& at(std::size_t offset) { return *reinterpret_cast<T*>(bytes.data() + offset); }
};

}  // namespace hostile
