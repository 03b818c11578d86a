// Everything that a context found, asked once: what `list` and `doctor` print.
#pragma once

#include <rocforge/rocforge.h>

#include <string>
#include <vector>

#include "names.hpp"
#include "session.hpp"
#include "terminal.hpp"

namespace rocforge::cli {

struct Backend {
    rocforge_backend_info info{};
    Devices found;
};

// Strings live as long as the context.
struct Inventory {
    std::vector<rocforge_plugin_info> plugins;
    std::vector<Backend> backends;  // by rank
    std::vector<rocforge_place> files, folders;
};

Inventory take_inventory(rocforge_context* context);

inline std::string text_or_empty(const char* text) { return text ? text : ""; }
std::string status_name(std::int32_t status);  // of a plugin: "loaded", "refused", "disabled"

void print_backends(const Terminal& terminal, const Inventory& inventory);
void print_plugins(const Terminal& terminal, const Inventory& inventory);
void print_folders(const Terminal& terminal, const Inventory& inventory);
// "mine*, cpu": backends by rank; '*' marks those that stand there through "*" alone.
std::string order_in_force(const Inventory& inventory);

}  // namespace rocforge::cli
