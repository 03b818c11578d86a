// A value, or the error that stands in its place. Core's own steps return it; only the C API turns it into rf_code and rf_error.
#pragma once

#include <rocforge/plugin.h>

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace rocforge {

struct Error {
    rf_code code = RF_INTERNAL;
    std::string message;
    std::int32_t native = 0;
};

template <class T> class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::move(value)) {}
    Result(Error error) : state_(std::move(error)) {}
    explicit operator bool() const noexcept { return state_.index() == 0; }
    T& operator*() { return std::get<0>(state_); }
    T* operator->() { return &std::get<0>(state_); }
    const T* operator->() const { return &std::get<0>(state_); }
    const T& operator*() const { return std::get<0>(state_); }
    const Error& error() const { return std::get<1>(state_); }

private:
    std::variant<T, Error> state_;
};

}  // namespace rocforge
