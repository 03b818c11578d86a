// The program and a device: what it says and leaves behind when each step on the device fails, what bench tells of its timing, and how it reads where
// there is no GPU. The device is played by the stand-in of tests/support, whose options make it fail.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "program.h"
#include "safetensors.h"

namespace fs = std::filesystem;

namespace {

const fs::path kFolder = fs::path(SCRATCH_FOLDER).parent_path() / "device";

// Ones as q, k and v [1, 2, tokens, 64].
void write_input(const fs::path& file, std::int64_t tokens) {
    std::vector<std::byte> ones(static_cast<std::size_t>(2 * tokens * 64) * sizeof(float));
    const float one = 1;
    for (std::size_t at = 0; at < ones.size(); at += sizeof one)
        std::copy_n(reinterpret_cast<const std::byte*>(&one), sizeof one, ones.begin() + static_cast<std::ptrdiff_t>(at));
    const FileTensor tensor{"F32", {1, 2, tokens, 64}, ones};
    write_safetensors(file, {{"q", tensor}, {"k", tensor}, {"v", tensor}});
}

// An empty folder with in.safetensors and, where there are options, a configuration of the stand-in.
struct Place {
    explicit Place(const std::string& options = {}, std::int64_t tokens = 5) {
        fs::remove_all(kFolder);
        fs::create_directories(kFolder);
        write_input(kFolder / "in.safetensors", tokens);
        std::ofstream(kFolder / "rocforge.toml") << "[backend.stand_in_gpu]\n" << options << "\n";
    }
    Ended run(std::vector<std::string> arguments) const {
        arguments.insert(arguments.end(), {"--config", kFolder / "rocforge.toml"});
        return run_program(arguments, kFolder / "log");
    }
    Ended run_attention(std::vector<std::string> more) const {
        more.insert(more.begin(), {"run", kFolder / "in.safetensors", kFolder / "out.safetensors", "--backend", "stand_in_gpu"});
        return run(std::move(more));
    }
    // Every file but those that were there.
    std::string left_behind() const {
        std::string names;
        for (const auto& entry : fs::directory_iterator(kFolder)) {
            const std::string name = entry.path().filename();
            if (name != "in.safetensors" && name != "rocforge.toml" && name != "log") names += name + " ";
        }
        return names;
    }
};

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

int count(const std::string& text, const std::string& part) {
    int found = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++found;
    return found;
}

}  // namespace

TEST_CASE("a run on a device names it and leaves the output alone") {
    const Place place;
    const Ended ended = place.run_attention({"--device", "cuda:0", "--json"});
    CHECK_MESSAGE(ended.status == 0, ended.text);
    CHECK_MESSAGE(contains(ended.text, "\"backend\":\"stand_in_gpu\",\"device\":\"cuda:0\",\"kernel\":\"textbook\""), ended.text);
    CHECK(place.left_behind() == "out.safetensors ");
    const FileTensors out = read_safetensors(kFolder / "out.safetensors");
    float first = 0;
    std::copy_n(out.at("out").data.data(), sizeof first, reinterpret_cast<std::byte*>(&first));
    CHECK(first == 1);
}

TEST_CASE("a device that fails at any step is status 4 with its words, and no output") {
    struct Row {
        const char* options;
        const char* device;
        const char* message;
    };
    const Row rows[] = {
        {"fail = 'plan'", "cuda:0", "stand_in_gpu: plan fails, as it was told to"},
        {"fail = 'allocate'", "cuda:0", "stand_in_gpu: out of device memory"},
        {"fail = 'to_device'", "cuda:0", "stand_in_gpu: to_device fails, as it was told to"},
        {"fail = 'launch'", "cuda:0", "stand_in_gpu: launch fails, as it was told to"},
        {"fail = 'kernel'", "cuda:0", "stand_in_gpu: a kernel fails, as it was told to"},
        {"fail = 'to_host'", "cuda:0", "stand_in_gpu: to_host fails, as it was told to"},
        {"fail = 'extensions'", "cuda:0", "stand_in_gpu: it does not lend rocforge.memory/1"},
        {"", "cuda:1", "stand_in_gpu: no device cuda:1; it has 1"},
        {"", "rocm:0", "stand_in_gpu: no GPU of this kind here"},
        {"", "stand_in_9000", "stand_in_9000 is known but not in this machine"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.options);
        CAPTURE(row.device);
        const Place place(row.options);
        const Ended ended = place.run_attention({"--device", row.device});
        CHECK_MESSAGE(ended.status == 4, ended.text);
        CHECK_MESSAGE(contains(ended.text, row.message), ended.text);
        CHECK(place.left_behind() == "");
    }
}

TEST_CASE("out of device memory tells how much the tensors take") {
    const Place place("memory_mib = 1", 1000);  // 4 tensors of 500 KiB
    const Ended ended = place.run_attention({"--device", "cuda:0"});
    CHECK(ended.status == 4);
    CHECK_MESSAGE(contains(ended.text, "out of device memory: 512000 bytes wanted"), ended.text);
    CHECK_MESSAGE(contains(ended.text, "(the tensors take 2.0 MiB of device memory)"), ended.text);
    CHECK(place.left_behind() == "");
}

TEST_CASE("bench tells by whose clock it timed and whether caches were emptied") {
    const std::vector<std::string> bench{"bench", "--quick",  "--json", "--preset",  "cpu",         "--dtype",
                                         "bf16",  "--device", "cuda:0", "--backend", "stand_in_gpu"};
    struct Row {
        const char* options;
        const char* told;
    };
    for (const Row& row : {Row{"compute = 'nothing'\nmemory_mib = 8192", "\"timer\":\"device\",\"cache\":\"flushed\""},
                           Row{"compute = 'nothing'\nmemory_mib = 8192\nfail = 'timer'", "\"timer\":\"host\",\"cache\":\"flushed\""}}) {
        CAPTURE(row.options);
        const Ended ended = Place(row.options).run(bench);
        CHECK_MESSAGE(ended.status == 0, ended.text);
        CHECK(count(ended.text, row.told) == count(ended.text, "\"preset\":"));
        CHECK(count(ended.text, "\"seq_q\":1,") >= 2);
        for (const char* field : {"\"backend\":\"stand_in_gpu\"", "\"dtype\":\"bfloat16\"", "\"batch\":4", "\"head_kv\":8",
                                  "\"us\":", "\"tflops\":", "\"gbps\":", "\"runs\":3", "\"device\":\"cuda:0\""})
            CHECK_MESSAGE(contains(ended.text, field), field);
    }
}

TEST_CASE("bench holds a CPU's figures against what the machine reaches on as many threads") {
    const Ended ended = Place().run({"bench", "--quick", "--json", "--preset", "cpu", "--dtype", "f16", "--backend", "cpu", "--threads", "1"});
    CHECK_MESSAGE(ended.status == 0, ended.text);
    const int rows = count(ended.text, "\"preset\":");
    CHECK(rows >= 3);
    CHECK(count(ended.text, "\"limit_by\":\"FMA f32\",\"share_of_limit\":") >= 1);
    CHECK(count(ended.text, "\"limit_gflops\":") + count(ended.text, "\"limit_gbps\":") == rows);
    for (const char* field : {"\"threads\":1,", "\"device_name\":\"", "\"arch\":\"", "\"date\":\"20"})
        CHECK_MESSAGE(count(ended.text, field) == rows, field);
}

TEST_CASE("bench takes as many runs as 100 ms hold, and seven at least") {
    const Ended ended = Place("compute = 'nothing'\nmemory_mib = 8192")
                            .run({"bench", "--json", "--dtype", "bf16", "--device", "cuda:0", "--backend", "stand_in_gpu"});
    CHECK_MESSAGE(ended.status == 0, ended.text);
    CHECK(count(ended.text, "\"preset\":") == 5);
    CHECK(count(ended.text, "\"runs\":1000,") == count(ended.text, "\"preset\":"));  // of less than a microsecond each
}

TEST_CASE("a shape that a device fails at is a row that says so") {
    const Ended ended =
        Place("compute = 'nothing'\nfail = 'launch'").run({"bench", "--quick", "--json", "--device", "cuda:0", "--backend", "stand_in_gpu"});
    CHECK(ended.status == 4);
    CHECK(count(ended.text, "\"preset\":") == 6);
    CHECK(count(ended.text, "\"error\":\"stand_in_gpu: launch fails, as it was told to\"") == count(ended.text, "\"preset\":"));
}

TEST_CASE("a hypothetical device is explained with tensors as they will be aligned") {
    const Place place;
    const Ended ended = place.run({"explain", "--q", "1x32x4096x64", "--device", "stand_in_9000", "--json"});
    CHECK_MESSAGE(ended.status == 0, ended.text);  // this backend takes such a dim at 16 bytes and more
    CHECK_MESSAGE(contains(ended.text, "\"chosen\":\"stand_in_gpu\""), ended.text);
    const Ended refused = place.run({"explain", "--q", "1x32x4096x520", "--device", "stand_in_9000"});
    CHECK(refused.status == 3);
    CHECK_MESSAGE(contains(refused.text, "head_dim: q.shape[3] is 520, need at most 512"), refused.text);
}

TEST_CASE("hardware that is not there is told once and is no finding") {
    const Place place;
    const Ended list = place.run({"list"}), doctor = place.run({"doctor"});
    CHECK(list.status == 0);
    CHECK_MESSAGE(contains(list.text, "unavailable: no GPU of this kind here"), list.text);
    CHECK(doctor.status == 0);
    CHECK_MESSAGE(contains(doctor.text, "ready: plugins:"), doctor.text);
    CHECK_MESSAGE(contains(doctor.text, " without a device; warnings: 0"), doctor.text);
}
