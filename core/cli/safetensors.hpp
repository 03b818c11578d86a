// Reads and writes safetensors: an 8-byte little-endian header length, a JSON header, then the tensors' bytes back to back.
// Trusts nothing in a file: every length, shape and offset is checked before memory is asked for or a byte of a tensor is read, and tensors
// must cover the data exactly, without overlaps or holes. Converts nothing and knows nothing of attention.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace rocforge::safetensors {

// kFormat: the file's content is wrong. kFile: the file cannot be opened or read.
enum class Fault { kFormat, kFile };

class Error : public std::runtime_error {
public:
    Error(Fault fault, const std::string& message) : std::runtime_error(message), fault_(fault) {}
    Fault fault() const noexcept { return fault_; }

private:
    Fault fault_;
};

// One tensor's header: C-contiguous elements in bytes [begin, end) of the data section.
struct Entry {
    std::string name;
    std::string dtype;  // as the file spells it: "BF16"
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0, end = 0;

    std::uint64_t bytes() const noexcept { return end - begin; }
    std::int64_t elements() const noexcept;
};

struct Header {
    std::vector<Entry> entries;    // in the order of their bytes
    std::uint64_t data_start = 0;  // offset in the file of the data section

    const Entry* find(std::string_view name) const noexcept;
};

// Bytes of one element; nothing for a dtype that this program does not know. A tensor of such a dtype may lie in a file beside those that are
// needed: its offsets are checked, its length against its shape cannot be.
std::optional<std::uint64_t> element_bytes(std::string_view dtype) noexcept;

// The name in quotes for a message: control characters escaped, a long one cut.
std::string quoted_name(std::string_view name);

// Parses the header of a whole file held in memory. `file` only names it in messages. Throws Error.
Header parse(std::span<const std::byte> whole_file, const std::string& file);

// An open file. Bytes are read, not mapped: a file that shrinks meanwhile is an error and not a SIGBUS.
class Reader {
public:
    explicit Reader(const std::filesystem::path& path);
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    const Header& header() const noexcept { return header_; }
    const std::string& file() const noexcept { return file_; }
    // Fills `into`, which holds entry.bytes() bytes.
    void read(const Entry& entry, std::span<std::byte> into) const;

private:
    void read_at(std::uint64_t offset, std::span<std::byte> into) const;

    std::string file_;
    int descriptor_ = -1;
    Header header_;
};

// A tensor to be written. `data` holds its elements, C-contiguous.
struct Output {
    std::string name;
    std::string dtype;
    std::vector<std::int64_t> shape;
    std::span<const std::byte> data;
};

// What precedes the tensors' bytes, which follow in the order given. Padded with spaces so that they start at a multiple of 8.
std::string encode_header(std::span<const Output> tensors);

}  // namespace rocforge::safetensors
