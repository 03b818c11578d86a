// The switches that keep a plugin out are obeyed: each is set in a file of the test's own, and this build's cpu plugin is gone or refused.
#include <rocforge/rocforge.hpp>

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

// A configuration file in a folder that nobody else can write.
class File {
public:
    explicit File(const std::string& toml) {
        std::string folder = (std::filesystem::temp_directory_path() / "rocforge-policy-XXXXXX").string();
        REQUIRE(mkdtemp(folder.data()) != nullptr);
        folder_ = folder;
        std::ofstream(path()) << toml;
    }
    ~File() { std::filesystem::remove_all(folder_); }
    std::string path() const { return (folder_ / "r.toml").string(); }

private:
    std::filesystem::path folder_;
};

// The plugin of this build, whatever else was built beside it.
rocforge_plugin_info cpu_plugin(const rocforge::Context& context) {
    for (const rocforge_plugin_info& each : context.plugins())
        if (std::string(each.path).ends_with("/rocforge-cpu.so")) return each;
    FAIL("rocforge-cpu.so is not listed");
    return {};
}
bool has_cpu(const rocforge::Context& context) {
    const auto backends = context.backends();
    return std::any_of(backends.begin(), backends.end(), [](const rocforge_backend_info& each) { return std::string(each.name) == "cpu"; });
}

struct Row {
    const char* toml;
    std::int32_t status;
    const char* reason;  // what it holds
};

}  // namespace

TEST_CASE("what keeps a plugin out is obeyed") {
    const std::string wrong_hash = "[plugins.sha256]\n'rocforge-cpu.so' = '" + std::string(64, '0') + "'\n";
    for (const Row& row :
         {Row{"", ROCFORGE_LOADED, ""}, Row{"plugins.disable = ['rocforge-c*.so']\n", ROCFORGE_DISABLED, "is disabled by plugins.disable"},
          Row{"plugins.disable = ['c?u']\n", ROCFORGE_DISABLED, "backend cpu is dropped by plugins.disable"},
          Row{"plugins.disable = ['gpu']\n", ROCFORGE_LOADED, ""},
          Row{"plugins.only = ['gpu']\n", ROCFORGE_DISABLED, "backend cpu is dropped by plugins.only"},
          Row{"plugins.only = ['cpu']\n", ROCFORGE_LOADED, ""},
          Row{"plugins.strict_sha256 = true\n", ROCFORGE_REFUSED, "has no SHA-256 in plugins.sha256"},
          Row{wrong_hash.c_str(), ROCFORGE_REFUSED, "wanted 0000"}}) {
        CAPTURE(row.toml);
        const File file(row.toml);
        const rocforge::Context context(file.path().c_str());
        const rocforge_plugin_info cpu = cpu_plugin(context);
        CHECK(cpu.status == row.status);
        CHECK_MESSAGE(std::string(cpu.reason).find(row.reason) != std::string::npos, cpu.reason);
        CHECK(has_cpu(context) == (row.status == ROCFORGE_LOADED));
    }
}

TEST_CASE("the hash that strict mode demands is the file's own") {
    std::string hash;
    {
        const File wrong("[plugins.sha256]\n'rocforge-cpu.so' = '" + std::string(64, '0') + "'\n");
        const rocforge::Context context(wrong.path().c_str());
        const std::string reason = cpu_plugin(context).reason;  // "has SHA-256 <it>, wanted ..."
        REQUIRE(reason.starts_with("has SHA-256 "));
        hash = reason.substr(12, 64);
    }
    const File right("[plugins]\nstrict_sha256 = true\n[plugins.sha256]\n'rocforge-cpu.so' = '" + hash + "'\n");
    const rocforge::Context context(right.path().c_str());
    CHECK(has_cpu(context));
}
