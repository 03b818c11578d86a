// Cases made ready on several threads: tensors and the oracle's answer, handed out in the table's order. On a machine whose device runs a case in
// a millisecond the oracle is what a run waits for.
#ifndef ROCFORGE_TESTS_CONFORMANCE_PREPARED_H
#define ROCFORGE_TESTS_CONFORMANCE_PREPARED_H

#include "conformance/run.h"

#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace rocforge::tests {

class PreparedCases {
public:
    // Keeps at most `ahead` cases in memory that next() has not handed out.
    explicit PreparedCases(const std::vector<conformance::Case>& cases, std::size_t ahead = 64);
    ~PreparedCases();
    PreparedCases(const PreparedCases&) = delete;
    PreparedCases& operator=(const PreparedCases&) = delete;

    // The next case of the table, or nullptr behind the last. Rethrows what its making threw.
    std::unique_ptr<conformance::Prepared> next();

private:
    struct Slot {
        std::unique_ptr<conformance::Prepared> prepared;
        std::exception_ptr failure;
        bool done = false;
    };
    void work();

    const std::vector<conformance::Case>& cases_;
    const std::size_t ahead_;
    std::mutex guard_;
    std::condition_variable changed_;
    std::vector<Slot> slots_;
    std::size_t taken_ = 0, handed_out_ = 0;
    bool stopped_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace rocforge::tests
#endif
