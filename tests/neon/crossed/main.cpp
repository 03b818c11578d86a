// Every case of the table but the heavy ones on the cpu backend's NEON kernels, called through its table.
#include <hwy/highway.h>

#include <cstdint>
#include <cstdio>
#include <string>

#include "conformance/suite.h"

extern "C" rf_code rocforge_plugin_v1(const rf_host_api*, rf_error*);

// Highway's library is built for the host's processor; all that the backend takes from it is this. Every AArch64 with AES has the target, and the
// emulated one has AES.
namespace hwy {
std::int64_t SupportedTargets() { return HWY_NEON; }
}  // namespace hwy

int main() try {
    using namespace rocforge::conformance;
    Subject subject({.entry = rocforge_plugin_v1, .api = registered_by(rocforge_plugin_v1).at(0)});
    if (std::string(subject.device().runtime) != "neon") {
        std::printf("the backend chose %s\n", subject.device().runtime);
        return 1;
    }
    int ran = 0, failed = 0;
    double worst = 0;
    std::string worst_case;
    for (const Item& item : items(Level::quick, 1)) {
        if (!item.the_case || item.name.starts_with("heavy/")) continue;
        const Verdict verdict = examine(subject, item, [](const std::string&) {});
        ++ran;
        if (verdict.outcome != Outcome::passed) {
            ++failed;
            std::printf("%s: %s; error %g, tolerance %g\n", item.name.c_str(), verdict.where.c_str(), verdict.max_error, verdict.tolerance);
        }
        if (verdict.tolerance > 0 && verdict.max_error / verdict.tolerance > worst)
            worst = verdict.max_error / verdict.tolerance, worst_case = item.name;
    }
    std::printf("neon: %d cases, %d failed; the largest error took %g of its tolerance, in %s\n", ran, failed, worst, worst_case.c_str());
    return failed != 0 || ran == 0;
} catch (const std::exception& e) {
    std::printf("%s\n", e.what());
    return 1;
}
