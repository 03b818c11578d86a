// Bad input through the program: one clear message, the stated exit status, and no output or temporary file left in the output's folder.
#include "world.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <filesystem>

using namespace hostile;
namespace fs = std::filesystem;

namespace {

std::string little_endian(std::uint64_t value) {
    std::string bytes(8, '\0');
    std::memcpy(bytes.data(), &value, 8);
    return bytes;
}

// A whole file: the header's length, the header, the data.
std::string file_of(const std::string& header, const std::string& data = "") { return little_endian(header.size()) + header + data; }
std::string zeros(std::size_t bytes) { return std::string(bytes, '\0'); }

// Tensors one behind the other, as a writer lays them out. Elements are zero bytes unless given.
class Tensors {
public:
    Tensors& add(const char* name, const char* dtype, const char* shape, std::size_t bytes, const std::string& data = {}) {
        header_ += (header_.empty() ? "" : ",") + entry(name, dtype, shape, data_.size(), data_.size() + bytes);
        data_ += data.empty() ? zeros(bytes) : data;
        return *this;
    }
    std::string file() const { return file_of("{" + header_ + "}", data_); }
    static std::string entry(const std::string& name, const std::string& dtype, const std::string& shape, std::uint64_t begin, std::uint64_t end) {
        return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":[" + shape + "],\"data_offsets\":[" + std::to_string(begin) + "," +
               std::to_string(end) + "]}";
    }

private:
    std::string header_, data_;
};

constexpr const char* kShape = "1,2,4,8";
constexpr std::size_t kBytes = 1 * 2 * 4 * 8 * 4;

// A sound q, k and v, to which the rows add what is wrong.
Tensors sound() { return Tensors().add("q", "F32", kShape, kBytes).add("k", "F32", kShape, kBytes).add("v", "F32", kShape, kBytes); }
Tensors with_shapes(const char* q, std::size_t q_bytes, const char* k, std::size_t k_bytes, const char* v, std::size_t v_bytes) {
    return Tensors().add("q", "F32", q, q_bytes).add("k", "F32", k, k_bytes).add("v", "F32", v, v_bytes);
}

std::string int32s(std::initializer_list<std::int32_t> values) {
    std::string bytes(values.size() * 4, '\0');
    std::memcpy(bytes.data(), values.begin(), bytes.size());
    return bytes;
}

// One tensor "q" whose header entry is wrong.
std::string one(const std::string& entry, std::size_t data_bytes = kBytes) { return file_of("{" + entry + "}", zeros(data_bytes)); }

struct Row {
    const char* name;
    std::string file;
    const char* words;
};

// Every row ends with exit status 2: bad input.
std::vector<Row> container_rows() {
    const std::string whole = sound().file();
    const auto q = [](std::uint64_t begin, std::uint64_t end) { return Tensors::entry("q", "F32", kShape, begin, end); };
    const auto k = [](std::uint64_t begin, std::uint64_t end) { return Tensors::entry("k", "F32", kShape, begin, end); };
    return {
        {"an empty file", "", "too few"},
        {"seven bytes", zeros(7), "too few"},
        {"a header length of 2^63", little_endian(1ull << 63) + "{}", "header claims 9223372036854775808"},
        {"a header length of 2^64 - 1", little_endian(UINT64_MAX) + "{}", "header claims 18446744073709551615"},
        {"a header length of 2^64 - 8", little_endian(UINT64_MAX - 7) + "{}", "header claims"},
        {"a header one byte longer than the file", little_endian(3) + "{}", "header claims 3"},
        {"a header length of 0", little_endian(0), "header"},
        {"a file cut off in its header", whole.substr(0, 40), "header claims"},
        {"a file cut off in its data", whole.substr(0, whole.size() - 1), "ends past the data"},
        {"a header that is no JSON", file_of("{\"q\":}"), "not valid JSON"},
        {"a header that is an array", file_of("[1, 2, 3]"), "does not start with '{'"},
        {"a header that stops in the middle", file_of("{\"q\":{\"dtype\":\"F32\""), "not valid JSON"},
        {"text behind the header's object", file_of("{} {}"), "not valid JSON"},
        {"a header that is not UTF-8", file_of("{\"\xff\xfe\":{}}"), "UTF-8"},
        {"a header nested a thousand deep", file_of("{\"q\":" + std::string(1000, '[') + std::string(1000, ']') + "}"), "expected"},
        {"overlapping tensors", file_of("{" + q(0, kBytes) + "," + k(kBytes - 4, 2 * kBytes - 4) + "}", zeros(2 * kBytes - 4)), "overlaps"},
        {"a hole between tensors", file_of("{" + q(0, kBytes) + "," + k(kBytes + 4, 2 * kBytes + 4) + "}", zeros(2 * kBytes + 4)), "hole"},
        {"bytes that belong to no tensor", whole + "x", "belong to no tensor"},
        {"offsets in the wrong order", one(q(kBytes, 0)), "ends before it begins"},
        {"offsets past 2^64", one("\"q\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,18446744073709551620]}"), "q"},
        {"an offset at the end of all numbers", one(q(UINT64_MAX - 3, UINT64_MAX)), "ends past the data"},
        {"an offset that is negative", one("\"q\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}"), "negative"},
        {"an offset that is a fraction", one("\"q\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4.5]}"), "4.5"},
        {"three offsets", one("\"q\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}"), "more than begin and end"},
        {"one offset", one("\"q\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}"), "fewer than begin and end"},
        {"a shape of more bytes than the offsets hold", one(Tensors::entry("q", "F32", "1,2,4,9", 0, kBytes)), "the offsets hold"},
        {"a shape whose product overflows", one(Tensors::entry("q", "F32", "4294967296,4294967296,4294967296", 0, kBytes)), "has more than"},
        {"a shape whose bytes overflow", one(Tensors::entry("q", "F32", "4611686018427387904", 0, kBytes)), "4611686018427387904"},
        {"a negative extent", one(Tensors::entry("q", "F32", "-1,2,4,8", 0, kBytes)), "negative"},
        {"an extent past 2^63", one(Tensors::entry("q", "F32", "9223372036854775808", 0, kBytes)), "larger than"},
        {"a name that stands twice", file_of("{" + q(0, kBytes) + "," + q(kBytes, 2 * kBytes) + "}", zeros(2 * kBytes)), "twice"},
        {"a tensor without a dtype", one("\"q\":{\"shape\":[1],\"data_offsets\":[0,4]}", 4), "has no dtype"},
        {"a tensor without a shape", one("\"q\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}", 4), "has no shape"},
        {"a tensor without offsets", one("\"q\":{\"dtype\":\"F32\",\"shape\":[1]}", 4), "has no data_offsets"},
        {"a tensor that is a number", one("\"q\":7", 0), "the number 7"},
    };
}

std::vector<Row> attention_rows() {
    constexpr std::size_t b = kBytes;
    return {
        {"no k", Tensors().add("q", "F32", kShape, b).add("v", "F32", kShape, b).file(), "missing tensor k"},
        {"no tensors at all", file_of("{}"), "missing tensor q"},
        {"q of rank 3", with_shapes("2,4,8", b, kShape, b, kShape, b).file(), "rank"},
        {"head_q no multiple of head_kv", with_shapes("1,3,4,8", 384, kShape, b, kShape, b).file(), "no multiple"},
        {"k with another batch", with_shapes(kShape, b, "2,2,4,8", 512, "2,2,4,8", 512).file(), "disagree in batch"},
        {"v with another length", with_shapes(kShape, b, kShape, b, "1,2,5,8", 320).file(), "disagree in length"},
        {"v with other heads", with_shapes(kShape, b, kShape, b, "1,1,4,8", 128).file(), "disagree in heads"},
        {"k with another dim", with_shapes(kShape, b, "1,2,4,4", 128, kShape, b).file(), "disagree in dim"},
        {"a dim of 0", with_shapes("1,2,4,0", 0, "1,2,4,0", 0, kShape, b).file(), "dim"},
        {"a dim_v of 0", with_shapes(kShape, b, kShape, b, "1,2,4,0", 0).file(), "dim"},
        {"no query heads", with_shapes("1,0,4,8", 0, kShape, b, kShape, b).file(), "heads"},
        {"no key heads", with_shapes(kShape, b, "1,0,4,8", 0, "1,0,4,8", 0).file(), "heads"},
        {"integers in q", Tensors().add("q", "I32", kShape, b).add("k", "F32", kShape, b).add("v", "F32", kShape, b).file(), "I32"},
        {"an unknown dtype in q", Tensors().add("q", "F99", kShape, b).add("k", "F32", kShape, b).add("v", "F32", kShape, b).file(), "F99"},
        {"a mask that does not broadcast", sound().add("mask", "BOOL", "1,1,4,3", 12).file(), "broadcast"},
        {"a mask of rank 5", sound().add("mask", "BOOL", "1,1,1,4,4", 16).file(), "rank 5"},
        {"a mask of integers", sound().add("mask", "I32", "4,4", 64).file(), "mask"},
        {"kv_lens of another batch", sound().add("kv_lens", "I32", "2", 8, int32s({1, 1})).file(), "batch"},
        {"kv_lens past the capacity", sound().add("kv_lens", "I32", "1", 4, int32s({5})).file(), "[0, 4]"},
        {"negative kv_lens", sound().add("kv_lens", "I32", "1", 4, int32s({-1})).file(), "[0, 4]"},
        {"kv_lens of floats", sound().add("kv_lens", "F32", "1", 4).file(), "I32"},
        {"cu_seqlens_q that does not begin at 0", sound().add("cu_seqlens_q", "I32", "2", 8, int32s({1, 4})).file(), "must be 0"},
        {"cu_seqlens_q that descends",
         sound().add("cu_seqlens_q", "I32", "3", 12, int32s({0, 4, 2})).add("cu_seqlens_kv", "I32", "3", 12, int32s({0, 2, 4})).file(), "ascend"},
        {"cu_seqlens_q past the tokens", sound().add("cu_seqlens_q", "I32", "2", 8, int32s({0, 5})).file(), "past the 4 tokens"},
        {"an empty cu_seqlens_q", sound().add("cu_seqlens_q", "I32", "0", 0).file(), "empty"},
        {"a page that does not exist", sound().add("block_table", "I32", "1,1", 4, int32s({1})).file(), "block_table[0, 0] is 1"},
        {"a negative page", sound().add("block_table", "I32", "1,1", 4, int32s({-1})).file(), "block_table[0, 0] is -1"},
        {"both kv_lens and cu_seqlens_kv",
         sound().add("kv_lens", "I32", "1", 4, int32s({4})).add("cu_seqlens_kv", "I32", "2", 8, int32s({0, 4})).file(), "keep one"},
        {"slopes for other heads", sound().add("alibi_slopes", "F32", "3", 12).file(), "alibi_slopes"},
        {"sinks of integers", sound().add("sink", "I32", "2", 8).file(), "sink"},
    };
}

// A folder with the good plugin, one for the input and one, empty, for the output.
struct Bench {
    Folder plugins, input, output;
    fs::path in = input / "in.safetensors", out = output / "out.safetensors";

    explicit Bench(const std::string& content = sound().file()) {
        plugins.add_plugin("good");
        plugins.add_plugin("at_run_time");
        write_file(in, content);
    }
    Outcome run_with(std::vector<std::string> more, const Limits& limits = {}) const {
        std::vector<std::string> arguments{"run", in.string(), out.string()};
        arguments.insert(arguments.end(), more.begin(), more.end());
        return run(arguments, {{"ROCFORGE_PLUGIN_PATH", plugins.path().string()}}, limits);
    }
};

// One message for people: it begins with the program's name and is no dump of an exception or a sanitizer.
void check_refused(const Outcome& outcome, int status, std::string_view words, const Folder& output) {
    CHECK_MESSAGE(outcome.status == status, outcome.err);
    CHECK_MESSAGE(contains(outcome.err, words), "said: " << outcome.err);
    CHECK_MESSAGE(outcome.err.starts_with("rocforge"), "said: " << outcome.err);
    CHECK_FALSE(contains(outcome.err, "terminate called"));
    CHECK(outcome.out.empty());
    CHECK(output.names().empty());
}

}  // namespace

TEST_SUITE("safetensors") {
    TEST_CASE("a sound file runs, so that what the rows change is what is refused") {
        const Bench bench;
        const Outcome outcome = bench.run_with({"--backend", "good"});
        CHECK_MESSAGE(outcome.status == 0, outcome.err);
        CHECK(bench.output.names() == "out.safetensors");
    }

    TEST_CASE("a file that is no safetensors file is refused with status 2 and leaves nothing behind") {
        for (const Row& row : container_rows()) {
            SUBCASE(row.name) {
                const Bench bench(row.file);
                check_refused(bench.run_with({"--backend", "good"}), 2, row.words, bench.output);
            }
        }
    }

    TEST_CASE("tensors that are no attention problem are refused with status 2 and leave nothing behind") {
        for (const Row& row : attention_rows()) {
            SUBCASE(row.name) {
                const Bench bench(row.file);
                check_refused(bench.run_with({"--backend", "good"}), 2, row.words, bench.output);
            }
        }
    }

    TEST_CASE("a file cut off after any of its bytes is refused with status 2") {
        const std::string whole = Tensors().add("q", "F32", "1,1,1,1", 4).add("k", "F32", "1,1,1,1", 4).add("v", "F32", "1,1,1,1", 4).file();
        const Bench bench;
        for (std::size_t length = 0; length < whole.size(); length += 13) {
            CAPTURE(length);
            write_file(bench.in, std::string_view(whole).substr(0, length));
            check_refused(bench.run_with({}), 2, bench.in.string(), bench.output);
        }
    }

    TEST_CASE("bad usage is refused with status 2 and the way out") {
        struct Usage {
            const char* name;
            std::vector<std::string> flags;
            const char* words;
        };
        const std::vector<Usage> rows = {
            {"an unknown flag", {"--casual", "none"}, "--casual"},
            {"an unknown backend", {"--backend", "goood"}, "did you mean 'good'"},
            {"a backend that nothing resembles", {"--backend", "zzzzzzzzzz"}, "zzzzzzzzzz"},
            {"an unknown causal rule", {"--causal", "upside-down"}, "upside-down"},
            {"an unknown layout", {"--layout", "sbhd"}, "sbhd"},
            {"an unknown dtype", {"--dtype", "f8"}, "f8"},
            {"a scale that is no number", {"--scale", "large"}, "large"},
            {"a negative softcap", {"--softcap", "-1"}, "softcap"},
            {"a softcap of NaN", {"--softcap", "nan"}, "softcap"},
            {"a dropout above 1", {"--dropout", "1.5", "--seed", "1", "--offset", "0"}, "dropout"},
            {"a window below -1", {"--window-left", "-2"}, "window"},
            {"a seed past 2^64", {"--seed", "18446744073709551616"}, "seed"},
            {"an unknown device", {"--device", "toaster"}, "toaster"},
            {"a third file", {"third.safetensors"}, "third.safetensors"},
        };
        for (const Usage& row : rows) {
            SUBCASE(row.name) {
                const Bench bench;
                check_refused(bench.run_with(row.flags), 2, row.words, bench.output);
            }
        }
        SUBCASE("an unknown command") {
            for (const std::vector<std::string>& words : {std::vector<std::string>{"rnu"}, {"help", "rnu"}, {"rnu", "--help"}}) {
                const Outcome outcome = run(words);
                CHECK(outcome.status == 2);
                CHECK_MESSAGE(contains(outcome.err, "unknown command 'rnu'"), outcome.err);
                CHECK_MESSAGE(contains(outcome.err, "did you mean 'run'?"), outcome.err);
            }
            CHECK(run({"help", "run"}).status == 0);
        }
        SUBCASE("no command") { CHECK(run({}).status == 2); }
        SUBCASE("no output file") { CHECK(run({"run", "in.safetensors"}).status == 2); }
    }

    TEST_CASE("a problem that the named backend refuses ends with status 3 and every reason") {
        const Bench bench(sound().add("mask", "BOOL", "4,4", 16).add("sink", "F32", "2", 8).file());
        const Outcome outcome = bench.run_with({"--backend", "good"});
        check_refused(outcome, 3, "mask", bench.output);
        CHECK_MESSAGE(contains(outcome.err, "sink"), outcome.err);
        const Bench mute;
        check_refused(mute.run_with({"--backend", "supports_mute"}), 3, "supports_mute", mute.output);
    }

    TEST_CASE("a backend that fails ends with status 4, its words, and no output") {
        for (const auto& [backend, words] : {std::pair{"no_device", "libhardware.so.1 not found"},
                                             {"init_fails", "init failed on purpose"},
                                             {"init_throws", "init threw on purpose"},
                                             {"plan_refuses", "refused after supports had agreed"},
                                             {"plan_null", "plan_null"},
                                             {"plan_greedy", "host memory"},
                                             {"forward_mute", "forward_mute"},
                                             {"forward_throws", "forward threw on purpose"}}) {
            SUBCASE(backend) {
                const Bench bench;
                check_refused(bench.run_with({"--backend", backend}), 4, words, bench.output);
            }
        }
    }

    TEST_CASE("files that cannot be opened or written end with status 5 and the file's name") {
        const Bench bench;
        const Variables variables{{"ROCFORGE_PLUGIN_PATH", bench.plugins.path().string()}};
        const auto run_files = [&](const fs::path& in, const fs::path& out) {
            return run({"run", in.string(), out.string(), "--backend", "good"}, variables);
        };
        SUBCASE("no input") { check_refused(run_files(bench.input / "none.safetensors", bench.out), 5, "none.safetensors", bench.output); }
        SUBCASE("the input is a folder") { check_refused(run_files(bench.input.path(), bench.out), 5, bench.input.path().string(), bench.output); }
        SUBCASE("the output's folder does not exist") {
            check_refused(run_files(bench.in, bench.output / "none/out.safetensors"), 5, "none/out.safetensors", bench.output);
        }
        SUBCASE("the output is a folder") {
            const Folder other;
            CHECK(run_files(bench.in, bench.output.path()).status == 5);
            CHECK(bench.output.names().empty());
        }
        SUBCASE("the output is a full device") {
            const fs::path link = bench.output / "full";  // a link, so that a mistake replaces the link and not the machine's device
            fs::create_symlink("/dev/full", link);
            const Outcome outcome = run_files(bench.in, link);
            CHECK_MESSAGE(outcome.status == 5, outcome.err);
            CHECK(fs::is_symlink(link));
            CHECK(fs::is_character_file("/dev/full"));
            CHECK(bench.output.names() == "full");
        }
        SUBCASE("the output's folder may not be written") {
            if (is_root()) {
                MESSAGE("skipped: root may write everywhere");
                return;
            }
            fs::permissions(bench.output.path(), fs::perms(0555));
            check_refused(run_files(bench.in, bench.out), 5, bench.out.string(), bench.output);
            fs::permissions(bench.output.path(), fs::perms(0755));
        }
    }

    TEST_CASE("a disk that fills up while writing ends with status 5, keeps the old output and leaves no temporary") {
        const Bench bench(with_shapes("1,1,64,64", 16384, "1,1,64,64", 16384, "1,1,64,64", 16384).file());
        SUBCASE("no output before") { check_refused(bench.run_with({"--backend", "good"}, {4096, {}}), 5, bench.out.string(), bench.output); }
        SUBCASE("an output of an earlier run") {
            write_file(bench.out, "kept");
            const Outcome outcome = bench.run_with({"--backend", "good"}, {4096, {}});
            CHECK_MESSAGE(outcome.status == 5, outcome.err);
            CHECK(read_file(bench.out) == "kept");
            CHECK(bench.output.names() == "out.safetensors");
        }
    }

    TEST_CASE("standard output that cannot be written is a file error") {
        const Outcome outcome = run({"list", "--json"}, {}, {std::nullopt, "/dev/full"});
        CHECK_MESSAGE(outcome.status == 5, outcome.err);
        CHECK(contains(outcome.err, "standard output"));
    }

    TEST_CASE("a failed run does not touch the output of an earlier one") {
        const Bench bench(one("\"q\":7", 0));
        write_file(bench.out, "kept");
        CHECK(bench.run_with({"--backend", "good"}).status == 2);
        CHECK(read_file(bench.out) == "kept");
        CHECK(bench.output.names() == "out.safetensors");
    }
}
