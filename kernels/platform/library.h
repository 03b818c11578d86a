// A shared library opened by one of several names while the program runs. Once open it is never closed: GPU runtimes keep threads and exit handlers
// in it. Link-time dependencies are what this avoids.
#ifndef ROCFORGE_KERNELS_PLATFORM_LIBRARY_H
#define ROCFORGE_KERNELS_PLATFORM_LIBRARY_H

#include <span>
#include <string>

namespace rocforge::platform {

class Library {
public:
    // The first of `names` that is in the process already, else the first that the loader finds. Throws Error{unavailable}, who: "AMD GPU runtime".
    Library(const char* who, std::span<const char* const> names);

    const std::string& name() const { return name_; }

    // nullptr where the library lacks it.
    template <class F> F* find(const char* symbol) const { return reinterpret_cast<F*>(address(symbol)); }
    // Throws Error{unavailable} where the library lacks it.
    template <class F> F* require(const char* symbol) const { return reinterpret_cast<F*>(required(symbol)); }

private:
    void* address(const char* symbol) const;
    void* required(const char* symbol) const;

    void* handle_ = nullptr;
    std::string name_;
};

}  // namespace rocforge::platform
#endif
