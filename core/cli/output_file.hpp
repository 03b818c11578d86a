// A file that appears complete or not at all: written beside its target, flushed to disk, then renamed over it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "signals.hpp"

namespace rocforge::cli {

class OutputFile {
public:
    // Opens the temporary file, so that a target that cannot be written is known before anything is computed. Follows links: what they point to
    // is replaced. Throws Quit: kFile, also where the target is something else than a regular file; kUsage for "-" and other names of streams.
    explicit OutputFile(const std::filesystem::path& target);
    // Removes what was not committed.
    ~OutputFile();
    OutputFile(const OutputFile&) = delete;
    OutputFile& operator=(const OutputFile&) = delete;

    // Removes what stands there now: for a report, where that of an earlier run must not pass for this one's.
    void remove_old();
    void write(std::span<const std::byte> bytes);
    void commit();

private:
    [[noreturn]] void fail(int number) const;
    void open_beside(mode_t mode);
    void discard() noexcept;

    std::filesystem::path shown_, target_;
    std::string temporary_;
    std::unique_ptr<RemoveOnSignal> guard_;
    int descriptor_ = -1;
};

}  // namespace rocforge::cli
