// One line to whoever listens: the host's callback, else stderr. Level by ROCFORGE_LOG (trace, debug, info, warn, error, off; default warn),
// which filters the callback too. Never throws.
#pragma once

#include <rocforge/rocforge.h>

#include <memory>
#include <string>

namespace rocforge {

class Log {
public:
    // `level` is ROCFORGE_LOG's text or NULL.
    Log(const char* level, const rocforge_hooks& hooks);
    ~Log();
    Log(const Log&) = delete;
    Log& operator=(const Log&) = delete;

    bool enabled(std::int32_t level) const noexcept { return level >= least_; }
    void write(std::int32_t level, const std::string& message) const noexcept;

private:
    struct Stderr;
    rocforge_hooks hooks_;
    std::int32_t least_ = RF_LOG_WARN;
    std::unique_ptr<Stderr> stderr_;
};

}  // namespace rocforge
