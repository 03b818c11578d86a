// The larger of two errors, where NaN is the largest of all: std::max and std::fmax pass it over.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

inline double worse_of(double most, double error) { return std::isnan(error) ? std::numeric_limits<double>::infinity() : std::max(most, error); }
