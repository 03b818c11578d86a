// Any bytes as a shared library: judged without reading outside of them. What is accepted names its libraries without a slash.
#include "fuzz.hpp"

#include "elf.hpp"

#include <rocforge/plugin.h>

#include <span>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    const auto facts = rocforge::check_elf(std::span(reinterpret_cast<const std::byte*>(data), bytes), RF_PLUGIN_ENTRY);
    if (facts) {
        for (const std::string& name : facts->needed) fuzz::demand(name.find('/') == std::string::npos, "a NEEDED name has no slash");
    } else {
        fuzz::demand(!facts.error().message.empty(), "a refusal has a reason");
    }
    return 0;
}
