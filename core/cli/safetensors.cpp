#include "safetensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

namespace rocforge::safetensors {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian and elements are used as they lie in the file");

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;  // the format's own limit
constexpr std::size_t kMaxRank = 64;                    // NumPy's limit, so that a hostile shape stays small
constexpr std::size_t kShownCharacters = 80;

constexpr std::array<std::pair<std::string_view, std::uint64_t>, 15> kDtypes{{{"F64", 8},
                                                                              {"F32", 4},
                                                                              {"F16", 2},
                                                                              {"BF16", 2},
                                                                              {"F8_E4M3", 1},
                                                                              {"F8_E5M2", 1},
                                                                              {"I64", 8},
                                                                              {"I32", 4},
                                                                              {"I16", 2},
                                                                              {"I8", 1},
                                                                              {"U64", 8},
                                                                              {"U32", 4},
                                                                              {"U16", 2},
                                                                              {"U8", 1},
                                                                              {"BOOL", 1}}};

// Walks the JSON text and notes how far the parser has read, so that every message can name a byte of the file.
struct Cursor {
    using iterator_category = std::input_iterator_tag;
    using value_type = char;
    using difference_type = std::ptrdiff_t;
    using pointer = const char*;
    using reference = const char&;

    const char* at = nullptr;
    const char** furthest = nullptr;

    reference operator*() const { return *at; }
    Cursor& operator++() {
        *furthest = ++at;
        return *this;
    }
    Cursor operator++(int) {
        Cursor before = *this;
        ++*this;
        return before;
    }
    bool operator==(const Cursor& other) const { return at == other.at; }
    bool operator!=(const Cursor& other) const { return at != other.at; }
};

// Receives the parser's events. The format's nesting is fixed, so a state per level is enough, nothing is built but the entries, and text
// that nests deeper or puts another type somewhere ends at its first wrong byte.
class HeaderEvents {
public:
    using Json = nlohmann::json;

    HeaderEvents(const std::string& file, const char* start) : furthest(start), file_(file), start_(start) {}

    bool null() { return unexpected("null"); }
    bool boolean(bool) { return unexpected("a boolean"); }
    bool number_integer(Json::number_integer_t) { return unexpected("a negative number"); }
    bool number_float(Json::number_float_t, const std::string& text) { return unexpected("the number " + quoted_name(text)); }
    bool binary(Json::binary_t&) { return unexpected("binary data"); }
    bool number_unsigned(Json::number_unsigned_t value);
    bool string(std::string& value);
    bool start_object(std::size_t);
    bool key(std::string& name);
    bool end_object();
    bool start_array(std::size_t);
    bool end_array();
    template <class Exception> bool parse_error(std::size_t, const std::string&, const Exception& error);

    std::vector<Entry> entries;
    const char* furthest;

private:
    enum class Level { kStart, kTensors, kTensor, kShape, kOffsets, kMetadata, kDone };

    [[noreturn]] void fail(const std::string& what) const {
        const auto read = furthest - start_;
        const std::string tensor = name_.empty() ? "" : "tensor " + quoted_name(name_) + ": ";
        throw Error(Fault::kFormat,
                    fmt::format("{}: {}{} (byte {})", file_, tensor, what, kLengthBytes + static_cast<std::uint64_t>(read > 0 ? read - 1 : 0)));
    }
    bool unexpected(const std::string& what) const {
        static constexpr std::array<const char*, 7> kExpected{"an object of tensors",
                                                              "a tensor's object",
                                                              "dtype, shape and data_offsets",
                                                              "extents, whole numbers from 0",
                                                              "two offsets, whole numbers from 0",
                                                              "text",
                                                              "nothing more"};
        fail(fmt::format("found {}, expected {}", what, kExpected[static_cast<std::size_t>(level_)]));
    }
    void finish_tensor();

    const std::string& file_;
    const char* start_;
    Level level_ = Level::kStart;
    Entry entry_;
    std::string name_, field_;
    std::size_t offsets_ = 0;
    bool has_shape_ = false, has_offsets_ = false, has_metadata_ = false;
    std::unordered_set<std::string> names_;
};

bool HeaderEvents::number_unsigned(Json::number_unsigned_t value) {
    if (level_ == Level::kShape) {
        if (value > INT64_MAX) fail(fmt::format("extent {} is larger than {}", value, INT64_MAX));
        if (entry_.shape.size() == kMaxRank) fail(fmt::format("more than {} axes", kMaxRank));
        entry_.shape.push_back(static_cast<std::int64_t>(value));
        return true;
    }
    if (level_ != Level::kOffsets) return unexpected(fmt::format("the number {}", value));
    if (offsets_ == 2) fail("data_offsets holds more than begin and end");
    (offsets_++ == 0 ? entry_.begin : entry_.end) = value;
    return true;
}

bool HeaderEvents::string(std::string& value) {
    if (level_ == Level::kMetadata) return true;
    if (level_ != Level::kTensor || field_ != "dtype") return unexpected("the text " + quoted_name(value));
    if (value.empty()) fail("dtype is empty");
    entry_.dtype = value;
    return true;
}

bool HeaderEvents::start_object(std::size_t) {
    if (level_ == Level::kStart) {
        level_ = Level::kTensors;
    } else if (level_ == Level::kTensors) {
        level_ = field_ == "__metadata__" ? Level::kMetadata : Level::kTensor;
    } else {
        return unexpected("an object");
    }
    return true;
}

bool HeaderEvents::key(std::string& name) {
    if (level_ == Level::kMetadata) return true;
    if (level_ == Level::kTensor) {
        const bool twice = (name == "dtype" && !entry_.dtype.empty()) || (name == "shape" && has_shape_) || (name == "data_offsets" && has_offsets_);
        if (twice) fail(name + " stands twice");
        if (name != "dtype" && name != "shape" && name != "data_offsets")
            fail("unknown field " + quoted_name(name) + "; known are dtype, shape, data_offsets");
        field_ = name;
        return true;
    }
    field_ = name;
    if (name == "__metadata__") {
        if (std::exchange(has_metadata_, true)) fail("__metadata__ stands twice");
        return true;
    }
    entry_ = Entry{};
    entry_.name = name_ = name;
    has_shape_ = has_offsets_ = false;
    if (!names_.insert(name).second) fail("stands twice in the header");
    return true;
}

bool HeaderEvents::end_object() {
    if (level_ == Level::kTensor) finish_tensor();
    level_ = level_ == Level::kTensors ? Level::kDone : Level::kTensors;
    return true;
}

bool HeaderEvents::start_array(std::size_t) {
    if (level_ == Level::kTensor && field_ == "shape") {
        level_ = Level::kShape;
        has_shape_ = true;
    } else if (level_ == Level::kTensor && field_ == "data_offsets") {
        level_ = Level::kOffsets;
        has_offsets_ = true;
        offsets_ = 0;
    } else {
        return unexpected("an array");
    }
    return true;
}

bool HeaderEvents::end_array() {
    if (level_ == Level::kOffsets && offsets_ != 2) fail("data_offsets holds fewer than begin and end");
    level_ = Level::kTensor;
    return true;
}

template <class Exception> bool HeaderEvents::parse_error(std::size_t, const std::string&, const Exception& error) {
    const bool utf8 = std::string_view(error.what()).find("UTF-8") != std::string_view::npos;
    fail(utf8 ? "the header is not valid UTF-8" : "the header is not valid JSON");
}

void HeaderEvents::finish_tensor() {
    if (entry_.dtype.empty()) fail("has no dtype");
    if (!has_shape_) fail("has no shape");
    if (!has_offsets_) fail("has no data_offsets");
    entries.push_back(std::move(entry_));
    name_.clear();
}

[[noreturn]] void fail_tensor(const std::string& file, const Entry& entry, std::uint64_t data_start, const std::string& what) {
    throw Error(Fault::kFormat, fmt::format("{}: tensor {} (bytes {} to {} of the data, which starts at byte {}): {}", file, quoted_name(entry.name),
                                            entry.begin, entry.end, data_start, what));
}

// The length that dtype and shape ask for must be the length that the offsets give.
void check_length(const std::string& file, const Entry& entry, std::uint64_t data_start) {
    std::uint64_t elements = 1;
    for (const std::int64_t extent : entry.shape) {
        if (__builtin_mul_overflow(elements, static_cast<std::uint64_t>(extent), &elements) || elements > INT64_MAX) {
            fail_tensor(file, entry, data_start, fmt::format("shape [{}] has more than {} elements", fmt::join(entry.shape, ", "), INT64_MAX));
        }
    }
    const std::optional<std::uint64_t> each = element_bytes(entry.dtype);
    if (!each) return;
    std::uint64_t needed = 0;
    if (__builtin_mul_overflow(elements, *each, &needed) || needed != entry.bytes()) {
        fail_tensor(file, entry, data_start,
                    fmt::format("shape [{}] of {} needs {} elements of {} bytes, the offsets hold {} bytes", fmt::join(entry.shape, ", "),
                                entry.dtype, elements, *each, entry.bytes()));
    }
}

// Sorts the tensors by place and demands that they tile the data section.
void check_tiling(const std::string& file, Header& header, std::uint64_t data_bytes) {
    for (const Entry& entry : header.entries) {
        if (entry.begin > entry.end) fail_tensor(file, entry, header.data_start, "ends before it begins");
        if (entry.end > data_bytes) fail_tensor(file, entry, header.data_start, fmt::format("ends past the data, which has {} bytes", data_bytes));
        check_length(file, entry, header.data_start);
    }
    std::sort(header.entries.begin(), header.entries.end(),
              [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
    std::uint64_t covered = 0;
    const Entry* before = nullptr;
    for (const Entry& entry : header.entries) {
        if (entry.begin < covered) fail_tensor(file, entry, header.data_start, "overlaps tensor " + quoted_name(before->name));
        if (entry.begin > covered)
            fail_tensor(file, entry, header.data_start, fmt::format("leaves a hole of {} bytes before it", entry.begin - covered));
        covered = entry.end;
        before = &entry;
    }
    if (covered != data_bytes) {
        throw Error(Fault::kFormat, fmt::format("{}: the tensors end at byte {}, the file at byte {}: {} bytes belong to no tensor", file,
                                                header.data_start + covered, header.data_start + data_bytes, data_bytes - covered));
    }
}

// The header's length, checked against the file's: nothing larger than the file is ever asked of memory.
std::uint64_t header_length(std::span<const std::byte, kLengthBytes> start, std::uint64_t file_bytes, const std::string& file) {
    std::uint64_t length = 0;
    std::memcpy(&length, start.data(), kLengthBytes);
    if (length > file_bytes - kLengthBytes) {
        throw Error(Fault::kFormat,
                    fmt::format("{}: the header claims {} bytes (byte 0), the file has {} after its length: truncated, or not a safetensors file",
                                file, length, file_bytes - kLengthBytes));
    }
    if (length > kMaxHeaderBytes)
        throw Error(Fault::kFormat, fmt::format("{}: the header claims {} bytes (byte 0), the limit is {}", file, length, kMaxHeaderBytes));
    return length;
}

void check_file_bytes(std::uint64_t file_bytes, const std::string& file) {
    if (file_bytes >= kLengthBytes) return;
    throw Error(Fault::kFormat,
                fmt::format("{}: {} bytes are too few for a safetensors file, whose header's length alone takes {}", file, file_bytes, kLengthBytes));
}

Header parse_header(std::span<const char> text, std::uint64_t file_bytes, const std::string& file) {
    if (text.empty() || text.front() != '{')
        throw Error(Fault::kFormat, fmt::format("{}: the header does not start with '{{' (byte {})", file, kLengthBytes));
    HeaderEvents events(file, text.data());
    nlohmann::json::sax_parse(Cursor{text.data(), &events.furthest}, Cursor{text.data() + text.size(), &events.furthest}, &events);
    Header header{std::move(events.entries), kLengthBytes + text.size()};
    check_tiling(file, header, file_bytes - header.data_start);
    return header;
}

[[noreturn]] void fail_file(const std::string& file, const std::string& what, int number) {
    throw Error(Fault::kFile, fmt::format("cannot {} {}: {}", what, file, std::strerror(number)));
}

}  // namespace

std::int64_t Entry::elements() const noexcept {
    std::int64_t product = 1;  // cannot overflow: checked when the header was parsed
    for (const std::int64_t extent : shape) product *= extent;
    return product;
}

const Entry* Header::find(std::string_view name) const noexcept {
    const auto found = std::find_if(entries.begin(), entries.end(), [&](const Entry& entry) { return entry.name == name; });
    return found == entries.end() ? nullptr : &*found;
}

std::optional<std::uint64_t> element_bytes(std::string_view dtype) noexcept {
    for (const auto& [name, bytes] : kDtypes) {
        if (name == dtype) return bytes;
    }
    return std::nullopt;
}

std::string quoted_name(std::string_view name) {
    using Json = nlohmann::json;
    const bool cut = name.size() > kShownCharacters;
    return Json(std::string(name.substr(0, kShownCharacters)) + (cut ? "..." : "")).dump(-1, ' ', true, Json::error_handler_t::replace);
}

Header parse(std::span<const std::byte> whole_file, const std::string& file) {
    check_file_bytes(whole_file.size(), file);
    const std::uint64_t length = header_length(whole_file.first<kLengthBytes>(), whole_file.size(), file);
    const std::span<const std::byte> text = whole_file.subspan(kLengthBytes, length);
    return parse_header({reinterpret_cast<const char*>(text.data()), text.size()}, whole_file.size(), file);
}

Reader::Reader(const std::filesystem::path& path) : file_(path.string()) {
    descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // O_NONBLOCK: a FIFO must not stop the program before it is refused
    if (descriptor_ < 0) fail_file(file_, "open", errno);
    try {
        struct stat status {};
        if (::fstat(descriptor_, &status) != 0) fail_file(file_, "examine", errno);
        if (!S_ISREG(status.st_mode)) throw Error(Fault::kFile, "cannot read " + file_ + ": it is no regular file");
        const auto file_bytes = static_cast<std::uint64_t>(status.st_size);
        check_file_bytes(file_bytes, file_);
        std::array<std::byte, kLengthBytes> start{};
        read_at(0, start);
        std::vector<char> text(header_length(start, file_bytes, file_));
        read_at(kLengthBytes, std::as_writable_bytes(std::span(text)));
        header_ = parse_header(text, file_bytes, file_);
    } catch (...) {
        ::close(descriptor_);
        throw;
    }
}

Reader::~Reader() { ::close(descriptor_); }

void Reader::read(const Entry& entry, std::span<std::byte> into) const { read_at(header_.data_start + entry.begin, into.first(entry.bytes())); }

void Reader::read_at(std::uint64_t offset, std::span<std::byte> into) const {
    while (!into.empty()) {
        const ssize_t got = ::pread(descriptor_, into.data(), into.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) fail_file(file_, "read", errno);
        if (got == 0) throw Error(Fault::kFile, fmt::format("cannot read {}: it ends at byte {}, it was longer when it was opened", file_, offset));
        offset += static_cast<std::uint64_t>(got);
        into = into.subspan(static_cast<std::size_t>(got));
    }
}

std::string encode_header(std::span<const Output> tensors) {
    nlohmann::ordered_json header = nlohmann::ordered_json::object();
    std::uint64_t begin = 0;
    for (const Output& tensor : tensors) {
        const std::uint64_t end = begin + tensor.data.size();
        header[tensor.name] = {{"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, end}}};
        begin = end;
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const std::uint64_t length = text.size();
    std::string encoded(kLengthBytes, '\0');
    std::memcpy(encoded.data(), &length, kLengthBytes);
    return encoded + text;
}

}  // namespace rocforge::safetensors
