// A failure of a GPU runtime, on its way to whoever knows how to report it. Carries no ABI type: kernels know none.
#ifndef ROCFORGE_KERNELS_PLATFORM_ERROR_H
#define ROCFORGE_KERNELS_PLATFORM_ERROR_H

#include <cstdint>
#include <exception>
#include <string>
#include <utility>

namespace rocforge::platform {

enum class Fault : std::uint8_t {
    unavailable,  // no runtime, driver or device
    no_memory,    // of the device
    device,       // the runtime reported anything else
};

class Error : public std::exception {
public:
    // number: the runtime's own, 0 where there is none.
    Error(Fault fault, int number, std::string message) : message_(std::move(message)), number_(number), fault_(fault) {}

    const char* what() const noexcept override { return message_.c_str(); }
    Fault fault() const noexcept { return fault_; }
    int number() const noexcept { return number_; }

private:
    std::string message_;
    int number_;
    Fault fault_;
};

}  // namespace rocforge::platform
#endif
