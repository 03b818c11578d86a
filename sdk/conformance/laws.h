// The laws: what plugin.h and the SDK's guide ask of every backend beyond one right answer. Each is a function that returns where the law holds,
// throws Broken where it does not, and Skipped where this backend or this machine gives it nothing to look at.
#ifndef ROCFORGE_CONFORMANCE_LAWS_H
#define ROCFORGE_CONFORMANCE_LAWS_H

#include "suite.h"

#include <span>
#include <stdexcept>
#include <string>
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
    bool runs = true;  // false: looks only at what the backend says, so that a device which is not here will do
};

std::span<const Law> laws();

// Of each file.
std::vector<Law> predicate_laws();
std::vector<Law> contract_laws();
std::vector<Law> device_laws();

// An integer in a message.
template <class Integer> std::string number(Integer n) { return std::to_string(n); }

// The subject's. Throws Skipped where there are none.
inline const std::vector<Case>& cases_that_run(Subject& subject) {
    const std::vector<Case>& cases = subject.cases_that_run();
    if (cases.empty()) throw Skipped("the backend runs no case of the tables");
    return cases;
}

}  // namespace rocforge::conformance
#endif
