// See world.hpp.
#include "world.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

template const rf_backend_api& fake::table<kGood>();
template const rf_backend_api& fake::table<kSmall>();
template const rf_backend_api& fake::table<kAbsent>();
template const rf_backend_api& fake::table<kScratch>();

World::World(const std::string& toml) {
    static int count = 0;
    const std::filesystem::path folder =
        std::filesystem::temp_directory_path() / ("rocforge-test-" + std::to_string(getpid()) + "-" + std::to_string(count++));
    std::filesystem::create_directories(folder / "none");
    const std::string file = folder / "r.toml";
    std::ofstream(file) << "plugins.paths = ['none']\n" << toml;
    folder_ = folder;
    context_.emplace(file.c_str());
}

World::~World() {
    context_.reset();
    std::filesystem::remove_all(folder_);
}

rf_device cpu() { return {.struct_size = sizeof(rf_device), .kind = RF_DEVICE_CPU, .ordinal = 0}; }
rf_problem problem(std::int64_t dim, std::int64_t seq) { return rocforge::dense_problem(rocforge::f32, 1, 2, 2, seq, seq, dim); }

rf_args args() {
    static std::vector<float> memory(1 << 16);
    return rocforge::args(memory.data(), memory.data(), memory.data(), memory.data());
}
