// Bad configuration through the library and the program: the message starts with FILE:LINE:COLUMN and names the nearest key; exit status 2.
#include "world.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>

using namespace hostile;
namespace fs = std::filesystem;

namespace {

struct Row {
    const char* name;
    const char* text;
    const char* where;  // ":line:column:"
    const char* words;
};

constexpr Row kRows[] = {
    {"an unknown table", "[plugin]\npaths = []\n", ":1:2:", "did you mean 'plugins'"},
    {"an unknown key", "[select]\nordr = [\"*\"]\n", ":2:1:", "did you mean 'order'"},
    {"an unknown key in plugins", "\n[plugins]\n  disabel = []\n", ":3:3:", "did you mean 'disable'"},
    {"an unknown key in a rule", "[[select.rule]]\nwhen = { seq_q = 1 }\nuze = \"good\"\n", ":3:1:", "did you mean 'use'"},
    {"an unknown condition", "[[select.rule]]\nwhen = { head_dims = 1 }\nuse = \"good\"\n", ":2:10:", "did you mean 'head_dim'"},
    {"an unknown bound", "[[select.rule]]\nwhen = { seq_q = { mix = 1 } }\nuse = \"good\"\n", ":2:20:", "did you mean 'min'"},
    {"an order that is a string", "[select]\norder = \"good\"\n", ":2:9:", "wanted an array of strings"},
    {"an order of numbers", "[select]\norder = [1]\n", ":2:10:", "wanted a string"},
    {"a default that is a number", "[select]\ndefault = 7\n", ":2:11:", "wanted"},
    {"a flag that is a string", "[plugins]\nstrict_sha256 = \"yes\"\n", ":2:17:", "wanted true or false"},
    {"a fallback that is no word of it", "[select]\nfallback = \"maybe\"\n", ":2:12:", "error, warn, allow"},
    {"a condition of the wrong type", "[[select.rule]]\nwhen = { seq_q = \"one\" }\nuse = \"good\"\n", ":2:18:", "wanted an integer"},
    {"a rule without its backend", "[[select.rule]]\nwhen = { seq_q = 1 }\n", ":1:1:", "use"},
    {"a hash that is none", "[plugins.sha256]\n\"rocforge-x.so\" = \"abc\"\n", ":2:19:", "SHA-256"},
    {"an empty folder", "[plugins]\npaths = [\"\"]\n", ":2:", "empty"},
    {"a table where a value stands", "plugins = 1\n", ":1:11:", "wanted a table"},
    {"a syntax error", "[select]\norder = [\"*\"\n", ":", ""},
    {"a value without a key", "= 1\n", ":1:1:", ""},
    {"a key that stands twice", "[select]\nfallback = \"error\"\nfallback = \"warn\"\n", ":3:", "fallback"},
    {"bytes that are not UTF-8", "[select]\ndefault = \"\xff\"\n", ":2:", ""},
    {"an option that the backend does not declare", "[backend.options]\nlvel = 3\n", ":2:", "did you mean 'level'"},
    {"an option out of its range", "[backend.options]\nlevel = 5\n", ":2:", "wanted 1..4"},
    {"an option of another type", "[backend.options]\nlevel = \"high\"\n", ":2:", "wanted 1..4"},
    {"an option that is a list", "[backend.options]\nlevel = [1]\n", ":2:", "wanted"},
};

}  // namespace

TEST_SUITE("toml") {
    TEST_CASE("a wrong configuration names its file, line, column and the nearest key") {
        for (const Row& row : kRows) {
            SUBCASE(row.name) {
                const Folder folder;
                folder.add_plugin("good");
                folder.add_plugin("options");
                const fs::path file = folder / "rocforge.toml";
                write_file(file, row.text);
                const Context context(folder.path(), file);
                CHECK(context.code() == RF_INVALID);
                CHECK_MESSAGE(context.message().starts_with(file.string() + row.where), "said: " << context.message());
                CHECK_MESSAGE(contains(context.message(), row.words), "said: " << context.message());
                const Outcome outcome = run({"list", "--config", file.string()}, {{"ROCFORGE_PLUGIN_PATH", folder.path().string()}});
                CHECK(outcome.status == 2);
                CHECK_MESSAGE(contains(outcome.err, file.string() + row.where), "said: " << outcome.err);
                CHECK_MESSAGE(contains(outcome.err, row.words), "said: " << outcome.err);
                CHECK(outcome.out.empty());
            }
        }
    }

    TEST_CASE("a configuration file that cannot be read is a file error") {
        const Folder folder;
        const Outcome missing = run({"list", "--config", (folder / "none.toml").string()});
        CHECK(missing.status == 5);
        CHECK_MESSAGE(contains(missing.err, "none.toml"), missing.err);
        CHECK(run({"list", "--config", folder.path().string()}).status == 5);
        CHECK(run({"list"}, {{"ROCFORGE_CONFIG", (folder / "none.toml").string()}}).status == 5);
    }

    TEST_CASE("a configuration file that everybody may write is refused") {
        const Folder folder;
        const fs::path file = folder / "rocforge.toml";
        write_file(file, "");
        REQUIRE(chmod(file.c_str(), 0666) == 0);
        const Outcome outcome = run({"list", "--config", file.string()});
        CHECK(outcome.status == 2);
        CHECK_MESSAGE(contains(outcome.err, "chmod o-w"), outcome.err);
    }

    TEST_CASE("a FIFO as configuration is refused without waiting for its writer") {
        const Folder folder;
        const fs::path file = folder / "rocforge.toml";
        REQUIRE(mkfifo(file.c_str(), 0644) == 0);
        const Outcome outcome = run({"list", "--config", file.string()});
        CHECK_MESSAGE((outcome.status == 2 || outcome.status == 5), "status " << outcome.status);
    }

    TEST_CASE("names that nobody has are warnings in doctor and do not stop it") {
        const Folder folder;
        folder.add_plugin("good");
        const fs::path file = folder / "rocforge.toml";
        write_file(file, "[select]\norder = [\"godo\", \"*\"]\n[backend.nobody]\nlevel = 1\n");
        const Outcome outcome = run({"doctor", "--config", file.string()}, {{"ROCFORGE_PLUGIN_PATH", folder.path().string()}});
        CHECK(outcome.status == 0);
        CHECK_MESSAGE(contains(outcome.out + outcome.err, "did you mean 'good'"), outcome.out);
        CHECK_MESSAGE(contains(outcome.out + outcome.err, "nobody"), outcome.out);
    }

    TEST_CASE("a default that no plugin carries is an error with the nearest name and the plugin's refusal") {
        const Folder folder;
        folder.add_plugin("good");
        folder.add_plugin("throws", "rocforge-throws.so");
        const fs::path file = folder / "rocforge.toml";
        const Variables variables{{"ROCFORGE_PLUGIN_PATH", folder.path().string()}};
        write_file(file, "[select]\ndefault = \"goood\"\n");
        const Outcome nearest = run({"explain", "--q", "1x1x1x8", "--device", "cpu", "--config", file.string()}, variables);
        CHECK(nearest.status == 2);
        CHECK_MESSAGE(contains(nearest.err, "did you mean 'good'"), nearest.err);
        write_file(file, "[select]\ndefault = \"throws\"\n");
        const Outcome refused = run({"explain", "--q", "1x1x1x8", "--device", "cpu", "--config", file.string()}, variables);
        CHECK(refused.status == 4);
        CHECK_MESSAGE(contains(refused.err, "thrown on purpose in the entry"), refused.err);
    }
}
