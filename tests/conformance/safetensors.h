// Writes and reads just as much of the safetensors format as these tests need; apart from the program's own code, so that the two can disagree.
// Format: a little-endian 64-bit header length, a JSON header, the data. Reads what the program writes, not any valid file: throws
// std::runtime_error.
#ifndef ROCFORGE_TESTS_CONFORMANCE_SAFETENSORS_H
#define ROCFORGE_TESTS_CONFORMANCE_SAFETENSORS_H

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

struct FileTensor {
    std::string type;  // "F16"
    std::vector<std::int64_t> shape;
    std::vector<std::byte> data;
};
using FileTensors = std::map<std::string, FileTensor>;

void write_safetensors(const std::string& path, const FileTensors&);
FileTensors read_safetensors(const std::string& path);

#endif
