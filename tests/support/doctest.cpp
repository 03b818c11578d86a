// doctest's own code, compiled once for every test program. A program without a main() of its own takes main.cpp's.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>
