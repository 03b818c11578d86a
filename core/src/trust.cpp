#include "trust.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace rocforge {
namespace {

namespace fs = std::filesystem;

// The primary group of a user, or -1 where the user is not in the password database.
std::int64_t primary_group(uid_t user) {
    std::array<char, 4096> buffer{};
    passwd entry{};
    passwd* found = nullptr;
    if (getpwuid_r(user, &entry, buffer.data(), buffer.size(), &found) != 0 || !found) return user == geteuid() ? std::int64_t{getegid()} : -1;
    return found->pw_gid;
}

// `holds_folder`: the entry below it on the way to the file is a folder, so that a sticky bit keeps others from replacing it.
std::string distrust_one(const fs::path& path, bool holds_folder) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) return fmt::format("{}: {}", path.string(), std::strerror(errno));
    const std::string quoted = "'" + path.string() + "'";
    if (info.st_uid != 0 && info.st_uid != geteuid())
        return fmt::format("{} is owned by user {}, neither root nor {}; chown root {}", path.string(), info.st_uid, geteuid(), quoted);
    const bool sticky_folder = holds_folder && (info.st_mode & S_ISVTX);
    if ((info.st_mode & S_IWOTH) && !sticky_folder && (info.st_mode & S_ISVTX) && S_ISDIR(info.st_mode))
        return fmt::format("{} is writable by everybody; move the file into a folder of your own: mkdir -m 755 '{}'", path.string(),
                           (path / "rocforge").string());
    if ((info.st_mode & S_IWOTH) && !sticky_folder) return fmt::format("{} is writable by everybody; chmod o-w {}", path.string(), quoted);
    if ((info.st_mode & S_IWGRP) && !sticky_folder && std::int64_t{info.st_gid} != primary_group(info.st_uid))
        return fmt::format("{} is writable by group {}, not its owner's own; chmod g-w {}", path.string(), info.st_gid, quoted);
    return "";
}

}  // namespace

std::string distrust(const fs::path& file) {
    std::error_code error;
    const fs::path real = fs::canonical(file, error);
    if (error) return error.message();
    bool holds_folder = false;
    for (fs::path path = real;; path = path.parent_path()) {
        if (std::string reason = distrust_one(path, holds_folder); !reason.empty()) return reason;
        if (path == path.root_path()) return "";
        holds_folder = fs::is_directory(path, error);
    }
}

}  // namespace rocforge
