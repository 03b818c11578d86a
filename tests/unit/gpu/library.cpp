// A GPU runtime that is not there, is damaged or is something else: what the error says.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <span>
#include <string>

#include "kernels/platform/error.h"
#include "kernels/platform/library.h"

using namespace rocforge::platform;

namespace {

// What opening (or `use`ing what was opened) throws.
template <class Use> Error failure(std::initializer_list<const char*> names, Use&& use) {
    try {
        use(Library("AMD GPU runtime", std::span<const char* const>(names.begin(), names.size())));
    } catch (const Error& error) { return error; }
    return Error(Fault::device, -1, "no error");
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("a runtime that is absent is reported with every name that was tried and the loader's words") {
    const Error error = failure({"libabsent.so.7", "libabsent.so.6", "libabsent.so.5"}, [](const Library&) {});
    CHECK(error.fault() == Fault::unavailable);
    CHECK_MESSAGE(std::string(error.what()).starts_with("no AMD GPU runtime: libabsent.so.7, .6, .5 not found (libabsent.so.7: cannot open shared"),
                  error.what());
}

TEST_CASE("a runtime that is there but cannot be loaded is reported rather than one that is absent") {
    const std::filesystem::path file =
        std::filesystem::temp_directory_path() / ("rocforge-damaged-" + std::to_string(std::hash<std::string>{}(__FILE__)));
    std::ofstream(file) << "not a library";
    const std::string name = file.string();
    const Error error = failure({"libabsent.so.7", name.c_str()}, [](const Library&) {});
    std::filesystem::remove(file);
    CHECK(error.fault() == Fault::unavailable);
    CHECK_MESSAGE(contains(error.what(), (name + ": ").c_str()), error.what());
}

TEST_CASE("the first name that the loader finds is opened, and a symbol that it lacks is named") {
    const auto names = {"libabsent.so.7", "libm.so.6"};
    const Error error = failure(names, [](const Library& library) {
        CHECK(library.name() == "libm.so.6");
        CHECK(library.find<double(double)>("cos")(0.0) == 1.0);
        CHECK((library.find<int()>("hipMalloc") == nullptr));
        library.require<int()>("hipMalloc");
    });
    CHECK(error.fault() == Fault::unavailable);
    CHECK(std::string(error.what()) == "libm.so.6 lacks hipMalloc: it is too old, or no GPU runtime");
}
