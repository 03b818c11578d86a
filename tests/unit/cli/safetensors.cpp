// The parser itself, on bytes in memory: what it accepts, and the words with which it refuses.
#include "safetensors.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "scratch.hpp"

namespace st = rocforge::safetensors;
using scratch::file_of;

namespace {

st::Header parse(const std::string& bytes) { return st::parse(std::as_bytes(std::span(bytes)), "in.safetensors"); }

// The message of the refusal, or "" where there is none.
std::string refusal(const std::string& bytes) {
    try {
        parse(bytes);
        return "";
    } catch (const st::Error& error) {
        CHECK(error.fault() == st::Fault::kFormat);
        return error.what();
    }
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

struct Refused {
    const char* name;
    std::string bytes;
    const char* words;
};

const std::vector<Refused>& refused_rows() {
    static const std::vector<Refused> rows{
        {"an unknown field", file_of(R"({"q":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"layout":"x"}})"), "unknown field \"layout\""},
        {"a field that stands twice", file_of(R"({"q":{"dtype":"U8","dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), "dtype stands twice"},
        {"metadata that stands twice", file_of(R"({"__metadata__":{},"__metadata__":{}})"), "__metadata__ stands twice"},
        {"metadata that is no text", file_of(R"({"__metadata__":{"a":1}})"), "expected text"},
        {"metadata that nests", file_of(R"({"__metadata__":{"a":{}}})"), "expected text"},
        {"an empty dtype", file_of(R"({"q":{"dtype":"","shape":[0],"data_offsets":[0,0]}})"), "dtype is empty"},
        {"an offset with an exponent", file_of(R"({"q":{"dtype":"U8","shape":[0],"data_offsets":[0,0e3]}})"), "whole numbers"},
        {"a rank of 65",
         file_of(R"({"q":{"dtype":"U8","data_offsets":[0,0],"shape":[)" +
                 [] {
                     std::string ones = "1";
                     for (int i = 1; i < 65; ++i) ones += ",1";
                     return ones;
                 }() +
                 "]}}"),
         "more than 64 axes"},
        {"a hole before the first tensor", file_of(R"({"q":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})", "ab"), "hole of 1 bytes"},
        {"two tensors on the same bytes",
         file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x"),
         "overlaps tensor"},
        {"a name spelt twice, once escaped",
         file_of(R"({"q":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"\u0071":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})"), "twice"},
        {"bytes after the header without tensors", file_of("{}", "x"), "belong to no tensor"},
    };
    return rows;
}

}  // namespace

TEST_CASE("a sound header gives names, dtypes, shapes and places in the order of their bytes") {
    const st::Header header = parse(file_of(
        R"({"__metadata__":{"format":"pt"},"b":{"dtype":"I32","shape":[],"data_offsets":[6,10]},"a":{"dtype":"BF16","shape":[1,3],"data_offsets":[0,6]}}   )",
        "0123456789"));
    REQUIRE(header.entries.size() == 2);
    CHECK(header.entries[0].name == "a");
    CHECK(header.entries[0].shape == std::vector<std::int64_t>{1, 3});
    CHECK(header.entries[0].elements() == 3);
    CHECK(header.entries[1].elements() == 1);
    CHECK(header.entries[1].bytes() == 4);
    CHECK(header.find("b") == &header.entries[1]);
    CHECK(header.find("c") == nullptr);
}

TEST_CASE("a tensor without elements takes no bytes, wherever it stands") {
    CHECK(refusal(file_of(R"({"z":{"dtype":"F32","shape":[0,7],"data_offsets":[4,4]},"q":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                          "abcd")) == "");
}

TEST_CASE("a dtype that nobody here knows is no fault of a file") {
    CHECK(refusal(file_of(R"({"x":{"dtype":"F6_E3M2","shape":[4],"data_offsets":[0,3]}})", "abc")) == "");
}

TEST_CASE("a header that is wrong is refused in words that name the file") {
    for (const Refused& row : refused_rows()) {
        CAPTURE(row.name);
        const std::string said = refusal(row.bytes);
        CHECK_MESSAGE(contains(said, row.words), said);
        CHECK_MESSAGE(said.starts_with("in.safetensors: "), said);
    }
}

TEST_CASE("a message names the byte where the header goes wrong") {
    const std::string header = R"({"q":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})";
    const std::size_t wrong = 8 + header.find(']');  // a number ends where the next character is read
    CHECK(contains(refusal(file_of(header)), "(byte " + std::to_string(wrong) + ")"));
}

TEST_CASE("names in messages cannot drive a terminal and stay short") {
    CHECK(st::quoted_name("a\x1b[31m") == R"("a\u001b[31m")");
    CHECK(st::quoted_name(std::string(5000, 'x')).size() < 100);
    CHECK(st::quoted_name("\xff") == R"("\ufffd")");
}

TEST_CASE("what the writer encodes the parser reads back") {
    const std::string data = "abcdefgh";
    const std::span<const std::byte> bytes = std::as_bytes(std::span(data));
    const std::vector<st::Output> tensors{{"out", "F32", {1, 1}, bytes.first(4)}, {"lse", "F16", {2}, bytes.last(4)}};
    const std::string head = st::encode_header(tensors);
    CHECK(head.size() % 8 == 0);
    const st::Header header = parse(head + data);
    REQUIRE(header.find("lse") != nullptr);
    CHECK(header.find("lse")->begin == 4);
    CHECK(header.data_start == head.size());
}

TEST_CASE("a reader reads a tensor's bytes, and a file that shrank is an error and no crash") {
    const scratch::Folder folder;
    const auto path = folder / "in.safetensors";
    const std::string whole = scratch::Tensors().add<float>("q", "F32", "2", {1.5f, -2.0f}).file();
    scratch::write(path, whole);
    const st::Reader reader(path);
    std::vector<float> values(2);
    reader.read(*reader.header().find("q"), std::as_writable_bytes(std::span(values)));
    CHECK(values == std::vector<float>{1.5f, -2.0f});
    std::filesystem::resize_file(path, whole.size() - 1);
    try {
        reader.read(*reader.header().find("q"), std::as_writable_bytes(std::span(values)));
        FAIL("a read past the end of the file succeeded");
    } catch (const st::Error& error) { CHECK(error.fault() == st::Fault::kFile); }
}
