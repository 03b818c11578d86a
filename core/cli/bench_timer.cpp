#include "bench_timer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "problem.hpp"

namespace rocforge::cli {
namespace {

constexpr std::int64_t kFlushBytes = 256 << 20;
constexpr std::size_t kMostRuns = 1000;
constexpr double kChunkUs = 2e5;         // between two looks at Ctrl-C
constexpr std::size_t kChunkRuns = 100;  // launches that a driver queues without making the host wait: some hundreds

// One key, as many sequences as fill the output; all rows of q are the same one, and so are those of k and v.
rf_problem flush_problem(const rf_problem& like) {
    Extents extents;
    extents.dtype = like.out.dtype;
    extents.head_q = like.q.shape[1], extents.head_kv = like.k.shape[1];
    extents.seq_q = like.max_seq_q;
    extents.dim = like.q.shape[3], extents.dim_v = like.v.shape[3];
    extents.batch = 1;
    const std::int64_t bytes = bytes_of(problem_of(extents, {}).out);
    extents.batch = divide_up(kFlushBytes, bytes);
    rf_problem problem = problem_of(extents, {});
    for (rf_tensor* tensor : {&problem.q, &problem.k, &problem.v}) std::fill_n(tensor->stride, 3, 0);
    return problem;
}

// The one row that q, k and v read.
std::uint64_t flush_row_bytes(const rf_problem& problem) {
    return static_cast<std::uint64_t>(std::max(problem.q.shape[3], problem.v.shape[3])) * sizeof(float);
}

// One run at a time: what is before the first mark is the flush.
class Runs {
public:
    Runs(const Device& device, const Forward& forward, const rf_args& args, const CacheFlush* flush)
        : device_(device), forward_(forward), args_(args), flush_(flush), by_device_(Mark::lent_by(device)) {}

    bool by_device() const { return by_device_; }
    // Microseconds of each of `count` runs, in order, and of all of it, flushes included.
    double measure(std::size_t count, std::vector<double>& us) { return by_device_ ? by_marks(count, us) : by_host(count, us); }

private:
    double by_marks(std::size_t count, std::vector<double>& us) {
        while (marks_.size() < 2 * count + 1) marks_.emplace_back(device_);
        marks_[2 * count].record();
        for (std::size_t run = 0; run < count; ++run) {
            if (flush_) flush_->enqueue();
            marks_[2 * run].record();
            forward_.enqueue(args_);
            marks_[2 * run + 1].record();
        }
        device_.synchronize();
        for (std::size_t run = 0; run < count; ++run) us.push_back(marks_[2 * run + 1].us_since(marks_[2 * run]));
        return marks_[2 * count - 1].us_since(marks_[2 * count]);
    }
    double by_host(std::size_t count, std::vector<double>& us) {
        double all = 0;
        for (std::size_t run = 0; run < count; ++run) {
            if (flush_) flush_->enqueue();
            device_.synchronize();
            us.push_back(forward_(args_));
            all += us.back();
        }
        return all;
    }

    const Device& device_;
    const Forward& forward_;
    const rf_args& args_;
    const CacheFlush* flush_;
    const bool by_device_;
    std::vector<Mark> marks_;
};

std::size_t runs_in(double us, double us_of_one) { return static_cast<std::size_t>(std::ceil(us / std::max(us_of_one, 0.1))); }

}  // namespace

std::optional<Times> time_on_host(const Forward& forward, const rf_args& args, const Budget& budget, const Tell& tell) {
    Times times;
    double one_us = 0;
    for (double spent = 0; spent == 0 || spent < budget.warm_up_us; spent += one_us) {
        if (!tell("warm-up")) return std::nullopt;
        one_us = forward(args);
    }
    const std::size_t count = std::clamp(runs_in(budget.measure_us, one_us), budget.least_runs, kMostRuns);
    while (times.us.size() < count) {
        if (!tell(fmt::format("run {}/{}", times.us.size() + 1, count))) return std::nullopt;
        times.us.push_back(forward(args));
    }
    std::sort(times.us.begin(), times.us.end());
    return tell("") ? std::optional(times) : std::nullopt;
}

// ---- CacheFlush

std::unique_ptr<CacheFlush> CacheFlush::make(rocforge_context* context, const rf_device& device, const std::string& backend, const Device& memory,
                                             const rf_problem& like) {
    const rf_problem problem = flush_problem(like);
    const Verdict verdict = select(context, device, problem, backend);
    return verdict.backend == backend ? std::unique_ptr<CacheFlush>(new CacheFlush(verdict, problem, memory)) : nullptr;
}

CacheFlush::CacheFlush(const Verdict& verdict, const rf_problem& problem, const Device& memory)
    : row_(memory, Buffer(flush_row_bytes(problem)).span()),
      out_(memory, static_cast<std::uint64_t>(bytes_of(problem.out))),
      forward_(verdict, &memory) {
    args_.struct_size = sizeof args_;
    args_.q = args_.k = args_.v = row_.data(), args_.out = out_.data();
}

// ---- On a device

std::optional<Times> time_on_device(const Device& device, const Forward& forward, const rf_args& args, const CacheFlush* flush, const Budget& budget,
                                    const Tell& tell) {
    if (!tell("warm-up")) return std::nullopt;
    forward(args);  // loads and sets up what a first run does
    Runs runs(device, forward, args, flush);
    std::vector<double> us;
    const double one_us = runs.measure(1, us);
    const std::size_t chunk = std::clamp<std::size_t>(runs_in(kChunkUs, one_us), 1, kChunkRuns);
    const auto all = [&](std::size_t count, const char* what) {
        us.clear();
        while (us.size() < count) {
            if (!tell(fmt::format("{} {}/{}", what, us.size(), count))) return false;
            runs.measure(std::min(chunk, count - us.size()), us);
        }
        return true;
    };
    if (!all(std::min(runs_in(budget.warm_up_us, one_us), kMostRuns), "warm-up")) return std::nullopt;
    if (!all(std::clamp(runs_in(budget.measure_us, one_us), budget.least_runs, kMostRuns), "run")) return std::nullopt;
    std::sort(us.begin(), us.end());
    return Times{std::move(us), runs.by_device(), flush != nullptr};
}

}  // namespace rocforge::cli
