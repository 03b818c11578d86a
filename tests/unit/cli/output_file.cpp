#include "output_file.hpp"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scratch.hpp"
#include "signals.hpp"
#include "status.hpp"

using namespace rocforge::cli;
namespace fs = std::filesystem;

namespace {

void put(OutputFile& file, const std::string& text) { file.write(std::as_bytes(std::span(text))); }

Status refusal(const fs::path& target) {
    try {
        const OutputFile file(target);
        return Status::kDone;
    } catch (const Quit& quit) { return quit.status(); }
}

}  // namespace

TEST_CASE("a committed file is complete and stands alone") {
    const scratch::Folder folder;
    {
        OutputFile file(folder / "out");
        put(file, "whole");
        CHECK_FALSE(fs::exists(folder / "out"));
        file.commit();
    }
    CHECK(scratch::read(folder / "out") == "whole");
    CHECK(folder.files() == 1);
}

TEST_CASE("a first Ctrl-C is noted, a second ends the program and leaves no temporary file") {
    const scratch::Folder folder;
    const pid_t child = fork();
    if (child == 0) {
        OutputFile file(folder / "out");
        put(file, "half");
        const NoteInterrupts guard;
        raise(SIGINT);
        if (!NoteInterrupts::interrupted()) _exit(1);
        raise(SIGINT);
        _exit(2);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGINT);
    CHECK(folder.files() == 0);
}

TEST_CASE("a file that is not committed leaves the old one as it was and nothing beside it") {
    const scratch::Folder folder;
    scratch::write(folder / "out", "old");
    {
        OutputFile file(folder / "out");
        put(file, "half");
    }
    CHECK(scratch::read(folder / "out") == "old");
    CHECK(folder.files() == 1);
}

TEST_CASE("a replaced file keeps its permissions") {
    const scratch::Folder folder;
    scratch::write(folder / "out", "old");
    fs::permissions(folder / "out", fs::perms{0640});
    OutputFile file(folder / "out");
    file.commit();
    CHECK(fs::status(folder / "out").permissions() == fs::perms{0640});
}

TEST_CASE("a link stays a link: what it points to is replaced") {
    const scratch::Folder folder;
    scratch::write(folder / "target", "old");
    fs::create_symlink(folder / "target", folder / "link");
    OutputFile file(folder / "link");
    put(file, "new");
    file.commit();
    CHECK(fs::is_symlink(folder / "link"));
    CHECK(scratch::read(folder / "target") == "new");
}

TEST_CASE("a target that cannot be written is refused before anything is written") {
    const scratch::Folder folder;
    CHECK(refusal(folder / "no/such/folder/out") == Status::kFile);
    CHECK(refusal(folder / ".") == Status::kFile);
    CHECK(refusal((folder / "").string() + "/") == Status::kFile);
    CHECK(refusal("/dev/null") == Status::kFile);
    CHECK(refusal("") == Status::kUsage);
    CHECK(refusal("-") == Status::kUsage);
    CHECK(refusal("/dev/stdout") == Status::kUsage);
    CHECK(refusal("/dev/fd/1") == Status::kUsage);
    REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
    CHECK(refusal(folder / "fifo") == Status::kFile);
}
