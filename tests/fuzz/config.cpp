// Any bytes as a configuration file: merged, or refused with file, line and column and without a trace in the configuration.
#include "fuzz.hpp"

#include "config.hpp"

#include <string>
#include <string_view>

namespace {

std::string text_of(const rocforge::Config& config) {
    std::string text;
    for (const auto& setting : config.settings()) text += setting.key + " = " + setting.value + " # " + setting.origin + "\n";
    return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    rocforge::Config config;
    const std::string before = text_of(config);
    const auto merged = rocforge::merge_config(config, std::string_view(reinterpret_cast<const char*>(data), bytes), "/etc/rocforge/input.toml");
    if (merged) {
        for (const auto& setting : config.settings()) fuzz::demand(!setting.origin.empty(), "each setting has an origin");
    } else {
        fuzz::demand(merged.error().message.starts_with("/etc/rocforge/input.toml:"), "a refusal starts with the file");
        fuzz::demand(text_of(config) == before, "a refused file leaves nothing behind");
    }
    return 0;
}
