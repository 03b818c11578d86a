#include "elf.hpp"

#include "text/text.hpp"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

namespace rocforge {
namespace {

#if defined(__x86_64__)
constexpr Elf64_Half kMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr Elf64_Half kMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr Elf64_Half kMachine = EM_RISCV;
#elif defined(__powerpc64__)
constexpr Elf64_Half kMachine = EM_PPC64;
#else
#error "name this machine's e_machine here"
#endif
constexpr unsigned char kByteOrder = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;

struct Refused {
    std::string why;
};

// A file's bytes; every read is checked against its end.
class Image {
public:
    explicit Image(std::span<const std::byte> bytes) : bytes_(bytes) {}
    std::uint64_t bytes() const { return bytes_.size(); }

    void demand(std::uint64_t offset, std::uint64_t count, std::string_view what) const {
        if (offset > bytes_.size() || count > bytes_.size() - offset)
            throw Refused{
                fmt::format("is cut off or damaged: {} lies at bytes {}..{}, the file has {}", what, offset, offset + count, bytes_.size())};
    }
    template <class T> T read(std::uint64_t offset, std::string_view what) const {
        demand(offset, sizeof(T), what);
        T value;
        std::memcpy(&value, bytes_.data() + offset, sizeof(T));
        return value;
    }
    std::string string(std::uint64_t offset, std::uint64_t end, std::string_view what) const {
        demand(offset, 1, what);
        const auto* text = reinterpret_cast<const char*>(bytes_.data()) + offset;
        const std::uint64_t room = std::min<std::uint64_t>(end, bytes_.size()) - std::min<std::uint64_t>(offset, end);
        const std::size_t length = strnlen(text, room);
        if (length == room) throw Refused{fmt::format("is damaged: {} has no end", what)};
        return {text, length};
    }

private:
    std::span<const std::byte> bytes_;
};

// The dynamic section, with addresses turned into offsets in the file.
struct Dynamic {
    std::optional<std::uint64_t> symbols, strings, gnu_hash, sysv_hash;
    std::uint64_t strings_bytes = 0;
    std::vector<std::uint64_t> needed, search;  // offsets in the string table
};

Elf64_Ehdr check_header(const Image& image) {
    if (image.bytes() < EI_NIDENT) throw Refused{fmt::format("is no ELF file: it has {} bytes", image.bytes())};
    const auto header = [&] {
        const auto ident = image.read<std::array<unsigned char, EI_NIDENT>>(0, "the ELF identification");
        if (std::memcmp(ident.data(), ELFMAG, SELFMAG) != 0) throw Refused{"is no ELF file"};
        if (ident[EI_CLASS] != ELFCLASS64) throw Refused{"is a 32-bit ELF file, wanted 64-bit"};
        if (ident[EI_DATA] != kByteOrder) throw Refused{"has the other byte order"};
        return image.read<Elf64_Ehdr>(0, "the ELF header");
    }();
    if (header.e_machine != kMachine)
        throw Refused{fmt::format("is for another machine (ELF machine {}, this one is {})", header.e_machine, kMachine)};
    if (header.e_type != ET_DYN) throw Refused{fmt::format("is no shared library (ELF type {}, wanted {})", header.e_type, ET_DYN)};
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0) throw Refused{"has no program headers"};
    image.demand(header.e_phoff, std::uint64_t{header.e_phnum} * sizeof(Elf64_Phdr), "the program header table");
    if (header.e_shnum)  // they stand last, so that a file cut anywhere fails here
        image.demand(header.e_shoff, std::uint64_t{header.e_shnum} * header.e_shentsize, "the section header table");
    return header;
}

std::vector<Elf64_Phdr> read_segments(const Image& image, const Elf64_Ehdr& header) {
    std::vector<Elf64_Phdr> segments;
    for (std::uint64_t i = 0; i < header.e_phnum; ++i) {
        const auto segment = image.read<Elf64_Phdr>(header.e_phoff + i * sizeof(Elf64_Phdr), "a program header");
        if (segment.p_type == PT_LOAD || segment.p_type == PT_DYNAMIC) image.demand(segment.p_offset, segment.p_filesz, "a segment");
        if (segment.p_type == PT_LOAD && (segment.p_memsz < segment.p_filesz || segment.p_vaddr + segment.p_memsz < segment.p_vaddr))
            throw Refused{"is damaged: a segment is larger in the file than in memory, or wraps around"};
        if (segment.p_type == PT_INTERP) throw Refused{"is a program, not a shared library (it names an interpreter)"};
        segments.push_back(segment);
    }
    return segments;
}

std::uint64_t offset_of(const std::vector<Elf64_Phdr>& segments, std::uint64_t address, std::string_view what) {
    for (const Elf64_Phdr& s : segments)
        if (s.p_type == PT_LOAD && address >= s.p_vaddr && address - s.p_vaddr < s.p_filesz) return s.p_offset + (address - s.p_vaddr);
    throw Refused{fmt::format("is damaged: {} at address {:#x} is in no segment", what, address)};
}

Dynamic read_dynamic(const Image& image, const std::vector<Elf64_Phdr>& segments) {
    Dynamic out;
    bool found = false;
    for (const Elf64_Phdr& s : segments) {
        if (s.p_type != PT_DYNAMIC) continue;
        found = true;
        // dlopen reads it at its address, not at its offset.
        if (offset_of(segments, s.p_vaddr, "the dynamic section") != s.p_offset)
            throw Refused{"is damaged: its dynamic section's address and offset disagree"};
        for (std::uint64_t at = 0; at + sizeof(Elf64_Dyn) <= s.p_filesz; at += sizeof(Elf64_Dyn)) {
            const auto entry = image.read<Elf64_Dyn>(s.p_offset + at, "the dynamic section");
            const std::uint64_t value = entry.d_un.d_val;
            switch (entry.d_tag) {
                case DT_SYMTAB:
                    out.symbols = offset_of(segments, value, "the symbol table");
                    break;
                case DT_STRTAB:
                    out.strings = offset_of(segments, value, "the string table");
                    break;
                case DT_STRSZ:
                    out.strings_bytes = value;
                    break;
                case DT_GNU_HASH:
                    out.gnu_hash = offset_of(segments, value, "the hash table");
                    break;
                case DT_HASH:
                    out.sysv_hash = offset_of(segments, value, "the hash table");
                    break;
                case DT_NEEDED:
                    out.needed.push_back(value);
                    break;
                case DT_FILTER:
                case DT_AUXILIARY:
                case DT_AUDIT:
                case DT_DEPAUDIT:
                    throw Refused{
                        fmt::format("loads another library through dynamic tag {:#x}, which is looked up outside the library path", entry.d_tag)};
                case DT_RPATH:
                case DT_RUNPATH:
                    out.search.push_back(value);
                    break;
                default:
                    break;
            }
            if (entry.d_tag == DT_NULL) break;
        }
    }
    if (!found) throw Refused{"has no dynamic section"};
    if (!out.symbols || !out.strings) throw Refused{"has no dynamic symbol or string table"};
    image.demand(*out.strings, out.strings_bytes, "the string table");
    return out;
}

class Symbols {
public:
    Symbols(const Image& image, const Dynamic& dynamic) : image_(image), dynamic_(dynamic) {}

    bool defines(std::string_view name) const {
        if (dynamic_.gnu_hash) return in_gnu_hash(name);
        if (dynamic_.sysv_hash) return in_sysv_hash(name);
        throw Refused{"has no symbol hash table"};
    }

private:
    bool is_defined(std::uint64_t index, std::string_view name) const {
        const auto symbol = image_.read<Elf64_Sym>(*dynamic_.symbols + index * sizeof(Elf64_Sym), "a symbol");
        if (symbol.st_shndx == SHN_UNDEF || symbol.st_name >= dynamic_.strings_bytes) return false;
        return image_.string(*dynamic_.strings + symbol.st_name, *dynamic_.strings + dynamic_.strings_bytes, "a symbol's name") == name;
    }

    // Layout: bucket count, first hashed symbol, bloom words, bloom shift; bloom filter; buckets; one hash per symbol, lowest bit ends a chain.
    bool in_gnu_hash(std::string_view name) const {
        std::uint32_t hash = 5381;
        for (const char c : name) hash = hash * 33 + static_cast<unsigned char>(c);
        const std::uint64_t table = *dynamic_.gnu_hash;
        const auto word = [&](std::uint64_t at) { return image_.read<std::uint32_t>(at, "the hash table"); };
        const std::uint64_t buckets = word(table), first = word(table + 4), bloom_words = word(table + 8);
        if (buckets == 0) return false;
        const std::uint64_t bucket_table = table + 16 + bloom_words * 8, chains = bucket_table + buckets * 4;
        std::uint64_t index = word(bucket_table + hash % buckets * 4);
        if (index < first) return false;
        for (;; ++index) {
            const std::uint32_t chained = word(chains + (index - first) * 4);
            if ((chained | 1) == (hash | 1) && is_defined(index, name)) return true;
            if (chained & 1) return false;
        }
    }

    // Layout: bucket count, chain count; buckets; chains, 0 ends one.
    bool in_sysv_hash(std::string_view name) const {
        const auto word = [&](std::uint64_t at) { return image_.read<std::uint32_t>(at, "the hash table"); };
        const std::uint64_t count = word(*dynamic_.sysv_hash + 4);
        image_.demand(*dynamic_.symbols, count * sizeof(Elf64_Sym), "the symbol table");
        for (std::uint64_t index = 1; index < count; ++index)
            if (is_defined(index, name)) return true;
        return false;
    }

    const Image& image_;
    const Dynamic& dynamic_;
};

void check_search_path(const std::string& path) {
    for (const std::string& entry : split(path, ':')) {
        if (entry.empty()) throw Refused{fmt::format("has an empty entry in its RUNPATH '{}', which means the working directory", path)};
        const bool from_origin = entry == "$ORIGIN" || entry == "${ORIGIN}" || entry.starts_with("$ORIGIN/") || entry.starts_with("${ORIGIN}/");
        if (!entry.starts_with('/') && !from_origin)
            throw Refused{fmt::format("has RUNPATH entry '{}', which depends on the working directory; use an absolute or $ORIGIN-based one", entry)};
    }
}

ElfFacts check(const Image& image, std::string_view symbol) {
    const std::vector<Elf64_Phdr> segments = read_segments(image, check_header(image));
    const Dynamic dynamic = read_dynamic(image, segments);
    const std::uint64_t strings_end = *dynamic.strings + dynamic.strings_bytes;
    const auto text = [&](std::uint64_t at, std::string_view what) {
        if (at >= dynamic.strings_bytes) throw Refused{fmt::format("is damaged: {} lies outside the string table", what)};
        return image.string(*dynamic.strings + at, strings_end, what);
    };
    ElfFacts facts;
    for (const std::uint64_t at : dynamic.search) check_search_path(text(at, "RUNPATH"));
    for (const std::uint64_t at : dynamic.needed) {
        facts.needed.push_back(text(at, "a NEEDED name"));
        if (facts.needed.back().find('/') != std::string::npos)
            throw Refused{fmt::format("needs '{}', a name with a slash, which is looked up outside the library path; link it by its soname",
                                      facts.needed.back())};
    }
    if (!Symbols(image, dynamic).defines(symbol))
        throw Refused{fmt::format("does not export {}: no rocforge plugin of ABI major {}", symbol, RF_ABI_MAJOR)};
    return facts;
}

}  // namespace

Result<ElfFacts> check_elf(std::span<const std::byte> file, std::string_view symbol) {
    try {
        return check(Image(file), symbol);
    } catch (const Refused& refused) { return Error{RF_INCOMPATIBLE, refused.why}; }
}

Result<ElfFacts> check_elf_file(const std::filesystem::path& file, std::string_view symbol) {
    struct stat info {};
    // Judged before it is opened: opening a FIFO would wait for a writer.
    if (stat(file.c_str(), &info) != 0) return Error{RF_NOT_FOUND, fmt::format("cannot be read: {}", std::strerror(errno)), errno};
    if (!S_ISREG(info.st_mode)) return Error{RF_INCOMPATIBLE, "is no regular file"};
    const int fd = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &info) != 0) {
        const int number = errno;
        if (fd >= 0) close(fd);
        return Error{RF_NOT_FOUND, fmt::format("cannot be read: {}", std::strerror(number)), number};
    }
    const auto bytes = static_cast<std::size_t>(info.st_size);
    if (bytes == 0 || !S_ISREG(info.st_mode)) {
        close(fd);
        return Error{RF_INCOMPATIBLE, bytes == 0 ? "is empty" : "is no regular file"};
    }
    void* mapped = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (mapped == MAP_FAILED) return Error{RF_NO_MEMORY, fmt::format("cannot be mapped: {}", std::strerror(errno)), errno};
    Result<ElfFacts> facts = check_elf({static_cast<const std::byte*>(mapped), bytes}, symbol);
    munmap(mapped, bytes);
    return facts;
}

}  // namespace rocforge
