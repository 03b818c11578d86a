// Entry of the hostile tests. Clears what the caller's environment would change: only what a test sets may reach rocforge.
#include <doctest/doctest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <unistd.h>

int main(int argc, char** argv) {
    std::vector<std::string> ours;
    for (char** variable = environ; *variable; ++variable)
        if (std::strncmp(*variable, "ROCFORGE_", 9) == 0) ours.emplace_back(*variable, std::strcspn(*variable, "="));
    for (const std::string& name : ours) unsetenv(name.c_str());
    setenv("XDG_CONFIG_HOME", ROCFORGE_HOSTILE_SCRATCH "/no-configuration", 1);
    setenv("XDG_DATA_HOME", ROCFORGE_HOSTILE_SCRATCH "/no-data", 1);
    return doctest::Context(argc, argv).run();
}
