// Who could have written this file? Judges owner and mode of a file and of every folder above it. Reads metadata only.
#pragma once

#include <filesystem>
#include <string>

namespace rocforge {

// "" when, after resolving links, `file` and each parent up to / are owned by root or the effective user and not writable by others (a sticky
// world-writable parent is fine for an entry owned so; group-writable only where the group is the owner's primary group). Otherwise the reason with
// the chmod or chown that mends it.
std::string distrust(const std::filesystem::path& file);

}  // namespace rocforge
