// One file to a plugin: trusted, whole, loadable, and its backends registered; or the reason why not. Decides nothing about who runs what.
#pragma once

#include "discovery.hpp"
#include "registry.hpp"

namespace rocforge {

// Loads `found` into the registry and returns its index there. What is wrong with the file stands in its line; never throws for a bad plugin.
std::uint32_t load_plugin(Registry& registry, const Config& config, const Found& found);

// Registers a backend compiled into the host.
Result<bool> register_backend(Registry& registry, const rf_backend_api* api);

}  // namespace rocforge
