#include "output_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <string_view>

#include "status.hpp"

namespace rocforge::cli {
namespace fs = std::filesystem;

OutputFile::OutputFile(const fs::path& target) : shown_(target), target_(target) {
    if (target_.empty()) throw Quit(Status::kUsage, "the output's name is empty");
    for (const char* stream : {"-", "/dev/stdout", "/dev/stderr", "/dev/fd/", "/proc/self/fd/"}) {
        const std::string_view name(stream);
        if (shown_ != name && !(name.ends_with('/') && shown_.native().starts_with(name))) continue;
        throw Quit(Status::kUsage,
                   fmt::format("the output '{}' is a stream; write to a file, which appears complete or not at all", shown_.string()));
    }
    std::error_code missing, failed;
    if (fs::is_symlink(target_, missing)) target_ = fs::weakly_canonical(target_, failed);
    if (failed) fail(failed.value());
    struct stat status {};
    const bool exists = ::stat(target_.c_str(), &status) == 0;
    if (exists && S_ISDIR(status.st_mode)) fail(EISDIR);
    if (exists && !S_ISREG(status.st_mode)) throw Quit(Status::kFile, fmt::format("cannot write {}: it is no regular file", shown_.string()));
    if (exists && ::access(target_.c_str(), W_OK) != 0) fail(errno);
    // A file that was private is never open to others, not for a moment.
    open_beside(exists ? status.st_mode & 0700 : 0666);
    if (!exists || ::fchmod(descriptor_, status.st_mode & 0777) == 0) return;
    const int number = errno;
    discard();
    fail(number);
}

OutputFile::~OutputFile() { discard(); }

void OutputFile::discard() noexcept {
    if (descriptor_ < 0) return;
    ::close(descriptor_);
    ::unlink(temporary_.c_str());
    descriptor_ = -1;
}

void OutputFile::open_beside(mode_t mode) {
    if (target_.filename().empty()) fail(EISDIR);
    const fs::path folder = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    std::random_device random;
    for (int attempt = 0; attempt < 16 && descriptor_ < 0; ++attempt) {
        temporary_ = (folder / fmt::format(".rocforge-{}-{:08x}.tmp", ::getpid(), random())).string();
        guard_.reset();  // one at a time
        guard_ = std::make_unique<RemoveOnSignal>(temporary_);
        descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (descriptor_ < 0 && errno != EEXIST) fail(errno);
    }
    if (descriptor_ < 0) fail(EEXIST);
}

void OutputFile::remove_old() {
    if (::unlink(target_.c_str()) != 0 && errno != ENOENT) fail(errno);
}

void OutputFile::write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) fail(errno);
        bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
}

void OutputFile::commit() {
    if (::fsync(descriptor_) != 0) fail(errno);
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
    ::close(descriptor_);
    descriptor_ = -1;
    // The rename itself reaches the disk with its folder; a file system that cannot say so has still renamed.
    const int folder = ::open(target_.has_parent_path() ? target_.parent_path().c_str() : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return;
    ::fsync(folder);
    ::close(folder);
}

void OutputFile::fail(int number) const { throw Quit(Status::kFile, fmt::format("cannot write {}: {}", shown_.string(), std::strerror(number))); }

}  // namespace rocforge::cli
