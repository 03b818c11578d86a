// Plugins whose entry misbehaves, and files that are no plugins: each is refused with its reason, and the good plugin beside it works.
#include "elf_file.hpp"
#include "world.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>

using namespace hostile;
namespace fs = std::filesystem;

namespace {

struct Row {
    const char* name;
    std::function<fs::path(const Folder&)> place;  // puts the bad file into the folder
    const char* reason;                            // part of what the core must say
};

std::function<fs::path(const Folder&)> plugin(const char* name) {
    return [name](const Folder& folder) { return folder.add_plugin(name); };
}

// A copy of a built plugin, changed.
std::function<fs::path(const Folder&)> changed(const char* name, const std::function<void(ElfFile&)>& change) {
    return [name, change](const Folder& folder) {
        ElfFile file(built_plugin(name));
        change(file);
        const fs::path path = folder / "rocforge-changed.so";
        write_file(path, file.bytes);
        fs::permissions(path, fs::perms(0755));
        return path;
    };
}

fs::path text_file(const Folder& folder) {
    write_file(folder / "rocforge-text.so", "#!/bin/sh\necho this is a script that somebody renamed, with more than sixty-four bytes\n");
    return folder / "rocforge-text.so";
}

fs::path linker_script(const Folder& folder) {
    write_file(folder / "rocforge-script.so", "INPUT(/usr/lib/x86_64-linux-gnu/libm.so.6)\n");
    return folder / "rocforge-script.so";
}

fs::path empty_file(const Folder& folder) {
    write_file(folder / "rocforge-empty.so", "");
    return folder / "rocforge-empty.so";
}

fs::path directory(const Folder& folder) {
    fs::create_directory(folder / "rocforge-directory.so");
    return folder / "rocforge-directory.so";
}

fs::path fifo(const Folder& folder) {
    mkfifo((folder / "rocforge-fifo.so").c_str(), 0644);
    return folder / "rocforge-fifo.so";
}

fs::path dangling_link(const Folder& folder) {
    fs::create_symlink("nowhere.so", folder / "rocforge-dangling.so");
    return folder / "rocforge-dangling.so";
}

fs::path link_loop(const Folder& folder) {
    fs::create_symlink("rocforge-loop.so", folder / "rocforge-loop.so");
    return folder / "rocforge-loop.so";
}

constexpr std::uint64_t kFarAway = 1ull << 40, kWrapsAround = UINT64_MAX - 8;

const std::vector<Row>& rows() {
    static const std::vector<Row> table = {
        // The entry.
        {"no entry symbol", plugin("no_entry"), "does not export rocforge_plugin_v1"},
        {"a later ABI major alone", plugin("wrong_major"), "does not export rocforge_plugin_v1"},
        {"an exception leaves the entry", plugin("throws"), "thrown on purpose in the entry"},
        {"an exception of no class leaves the entry", plugin("throws_int"), "exception"},
        {"the entry returns an error", plugin("returns_error"), "the licence file is missing"},
        {"the entry returns an error without a message", plugin("returns_error_mute"), "RF_INTERNAL"},
        {"the entry's message has no end", plugin("endless_message"), "xxxx"},
        {"no backend is registered", plugin("registers_nothing"), "registered no backend"},
        {"one name twice in one file", plugin("same_name_twice"), "twice"},
        {"a name that is no name", plugin("bad_name"), "Bad Name"},
        {"a name of NULL", plugin("no_name"), "registers the name ''"},
        {"a required slot is NULL and the refusal is ignored", plugin("missing_slot"), "lacks the slot plan"},
        {"the table ends before its required slots", plugin("small_table"), "registers a table of"},
        {"reserved is not 0", plugin("reserved"), "reserved is 7"},
        {"another sanitizer", plugin("foreign_sanitizer"), "was built with"},
        {"an option without a key", plugin("null_option"), "option"},
        // No shared library.
        {"a text file", text_file, "is no ELF file"},
        {"a linker script", linker_script, "is no ELF file"},
        {"an empty file", empty_file, "is empty"},
        {"a folder", directory, "is a directory"},
        {"a FIFO", fifo, "is no regular file"},
        {"a dangling link", dangling_link, "No such file or directory"},
        {"a link to itself", link_loop, "Too many levels of symbolic links"},
        // For something else.
        {"another machine", changed("good", [](ElfFile& f) { f.header().e_machine = f.header().e_machine == EM_AARCH64 ? EM_X86_64 : EM_AARCH64; }),
         "another machine"},
        {"32 bits", changed("good", [](ElfFile& f) { f.header().e_ident[EI_CLASS] = ELFCLASS32; }), "32-bit"},
        {"the other byte order", changed("good", [](ElfFile& f) { f.header().e_ident[EI_DATA] ^= ELFDATA2LSB ^ ELFDATA2MSB; }), "byte order"},
        {"a program", changed("good", [](ElfFile& f) { f.header().e_type = ET_EXEC; }), "is no shared library"},
        {"an object file", changed("good", [](ElfFile& f) { f.header().e_type = ET_REL; }), "is no shared library"},
        // What it needs.
        {"a missing library", plugin("linked"), "librocforge-does-not-exist.so"},
        {"an undefined symbol", plugin("undefined_symbol"), "hostile_symbol_that_nobody_defines"},
        {"RUNPATH of .", changed("linked", [](ElfFile& f) { f.set_dynamic_string(DT_RUNPATH, "."); }), "RUNPATH entry '.'"},
        {"RUNPATH of nothing", changed("linked", [](ElfFile& f) { f.set_dynamic_string(DT_RUNPATH, ""); }), "empty entry"},
        {"RUNPATH with an empty entry", changed("linked", [](ElfFile& f) { f.set_dynamic_string(DT_RUNPATH, "/usr/lib:"); }), "empty entry"},
        {"RUNPATH of lib", changed("linked", [](ElfFile& f) { f.set_dynamic_string(DT_RUNPATH, "lib"); }), "RUNPATH entry 'lib'"},
        {"RPATH of .",
         changed("linked",
                 [](ElfFile& f) {
                     f.set_dynamic_string(DT_RUNPATH, ".");
                     f.dynamic(DT_RUNPATH).d_tag = DT_RPATH;
                 }),
         "."},
        {"NEEDED with a slash", changed("linked", [](ElfFile& f) { f.set_dynamic_string(DT_NEEDED, "lib/x.so"); }), "a name with a slash"},
        // Damaged. Each of these makes dlopen read or map outside the file.
        {"no program headers", changed("good", [](ElfFile& f) { f.header().e_phnum = 0; }), "program headers"},
        {"program headers past the end", changed("good", [](ElfFile& f) { f.header().e_phoff = kFarAway; }), "cut off or damaged"},
        {"program headers that wrap around", changed("good", [](ElfFile& f) { f.header().e_phoff = kWrapsAround; }), "cut off or damaged"},
        {"more program headers than fit", changed("good", [](ElfFile& f) { f.header().e_phnum = PN_XNUM - 1; }), "cut off or damaged"},
        {"program headers of another size", changed("good", [](ElfFile& f) { f.header().e_phentsize = 32; }), "program headers"},
        {"a segment past the end", changed("good", [](ElfFile& f) { f.segment(PT_LOAD).p_filesz = kFarAway; }), "damaged"},
        {"a segment that reaches past the end",
         changed("good",
                 [](ElfFile& f) {
                     f.segment(PT_LOAD).p_filesz += kFarAway;
                     f.segment(PT_LOAD).p_memsz += kFarAway;
                 }),
         "cut off or damaged"},
        {"a segment that wraps around", changed("good", [](ElfFile& f) { f.segment(PT_LOAD).p_offset = kWrapsAround; }), "cut off or damaged"},
        {"a segment larger in the file than in memory", changed("good", [](ElfFile& f) { f.segment(PT_LOAD).p_memsz = 1; }), "damaged"},
        {"no dynamic section", changed("good", [](ElfFile& f) { f.segment(PT_DYNAMIC).p_type = PT_NULL; }), "no dynamic section"},
        {"the dynamic section past the end", changed("good", [](ElfFile& f) { f.segment(PT_DYNAMIC).p_offset = kFarAway; }), "cut off or damaged"},
        {"the dynamic section in no segment", changed("good", [](ElfFile& f) { f.segment(PT_DYNAMIC).p_vaddr = kFarAway; }), "damaged"},
        {"no symbol table", changed("good", [](ElfFile& f) { f.dynamic(DT_SYMTAB).d_tag = DT_DEBUG; }), "symbol"},
        {"the symbol table in no segment", changed("good", [](ElfFile& f) { f.dynamic(DT_SYMTAB).d_un.d_ptr = kFarAway; }), "damaged"},
        {"the string table in no segment", changed("good", [](ElfFile& f) { f.dynamic(DT_STRTAB).d_un.d_ptr = kFarAway; }), "damaged"},
        {"a string table past the end", changed("good", [](ElfFile& f) { f.dynamic(DT_STRSZ).d_un.d_val = kFarAway; }), "cut off or damaged"},
        {"a hash table in no segment", changed("good", [](ElfFile& f) { f.dynamic(DT_GNU_HASH).d_un.d_ptr = kFarAway; }), "damaged"},
        {"a hash table of no buckets", changed("good", [](ElfFile& f) { f.at<std::uint32_t>(f.offset_of(f.dynamic(DT_GNU_HASH).d_un.d_ptr)) = 0; }),
         "does not export rocforge_plugin_v1"},
        {"more hash buckets than fit",
         changed("good", [](ElfFile& f) { f.at<std::uint32_t>(f.offset_of(f.dynamic(DT_GNU_HASH).d_un.d_ptr)) = UINT32_MAX; }), "damaged"},
        {"a library name outside the string table", changed("linked", [](ElfFile& f) { f.dynamic(DT_NEEDED).d_un.d_val = kFarAway; }), "damaged"},
        {"the entry is not defined here", changed("good", [](ElfFile& f) { f.symbol("rocforge_plugin_v1").st_shndx = SHN_UNDEF; }),
         "does not export rocforge_plugin_v1"},
        {"the entry's name lies outside the string table", changed("good", [](ElfFile& f) { f.symbol("rocforge_plugin_v1").st_name = UINT32_MAX; }),
         "does not export rocforge_plugin_v1"},
    };
    return table;
}

}  // namespace

TEST_SUITE("load") {
    TEST_CASE("a bad plugin is refused with its reason and the good one beside it works") {
        for (const Row& row : rows()) {
            SUBCASE(row.name) {
                const Folder folder;
                const fs::path good = folder.add_plugin("good"), bad = row.place(folder);
                const Context context(folder.path());
                REQUIRE_MESSAGE(context.code() == RF_OK, context.message());
                const auto refused = context.plugin(bad);
                REQUIRE_MESSAGE(refused.has_value(), "the file is not listed at all");
                CHECK(refused->status == ROCFORGE_REFUSED);
                CHECK_MESSAGE(contains(refused->reason, row.reason), "said: " << std::string(refused->reason));
                REQUIRE(context.plugin(good).has_value());
                CHECK_MESSAGE(context.plugin(good)->status == ROCFORGE_LOADED, std::string(context.plugin(good)->reason));
                CHECK(context.backends() == "good");
            }
        }
    }

    TEST_CASE("a bad plugin named by the host is refused with the same reason, and the next one loads") {
        for (const Row& row : rows()) {
            SUBCASE(row.name) {
                const Folder folder, empty;
                const Context context(empty.path());
                REQUIRE(context.code() == RF_OK);
                rf_error error{sizeof(rf_error), RF_OK, 0, 0, ""};
                CHECK(rocforge_load(context, row.place(folder).c_str(), &error) != RF_OK);
                CHECK_MESSAGE(contains(error.message, row.reason), "said: " << std::string(error.message));
                CHECK(context.backends() == "");
                CHECK(rocforge_load(context, folder.add_plugin("good").c_str(), nullptr) == RF_OK);
                CHECK(context.backends() == "good");
            }
        }
    }

    TEST_CASE("the second file that registers a name is refused naming the first") {
        const Folder folder;
        const fs::path first = folder.add_plugin("good", "rocforge-a.so"), second = folder.add_plugin("good", "rocforge-b.so");
        const Context context(folder.path());
        REQUIRE(context.code() == RF_OK);
        CHECK(context.plugin(first)->status == ROCFORGE_LOADED);
        CHECK(context.plugin(second)->status == ROCFORGE_REFUSED);
        CHECK_MESSAGE(contains(context.plugin(second)->reason, first.string()), "said: " << std::string(context.plugin(second)->reason));
        CHECK(context.backends() == "good");
    }

    TEST_CASE("a RUNPATH from $ORIGIN is accepted and finds the library beside the plugin") {
        for (const char* runpath : {"$ORIGIN", "${ORIGIN}", "$ORIGIN/.", "/usr/lib:$ORIGIN"}) {
            CAPTURE(runpath);
            const Folder folder;
            const fs::path file = changed("linked", [&](ElfFile& f) { f.set_dynamic_string(DT_RUNPATH, runpath); })(folder);
            fs::copy_file(fs::path(ROCFORGE_HOSTILE_PLUGINS) / "librocforge-does-not-exist.so", folder / "librocforge-does-not-exist.so");
            const Context context(folder.path());
            REQUIRE(context.plugin(file).has_value());
            CHECK_MESSAGE(context.plugin(file)->status == ROCFORGE_LOADED, std::string(context.plugin(file)->reason));
        }
    }

    TEST_CASE("a library cut off anywhere is refused and does not kill the host") {
        const Folder folder;
        const Context context(folder.path());
        ElfFile whole(built_plugin("good"));
        std::vector<std::size_t> lengths;
        for (std::size_t tenth = 0; tenth < 10; ++tenth) lengths.push_back(whole.bytes.size() * tenth / 10);
        for (std::size_t length = 0; length < std::min<std::size_t>(4096, whole.bytes.size()); length += 64) lengths.push_back(length);
        // Inside the tables that the dynamic linker reads, and right at their start.
        const Elf64_Phdr dynamic = whole.segment(PT_DYNAMIC);
        for (const std::size_t start : {std::size_t(dynamic.p_offset), whole.offset_of(whole.dynamic(DT_SYMTAB).d_un.d_ptr),
                                        whole.offset_of(whole.dynamic(DT_STRTAB).d_un.d_ptr), whole.offset_of(whole.dynamic(DT_GNU_HASH).d_un.d_ptr)})
            for (const std::size_t into : {0, 1, 16, 24, 40}) lengths.push_back(start + into);
        for (std::size_t back = 1; back <= 128; back += 7) lengths.push_back(whole.bytes.size() - back);
        for (const std::size_t length : lengths) {
            CAPTURE(length);
            const fs::path file = folder / ("rocforge-cut" + std::to_string(length) + ".so");
            write_file(file, std::string_view(whole.bytes).substr(0, length));
            rf_error error{sizeof(rf_error), RF_OK, 0, 0, ""};
            CHECK(rocforge_load(context, file.c_str(), &error) != RF_OK);
            CHECK_FALSE(std::string(error.message).empty());
        }
        const fs::path file = folder / "rocforge-whole.so";
        write_file(file, whole.bytes);
        CHECK(rocforge_load(context, file.c_str(), nullptr) == RF_OK);
    }

    TEST_CASE("list and doctor name every bad plugin with its reason and show the good one") {
        const Folder folder;
        const fs::path good = folder.add_plugin("good");
        std::vector<std::pair<fs::path, const Row*>> bad;
        for (const Row& row : rows()) {
            const fs::path placed = row.place(folder);
            if (placed.filename() != "rocforge-changed.so") {
                bad.emplace_back(placed, &row);
                continue;
            }
            const fs::path own = folder / ("rocforge-changed" + std::to_string(bad.size()) + ".so");
            fs::rename(placed, own);
            bad.emplace_back(own, &row);
        }
        const Variables variables{{"ROCFORGE_PLUGIN_PATH", folder.path().string()}};
        const Outcome list = run({"list", "--json"}, variables), doctor = run({"doctor"}, variables);
        REQUIRE_MESSAGE(list.status == 0, list.err);
        const auto json = nlohmann::json::parse(list.out);
        const auto entry = [&](const fs::path& path) -> nlohmann::json {
            for (const auto& plugin : json.at("plugins"))
                if (plugin.at("path") == path.string()) return plugin;
            return {};
        };
        const std::string doctor_text = doctor.out + doctor.err;
        for (const auto& [path, row] : bad) {
            CAPTURE(row->name);
            REQUIRE_FALSE(entry(path).is_null());
            CHECK(entry(path).at("status") == "refused");
            CHECK_MESSAGE(contains(entry(path).at("reason").get<std::string>(), row->reason), "said: " << entry(path).at("reason"));
            CHECK(contains(doctor_text, path.string()));
            CHECK(contains(doctor_text, row->reason));
        }
        REQUIRE_FALSE(entry(good).is_null());
        CHECK(entry(good).at("status") == "loaded");
        REQUIRE(entry(good).at("backends").size() == 1);
        CHECK(entry(good).at("backends")[0].at("name") == "good");
        CHECK(doctor.status < 126);
    }
}
