// Any bytes as a safetensors file: parsed or refused, and what was parsed lies inside the file and tiles its data.
#include "fuzz.hpp"

#include "safetensors.hpp"

#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    using namespace rocforge::safetensors;
    const std::span whole(reinterpret_cast<const std::byte*>(data), bytes);
    try {
        const Header header = parse(whole, "input");
        fuzz::demand(header.data_start <= bytes, "the data starts inside the file");
        std::uint64_t covered = 0;
        for (const Entry& entry : header.entries) {
            fuzz::demand(entry.begin == covered && entry.end >= entry.begin, "tensors tile the data, in order");
            fuzz::demand(entry.end <= bytes - header.data_start, "a tensor ends inside the file");
            fuzz::demand(entry.elements() >= 0, "the number of elements does not overflow");
            if (const auto each = element_bytes(entry.dtype))
                fuzz::demand(static_cast<std::uint64_t>(entry.elements()) * *each == entry.bytes(), "shape and offsets agree");
            fuzz::demand(header.find(entry.name) != nullptr, "a tensor is found by its name");
            covered = entry.end;
        }
        fuzz::demand(covered == bytes - header.data_start, "tensors cover the data");
    } catch (const Error& error) {
        fuzz::demand(error.what()[0] != '\0', "a refusal has a message");
        fuzz::demand(error.fault() == Fault::kFormat, "bytes in memory are no file error");
    }
    return 0;
}
