// TOML in, values or one exact message out.
#include "config.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

using namespace rocforge;

namespace {

struct Wrong {
    const char* text;
    const char* message;  // how it starts
};

const Wrong kWrong[]{
    {"[plugins]\npath = []", "/c/r.toml:2:1: unknown key 'plugins.path'; did you mean 'paths'?"},
    {"[plugin]\npaths = []", "/c/r.toml:1:2: unknown key 'plugin'; did you mean 'plugins'?"},
    {"[plugins]\npaths = 'x'", "/c/r.toml:2:9: plugins.paths is a string, wanted an array of strings"},
    {"[plugins]\npaths = [1]", "/c/r.toml:2:10: plugins.paths[0] is an integer, wanted a string"},
    {"[plugins]\npaths = ['']", "/c/r.toml:2:9: plugins.paths has an empty entry"},
    {"[plugins]\nstrict_sha256 = 1", "/c/r.toml:2:17: plugins.strict_sha256 is an integer, wanted true or false"},
    {"[plugins.sha256]\n'x.so' = 'abc'", "/c/r.toml:2:10: plugins.sha256 of x.so is no SHA-256"},
    {"[select]\nfallback = 'maybe'", "/c/r.toml:2:12: select.fallback is 'maybe'; known are error, warn, allow"},
    {"[select]\norder = 'cpu'", "/c/r.toml:2:9: select.order is a string, wanted an array of strings"},
    {"[select]\ndefault = 3", "/c/r.toml:2:11: select.default is an integer, wanted a backend's name or a table"},
    {"[select]\ndefault = {rcm = 'x'}", "/c/r.toml:2:12: unknown key 'select.default.rcm'; did you mean 'rocm'?"},
    {"[[select.rule]]\nwhen = {seq_p = 1}\nuse = 'x'", "/c/r.toml:2:9: unknown key 'select.rule.when.seq_p'; did you mean 'seq_q'?"},
    {"[[select.rule]]\nwhen = {seq_q = 'x'}\nuse = 'x'", "/c/r.toml:2:17: select.rule.when.seq_q is a string, wanted an integer"},
    {"[[select.rule]]\nwhen = {seq_q = {mim = 1}}\nuse = 'x'", "/c/r.toml:2:18: unknown key 'select.rule.when.seq_q.mim'; did you mean 'min'?"},
    {"[[select.rule]]\nwhen = {causal = 1}\nuse = 'x'", "/c/r.toml:2:18: select.rule.when.causal is an integer, wanted true or false"},
    {"[[select.rule]]\nwhen = {}", "/c/r.toml:1:1: a select.rule lacks 'use'"},
    {"[backend]\ncpu = 3", "/c/r.toml:2:7: backend.cpu is an integer, wanted a table"},
    {"[backend.cpu]\nthreads = []", "/c/r.toml:2:11: backend.cpu.threads is an array, wanted a string, number or boolean"},
    {"[select\n", "/c/r.toml:1:8: "},
    {"x = \xff\n", "/c/r.toml:1:"},
};

}  // namespace

TEST_CASE("a wrong file is one message with line and column") {
    for (const Wrong& row : kWrong) {
        CAPTURE(row.text);
        Config config;
        const Result<bool> merged = merge_config(config, row.text, "/c/r.toml");
        REQUIRE(!merged);
        CHECK(merged.error().code == RF_INVALID);
        CHECK_MESSAGE(merged.error().message.starts_with(row.message), merged.error().message);
        CHECK(config.files.empty());  // nothing of a wrong file stays
    }
}

TEST_CASE("files merge key by key, arrays and rules replace whole") {
    Config config;
    REQUIRE(merge_config(config,
                         "[plugins]\ndisable = ['a', 'b']\n[select]\norder = ['x']\nfallback = 'warn'\n[backend.cpu]\nthreads = 2\n"
                         "[[select.rule]]\nwhen = {batch = 1}\nuse = 'old'\n",
                         "/etc/r.toml"));
    REQUIRE(merge_config(config,
                         "[plugins]\ndisable = ['c']\nadd_paths = ['more', '/abs']\n[backend.cpu]\nisa = 'avx2'\n"
                         "[[select.rule]]\nuse = 'new'\n",
                         "/home/u/r.toml"));
    CHECK(config.disable.value == std::vector<std::string>{"c"});
    CHECK(config.disable.origin == "/home/u/r.toml:2:11");
    CHECK(config.order.value == std::vector<std::string>{"x"});
    CHECK(config.fallback.value == Fallback::warn);
    CHECK(config.add_paths.value == std::vector<std::string>{"/home/u/more", "/abs"});  // relative to the file that names them
    CHECK(config.options["cpu"]["threads"].value == "2");
    CHECK(config.options["cpu"]["isa"].value == "avx2");
    REQUIRE(config.rules.value.size() == 1);
    CHECK(config.rules.value[0].use == "new");
    CHECK(config.files == std::vector<std::string>{"/etc/r.toml", "/home/u/r.toml"});
}

TEST_CASE("a default for every kind replaces defaults by kind") {
    Config config;
    REQUIRE(merge_config(config, "[select]\ndefault = {cpu = 'a', rocm = 'b'}", "/1"));
    REQUIRE(merge_config(config, "[select]\ndefault = {rocm = 'c'}", "/2"));
    CHECK(config.default_backend["cpu"].value == "a");
    CHECK(config.default_backend["rocm"].value == "c");
    REQUIRE(merge_config(config, "[select]\ndefault = 'd'", "/3"));
    CHECK(config.default_backend.size() == 1);
    CHECK(config.default_backend[""].value == "d");
}

TEST_CASE("settings are TOML again") {
    Config config;
    REQUIRE(
        merge_config(config,
                     "[plugins]\npaths = ['/a b']\n[plugins.sha256]\n'rocforge-x.so' = '" + std::string(64, 'A') +
                         "'\n[select]\norder = ['*']\n[[select.rule]]\nwhen = {seq_q = 1, head_dim = {max = 128}, device = 'rocm', causal = true}\n"
                         "use = 'f\"'\n",
                     "/r.toml"));
    std::string text;
    for (const Config::Setting& setting : config.settings()) text += setting.key + " = " + setting.value + "\n";
    CAPTURE(text);
    Config again;
    const Result<bool> merged = merge_config(again, text, "/again.toml");
    REQUIRE_MESSAGE(merged, merged.error().message);
    CHECK(again.paths->value == config.paths->value);
    CHECK(again.sha256["rocforge-x.so"].value == std::string(64, 'a'));
    REQUIRE(again.rules.value.size() == 1);
    CHECK(again.rules.value[0].use == "f\"");
    CHECK(again.rules.value[0].when.size() == 4);
}

TEST_CASE("a file that cannot be read, or is larger than any real one, is refused by name") {
    const std::filesystem::path folder = std::filesystem::temp_directory_path() / ("rocforge-config-" + std::to_string(::getpid()));
    std::filesystem::create_directory(folder);
    const std::filesystem::path most = folder / "most.toml", more = folder / "more.toml";
    std::ofstream(most) << std::string(1 << 20, '\n');
    std::ofstream(more) << std::string((1 << 20) + 1, '\n');
    CHECK(read_config({most, {}, {}}));
    struct Row {
        std::filesystem::path file;
        std::int32_t code;
        std::string why;
    };
    const Row rows[]{
        {more, RF_INVALID, "has more than 1048576 bytes"},
        {"/proc/self/mem", RF_NOT_FOUND, std::strerror(EIO)},  // opens, and has nothing at its beginning
        {"/proc/self/none", RF_NOT_FOUND, std::strerror(ENOENT)},
    };
    for (const Row& row : rows) {
        CAPTURE(row.file.string());
        const Result<Config> config = read_config({row.file, {}, {}});
        REQUIRE(!config);
        CHECK(config.error().code == row.code);
        CHECK_MESSAGE(config.error().message.starts_with("config file " + row.file.string() + ": " + row.why), config.error().message);
    }
    std::filesystem::remove_all(folder);
}
