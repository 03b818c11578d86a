#include "safetensors.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace {

std::string list(const std::vector<std::int64_t>& numbers) {
    std::string text;
    for (const std::int64_t n : numbers) text += (text.empty() ? "" : ",") + std::to_string(n);
    return "[" + text + "]";
}

// The text behind "key": within one tensor's entry.
std::string after(const std::string& entry, const std::string& key) {
    const std::size_t at = entry.find("\"" + key + "\"");
    if (at == std::string::npos) throw std::runtime_error("no " + key + " in " + entry);
    return entry.substr(entry.find(':', at) + 1);
}

std::vector<std::int64_t> numbers_of(const std::string& text) {
    std::vector<std::int64_t> numbers;
    std::string digits;
    for (const char each : text.substr(text.find('[') + 1)) {
        if (each >= '0' && each <= '9')
            digits += each;
        else if (!digits.empty())
            numbers.push_back(std::stoll(std::exchange(digits, "")));
        if (each == ']') return numbers;
    }
    throw std::runtime_error("no list: " + text);
}

}  // namespace

void write_safetensors(const std::string& path, const FileTensors& tensors) {
    std::string header;
    std::int64_t offset = 0;
    for (const auto& [name, tensor] : tensors) {
        const auto bytes = static_cast<std::int64_t>(tensor.data.size());
        header += std::string(header.empty() ? "{" : ",") + "\"" + name + "\":{\"dtype\":\"" + tensor.type + "\",\"shape\":" + list(tensor.shape) +
                  ",\"data_offsets\":" + list({offset, offset + bytes}) + "}";
        offset += bytes;
    }
    header += "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    const std::uint64_t length = header.size();
    file.write(reinterpret_cast<const char*>(&length), sizeof length);
    file << header;
    for (const auto& [name, tensor] : tensors)
        file.write(reinterpret_cast<const char*>(tensor.data.data()), static_cast<std::streamsize>(tensor.data.size()));
    if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

FileTensors read_safetensors(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> all{std::istreambuf_iterator<char>(file), {}};
    std::uint64_t length = 0;
    if (all.size() < sizeof length) throw std::runtime_error(path + " is missing or too short");
    std::memcpy(&length, all.data(), sizeof length);
    if (length > all.size() - sizeof length) throw std::runtime_error(path + ": the header passes the file's end");
    const std::string header(all.data() + sizeof length, length);
    const char* data = all.data() + sizeof length + length;
    const std::size_t data_bytes = all.size() - sizeof length - length;

    FileTensors tensors;
    std::size_t at = 1;  // behind the opening brace
    while (true) {
        const std::size_t quote = header.find('"', at), open = header.find('{', at);
        if (quote == std::string::npos || open == std::string::npos) return tensors;
        const std::string name = header.substr(quote + 1, header.find('"', quote + 1) - quote - 1);
        const std::size_t close = header.find('}', open);
        const std::string entry = header.substr(open, close - open);
        at = close + 1;
        if (name == "__metadata__") continue;
        FileTensor& tensor = tensors[name];
        const std::string type = after(entry, "dtype");
        tensor.type = type.substr(type.find('"') + 1, type.find('"', type.find('"') + 1) - type.find('"') - 1);
        tensor.shape = numbers_of(after(entry, "shape"));
        const std::vector<std::int64_t> range = numbers_of(after(entry, "data_offsets"));
        if (range.size() != 2 || range[0] > range[1] || static_cast<std::size_t>(range[1]) > data_bytes)
            throw std::runtime_error(name + ": bad offsets");
        const auto* bytes = reinterpret_cast<const std::byte*>(data);
        tensor.data.assign(bytes + range[0], bytes + range[1]);
    }
}
