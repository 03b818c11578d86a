// SHA-256 of a file (FIPS 180-4), for plugins.sha256. None of the libraries that the project uses has one.
#pragma once

#include "result.hpp"

#include <filesystem>
#include <span>
#include <string>

namespace rocforge {

// 64 lower-case hexadecimal digits.
std::string sha256(std::span<const std::byte> data);
Result<std::string> sha256_file(const std::filesystem::path& file);

}  // namespace rocforge
