// Who could have written this plugin? Files and folders that others may write are refused with the command that mends it; the rest works.
#include "world.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>

using namespace hostile;
namespace fs = std::filesystem;

namespace {

constexpr uid_t kNobody = 65534;

void mode(const fs::path& path, mode_t bits) { REQUIRE(chmod(path.c_str(), bits) == 0); }
void owner(const fs::path& path, uid_t user, gid_t group) { REQUIRE(chown(path.c_str(), user, group) == 0); }
constexpr auto kKeep = static_cast<uid_t>(-1);

struct FileRow {
    const char* name;
    bool as_root;  // only root can make the file so
    std::function<void(const fs::path&)> spoil;
    const char* reason;  // "" when the file is to be accepted
};

const std::vector<FileRow>& file_rows() {
    static const std::vector<FileRow> table = {
        {"a file that everybody may write", false, [](const fs::path& f) { mode(f, 0757); }, "chmod o-w"},
        {"a file that a foreign group may write", true, [](const fs::path& f) { owner(f, kKeep, kNobody), mode(f, 0775); }, "chmod g-w"},
        {"a file of another user", true, [](const fs::path& f) { owner(f, kNobody, kKeep); }, "chown root"},
        {"a file of a foreign group that only reads it", true, [](const fs::path& f) { owner(f, kKeep, kNobody); }, ""},
        {"a file that its owner's own group may write", true, [](const fs::path& f) { owner(f, 0, 0), mode(f, 0775); }, ""},
        {"a read-only file", false, [](const fs::path& f) { mode(f, 0444); }, ""},
    };
    return table;
}

struct FolderRow {
    const char* name;
    bool as_root;
    std::function<void(const fs::path& parent, const fs::path& folder)> spoil;
    const char* reason;
};

const std::vector<FolderRow>& folder_rows() {
    static const std::vector<FolderRow> table = {
        {"a folder that everybody may write", false, [](const fs::path&, const fs::path& f) { mode(f, 0777); }, "chmod o-w"},
        {"a sticky folder that everybody may write", false, [](const fs::path&, const fs::path& f) { mode(f, 01777); }, "a folder of your own"},
        {"a folder below one that everybody may write", false, [](const fs::path& p, const fs::path&) { mode(p, 0777); }, "chmod o-w"},
        {"a folder that a foreign group may write", true, [](const fs::path&, const fs::path& f) { owner(f, kKeep, kNobody), mode(f, 0775); },
         "chmod g-w"},
        {"a folder of another user", true, [](const fs::path&, const fs::path& f) { owner(f, kNobody, kKeep); }, "chown root"},
        {"a folder below one of another user", true, [](const fs::path& p, const fs::path&) { owner(p, kNobody, kKeep); }, "chown root"},
        {"a folder below a sticky one that everybody may write", false, [](const fs::path& p, const fs::path&) { mode(p, 01777); }, ""},
    };
    return table;
}

bool skipped(bool as_root) {
    if (!as_root || is_root()) return false;
    MESSAGE("skipped: only root can give a file to another user or group");
    return true;
}

struct Listed {
    bool found = false;
    std::int32_t status = -1;
    std::string reason;
};

Listed searched(const Context& context, const std::string& path) {
    rocforge_place folder{};
    folder.struct_size = sizeof folder;
    for (std::uint32_t i = 0; rocforge_searched(context, i, &folder) == RF_OK; ++i)
        if (folder.path == path) return {true, folder.status, folder.reason};
    return {};
}

}  // namespace

TEST_SUITE("trust") {
    TEST_CASE("a file that others could have written is refused and the good one beside it works") {
        for (const FileRow& row : file_rows()) {
            SUBCASE(row.name) {
                if (skipped(row.as_root)) continue;  // not return: the rows behind it would not be found
                const Folder folder;
                const fs::path good = folder.add_plugin("good"), file = folder.add_plugin("options");
                row.spoil(file);
                const Context context(folder.path());
                REQUIRE(context.plugin(file).has_value());
                const auto info = *context.plugin(file);
                CHECK_MESSAGE((info.status == ROCFORGE_REFUSED) == (*row.reason != '\0'), "said: " << std::string(info.reason));
                CHECK_MESSAGE(contains(info.reason, row.reason), "said: " << std::string(info.reason));
                if (*row.reason) CHECK_MESSAGE(contains(info.reason, file.string()), "does not name the file: " << std::string(info.reason));
                CHECK(context.plugin(good)->status == ROCFORGE_LOADED);
            }
        }
    }

    TEST_CASE("a folder that others could have written is not searched and is listed with the reason") {
        for (const FolderRow& row : folder_rows()) {
            SUBCASE(row.name) {
                if (skipped(row.as_root)) continue;  // not return: the rows behind it would not be found
                const Folder parent;
                const fs::path folder = parent / "plugins", good_folder = parent / "good";
                fs::create_directory(folder);
                fs::copy_file(built_plugin("good"), folder / "rocforge-inside.so");
                row.spoil(parent.path(), folder);
                const Context context(folder);
                REQUIRE(context.code() == RF_OK);
                const Listed listed = searched(context, folder.string());
                REQUIRE(listed.found);
                const bool refused = *row.reason != '\0';
                CHECK_MESSAGE((listed.status == ROCFORGE_REFUSED) == refused, "said: " << listed.reason);
                CHECK_MESSAGE(contains(listed.reason, row.reason), "said: " << listed.reason);
                CHECK(context.backends().empty() == refused);
                rf_error error{sizeof(rf_error), RF_OK, 0, 0, ""};
                if (refused) CHECK(rocforge_load(context, (folder / "rocforge-inside.so").c_str(), &error) != RF_OK);
                if (refused) CHECK_MESSAGE(contains(error.message, row.reason), "said: " << std::string(error.message));
                for (const char* command : {"list", "doctor"}) {
                    CAPTURE(command);
                    const Outcome outcome = run({command}, {{"ROCFORGE_PLUGIN_PATH", folder.string()}});
                    CHECK(outcome.status < 126);
                    CHECK_MESSAGE(contains(outcome.out + outcome.err, row.reason), outcome.out << outcome.err);
                }
                mode(parent.path(), 0755);
            }
        }
    }

    TEST_CASE("a link is judged by what it leads to") {
        const Folder open_to_all, closed;
        const fs::path target = open_to_all.add_plugin("good");
        fs::create_symlink(target, closed / "rocforge-link.so");
        mode(open_to_all.path(), 0777);
        const Context by_file(closed.path());
        REQUIRE(by_file.plugin(closed / "rocforge-link.so").has_value());
        CHECK(by_file.plugin(closed / "rocforge-link.so")->status == ROCFORGE_REFUSED);
        CHECK(contains(by_file.plugin(closed / "rocforge-link.so")->reason, "chmod o-w"));
        fs::create_directory_symlink(open_to_all.path(), closed / "folder");
        const Context by_folder(closed / "folder");
        CHECK(searched(by_folder, (closed / "folder").string()).status == ROCFORGE_REFUSED);
        mode(open_to_all.path(), 0755);
        const Context mended(closed.path());
        CHECK(mended.plugin(closed / "rocforge-link.so")->status == ROCFORGE_LOADED);
    }

    TEST_CASE("empty and relative entries of the plugin path are refused and the others searched") {
        const Folder folder;
        folder.add_plugin("good");
        const Context context(":lib:./plugins:" + folder.path().string());
        REQUIRE(context.code() == RF_OK);
        for (const char* entry : {"", "lib", "./plugins"}) {
            CAPTURE(entry);
            CHECK(searched(context, entry).status == ROCFORGE_REFUSED);
            CHECK_FALSE(searched(context, entry).reason.empty());
        }
        CHECK(searched(context, folder.path().string()).status == ROCFORGE_LOADED);
        CHECK(context.backends() == "good");
    }

    TEST_CASE("the working directory is never searched") {
        const Folder folder;
        folder.add_plugin("good");
        const fs::path before = fs::current_path();
        fs::current_path(folder.path());
        const Context context(".");
        CHECK(context.backends().empty());
        fs::current_path(before);
    }

    TEST_CASE("a FIFO with a listed hash is refused without waiting for its writer") {
        const Folder folder;
        REQUIRE(mkfifo((folder / "rocforge-fifo.so").c_str(), 0644) == 0);
        write_file(folder / "rocforge.toml", "[plugins.sha256]\n\"rocforge-fifo.so\" = \"" + std::string(64, '0') + "\"\n");
        const Outcome outcome =
            run({"list", "--json", "--config", (folder / "rocforge.toml").string()}, {{"ROCFORGE_PLUGIN_PATH", folder.path().string()}});
        CHECK(outcome.status == 0);
        CHECK(contains(outcome.out, "is no regular file"));
    }

    TEST_CASE("a plugin whose hash differs from the listed one is refused") {
        const Folder folder;
        const fs::path file = folder.add_plugin("good");
        write_file(folder / "rocforge.toml", "[plugins.sha256]\n\"rocforge-hostile_good.so\" = \"" + std::string(64, '0') + "\"\n");
        const Context context(folder.path(), folder / "rocforge.toml");
        REQUIRE_MESSAGE(context.code() == RF_OK, context.message());
        CHECK(context.plugin(file)->status == ROCFORGE_REFUSED);
        CHECK_MESSAGE(contains(context.plugin(file)->reason, "SHA-256"), std::string(context.plugin(file)->reason));
    }
}
