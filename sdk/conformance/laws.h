// The laws: what plugin.h and the SDK's guide ask of every backend beyond one right answer. Each is a function that returns where the law holds,
// throws Broken where it does not, and Skipped where this backend or this machine gives it nothing to look at.
#ifndef ROCFORGE_CONFORMANCE_LAWS_H
#define ROCFORGE_CONFORMANCE_LAWS_H

#include "suite.h"

#include <span>
#include <stdexcept>
#include <vector>

namespace rocforge::conformance {

class Skipped : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

class Law {
public:
    const char* name;  // "law/predicate-is-pure"
    void (*hold)(Subject&);
};

std::span<const Law> laws();

// Of each file.
std::vector<Law> predicate_laws();
std::vector<Law> contract_laws();
std::vector<Law> device_laws();

// A few cases of different kernels that this backend runs (decode, prefill, pages, ragged; else what it runs first), with their tensors on the heap.
// Throws Skipped where it runs none.
std::vector<Case> cases_that_run(Subject&);

}  // namespace rocforge::conformance
#endif
