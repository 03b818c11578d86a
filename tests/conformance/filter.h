// Which cases, backends, devices and manners a run of these tests takes, told by the environment, so that one binary serves a CI machine, an emulator
// and a borrowed GPU. Everything is taken where a variable is unset. A filter that matches nothing is for the caller to fail on.
//   ROCFORGE_TEST_CASES     globs over case names as conformance/glob.h reads them: "pair/*,feature/*", "!device/*"
//   ROCFORGE_TEST_BACKEND   globs over backend names: "flash_attention"
//   ROCFORGE_TEST_DEVICE    "cpu", "cuda:0", "rocm:1"; for a GPU the ordinal is the device that is used, else each backend's first
//   ROCFORGE_TEST_MANNERS   globs over the ways to call, as backends.cpp names them: "default stream"
#ifndef ROCFORGE_TESTS_CONFORMANCE_FILTER_H
#define ROCFORGE_TESTS_CONFORMANCE_FILTER_H

#include <rocforge/rocforge.h>

#include <string>

namespace rocforge::tests {

bool wanted_case(const std::string& name);
// Has wanted_case() said yes to any name so far: a mistyped filter must not pass for a run without failures.
bool any_case_was_wanted();
bool wanted_backend(const std::string& name);
bool wanted_manner(const std::string& name);
// "cuda:0"; "cpu" without its number.
std::string device_name(const rf_device&);
bool wanted_device(const rf_device&);
// Is there any filter on backends or devices: then nobody in particular must be there.
bool narrowed_to_some_backends();

}  // namespace rocforge::tests
#endif
