// Files of these tests: a folder that goes when the test ends, and safetensors files written byte by byte, so that they may be wrong.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace scratch {

class Folder {
public:
    Folder();
    ~Folder();
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
    std::size_t files() const;

private:
    std::filesystem::path path_;
};

void write(const std::filesystem::path& file, const std::string& bytes);
std::string read(const std::filesystem::path& file);

// A whole file from its header's text and its data.
std::string file_of(const std::string& header, const std::string& data = {});

// A file of sound tensors, laid out one after the other.
class Tensors {
public:
    template <class T> Tensors& add(const std::string& name, const std::string& dtype, const std::string& shape, const std::vector<T>& values) {
        return add_bytes(name, dtype, shape, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
    }
    Tensors& add_bytes(const std::string& name, const std::string& dtype, const std::string& shape, const std::string& bytes);
    std::string file() const { return file_of("{" + header_ + "}", data_); }

private:
    std::string header_, data_;
};

}  // namespace scratch
