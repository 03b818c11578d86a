// What the C++ host API throws, for tests that look into it.
#pragma once

#include <rocforge/rocforge.hpp>

#include <doctest/doctest.h>

#include <functional>

// What the call throws; the test fails where it throws nothing.
inline rocforge::Exception thrown_by(const std::function<void()>& call) {
    try {
        call();
    } catch (const rocforge::Exception& e) { return e; }
    FAIL("nothing was thrown");
    throw;
}
