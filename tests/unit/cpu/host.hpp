// The smallest host that the cpu plugin can run in: its options from a map, a parallel_for that remembers what it was asked for. No core, so that a
// problem reaches the backend as the test wrote it.
#pragma once

#include <rocforge/plugin.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace tiny {

using Options = std::map<std::string, std::string>;

struct Refusal {
    std::int32_t code;
    std::string field, have, need;
};

// One backend object of the plugin. Lent threads are the calling thread in as many roles as workers were asked for.
class Cpu {
public:
    explicit Cpu(std::uint32_t workers = 8, Options options = {});
    ~Cpu();
    Cpu(const Cpu&) = delete;
    Cpu& operator=(const Cpu&) = delete;

    // init's result; where it is not RF_OK, error() says why and nothing else may be called.
    rf_code code() const { return code_; }
    const std::string& error() const { return error_; }

    const rf_backend_api& table() const { return *table_; }
    rf_backend* backend() const { return backend_; }
    rf_device device() const;
    // The refusals that supports() reports; empty: it is supported.
    std::vector<Refusal> refusals(const rf_problem&, const rf_device&) const;
    std::vector<Refusal> refusals(const rf_problem& p) const { return refusals(p, device()); }
    // Its verdict without a sink.
    rf_code verdict(const rf_problem&) const;

    std::uint32_t most_workers = 0;  // that a parallel_for since the last reset was asked for; 0: none was called

private:
    static rf_code take_table(const rf_host*, const rf_backend_api*);
    static const char* option(const rf_host*, const char* backend, const char* key);
    static void parallel_for(const rf_host*, std::int64_t n, std::uint32_t max_workers,
                             void (*body)(void*, std::int64_t, std::int64_t, std::uint32_t), void* arg);
    Options options_;
    rf_host_api api_{};
    const rf_backend_api* table_ = nullptr;
    rf_backend* backend_ = nullptr;
    rf_code code_ = RF_INTERNAL;
    std::string error_;
};

// A plan and its workspace of exactly the size that it asks for.
class Plan {
public:
    Plan(const Cpu&, const rf_problem&, const rf_device&, std::uint32_t algo = 0);
    Plan(const Cpu& cpu, const rf_problem& p) : Plan(cpu, p, cpu.device()) {}
    ~Plan();
    Plan(const Plan&) = delete;
    Plan& operator=(const Plan&) = delete;

    rf_code code() const { return code_; }
    const std::string& error() const { return error_; }
    const rf_plan_info& info() const { return info_; }
    rf_code forward(rf_args, std::string& why) const;

private:
    struct Free {
        void operator()(std::byte*) const;
    };
    const Cpu& cpu_;
    rf_plan* plan_ = nullptr;
    rf_plan_info info_{};
    rf_code code_;
    std::string error_;
    std::unique_ptr<std::byte, Free> workspace_;
};

}  // namespace tiny
