#include "elf_file.hpp"

#include "world.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace hostile {

ElfFile::ElfFile(const std::filesystem::path& file) : bytes(read_file(file)) {}

Elf64_Phdr& ElfFile::segment(std::uint32_t type) {
    for (std::size_t i = 0; i < header().e_phnum; ++i) {
        auto& found = at<Elf64_Phdr>(header().e_phoff + i * sizeof(Elf64_Phdr));
        if (found.p_type == type) return found;
    }
    throw std::runtime_error("no such segment");
}

Elf64_Dyn& ElfFile::dynamic(std::int64_t tag) {
    const Elf64_Phdr section = segment(PT_DYNAMIC);
    for (std::size_t offset = section.p_offset; offset < section.p_offset + section.p_filesz; offset += sizeof(Elf64_Dyn))
        if (at<Elf64_Dyn>(offset).d_tag == tag) return at<Elf64_Dyn>(offset);
    throw std::runtime_error("no dynamic entry " + std::to_string(tag));
}

std::size_t ElfFile::offset_of(std::uint64_t address) {
    for (std::size_t i = 0; i < header().e_phnum; ++i) {
        const auto& load = at<Elf64_Phdr>(header().e_phoff + i * sizeof(Elf64_Phdr));
        if (load.p_type == PT_LOAD && address >= load.p_vaddr && address - load.p_vaddr < load.p_filesz)
            return load.p_offset + (address - load.p_vaddr);
    }
    throw std::runtime_error("address in no segment");
}

std::string ElfFile::dynamic_string(std::int64_t tag) { return bytes.data() + offset_of(dynamic(DT_STRTAB).d_un.d_ptr) + dynamic(tag).d_un.d_val; }

void ElfFile::set_dynamic_string(std::int64_t tag, std::string_view text) {
    const std::string old = dynamic_string(tag);
    if (text.size() > old.size()) throw std::runtime_error("'" + old + "' is too short a place for '" + std::string(text) + "'");
    char* place = bytes.data() + offset_of(dynamic(DT_STRTAB).d_un.d_ptr) + dynamic(tag).d_un.d_val;
    std::memset(place, 0, old.size());
    std::memcpy(place, text.data(), text.size());
}

Elf64_Sym& ElfFile::symbol(std::string_view name) {
    const std::size_t symbols = offset_of(dynamic(DT_SYMTAB).d_un.d_ptr), strings = offset_of(dynamic(DT_STRTAB).d_un.d_ptr);
    // Linkers put the string table right behind the symbols.
    for (std::size_t offset = symbols; offset < strings; offset += sizeof(Elf64_Sym)) {
        auto& found = at<Elf64_Sym>(offset);
        if (found.st_shndx != SHN_UNDEF && name == bytes.data() + strings + found.st_name) return found;
    }
    throw std::runtime_error("no symbol " + std::string(name));
}

}  // namespace hostile
