// A serving loop with one plan: each step holds some prompts and some decoding sequences, all tokens ragged on one axis, keys and values in pages.
// Extents are capacities (tokens a step, sequences, pages), the live ones stand in cu_seqlens_q, kv_lengths and block_table, so that no step needs a
// new plan. Keys are zero and values are positions: a token at position p averages 0..p, which is p / 2, and the program checks that.
#include <rocforge/rocforge.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

namespace {

constexpr std::int64_t kMostSequences = 4, kMostTokens = 64, kHeadQ = 4, kHeadKv = 2, kDim = 32, kPageSize = 16, kPages = 64, kMostKv = 160;
constexpr std::int64_t kPagesARow = kMostKv / kPageSize;

struct Sequence {
    std::int64_t prompt, end;  // tokens; the sequence leaves when it has `end`
    std::int64_t live = 0;     // tokens in the cache
    std::vector<std::int32_t> pages;
};

// The tensors of all steps and the pages that nobody holds.
struct Server {
    std::vector<float> q = std::vector<float>(kMostTokens * kHeadQ * kDim, 1.0f), out = q;
    std::vector<float> k = std::vector<float>(kPages * kHeadKv * kPageSize * kDim), v = std::vector<float>(k.size(), NAN);
    std::vector<std::int32_t> cu_seqlens = std::vector<std::int32_t>(kMostSequences + 1), lengths = std::vector<std::int32_t>(kMostSequences);
    std::vector<std::int32_t> block_table = std::vector<std::int32_t>(kMostSequences * kPagesARow, -1), free_pages;

    Server() {
        for (std::int32_t page = 0; page < kPages; ++page) free_pages.push_back(page);
    }

    // Writes the values of `count` new tokens of `s` into its pages.
    void append(Sequence& s, std::int64_t count) {
        for (std::int64_t j = s.live; j < s.live + count; ++j) {
            if (j % kPageSize == 0) s.pages.push_back(free_pages.back()), free_pages.pop_back();
            for (std::int64_t h = 0; h < kHeadKv; ++h)
                for (std::int64_t d = 0; d < kDim; ++d)
                    v[static_cast<std::size_t>(((s.pages.back() * kHeadKv + h) * kPageSize + j % kPageSize) * kDim + d)] = static_cast<float>(j);
        }
        s.live += count;
    }

    // Lays a step out: new tokens of every sequence behind each other; rows past the last sequence have no tokens. Returns the token count.
    std::int32_t lay_out(std::vector<Sequence>& running) {
        std::int32_t tokens = 0;
        for (std::size_t b = 0; b < kMostSequences; ++b) {
            cu_seqlens[b] = tokens;
            lengths[b] = 0;
            if (b >= running.size()) continue;
            Sequence& s = running[b];
            const std::int64_t count = s.live == 0 ? s.prompt : 1;
            append(s, count);
            tokens += static_cast<std::int32_t>(count);
            lengths[b] = static_cast<std::int32_t>(s.live);
            std::copy(s.pages.begin(), s.pages.end(), block_table.begin() + static_cast<std::ptrdiff_t>(b) * kPagesARow);
        }
        cu_seqlens[kMostSequences] = tokens;
        return tokens;
    }

    bool right(const std::vector<Sequence>& running) const {
        for (std::size_t b = 0; b < running.size(); ++b)
            for (std::int32_t t = cu_seqlens[b]; t < cu_seqlens[b + 1]; ++t) {
                const float wanted = static_cast<float>(running[b].live - (cu_seqlens[b + 1] - t)) / 2;
                if (!(std::fabs(out[static_cast<std::size_t>(t * kDim)] - wanted) <= 1e-3f)) return false;
            }
        return true;
    }
};

rf_problem serving_problem() {
    rf_problem p = rocforge::problem();
    p.features = RF_F_RAGGED_Q | RF_F_PAGED_KV | RF_F_KV_LENGTHS | RF_F_CAUSAL | RF_F_BOTTOM_RIGHT;
    p.batch = kMostSequences;
    p.max_seq_q = kMostTokens;
    p.max_seq_kv = kMostKv;
    p.page_size = kPageSize;
    p.block_table_stride = kPagesARow;
    p.index_dtype = rocforge::i32;
    p.q = p.out = rocforge_tensor(rocforge::f32, 1, kHeadQ, kMostTokens, kDim);
    p.k = p.v = rocforge_tensor(rocforge::f32, kPages, kHeadKv, kPageSize, kDim);
    return p;
}

}  // namespace

int main() try {
    const rocforge::Context context;
    const rocforge::Plan plan = context.plan(context.device("cpu"), serving_problem());
    const auto details = plan.describe();
    const std::unique_ptr<void, void (*)(void*)> workspace(std::aligned_alloc(256, details.workspace_bytes + 256), std::free);

    Server server;
    rf_args args = rocforge::args(server.q.data(), server.k.data(), server.v.data(), server.out.data());
    args.kv_lengths = server.lengths.data();
    args.cu_seqlens_q = server.cu_seqlens.data();
    args.block_table = server.block_table.data();
    args.workspace = workspace.get();
    args.workspace_bytes = details.workspace_bytes;

    std::vector<Sequence> waiting{{30, 60}, {5, 20}, {17, 90}, {1, 10}, {40, 41}, {16, 130}, {9, 33}, {22, 64}}, running;
    std::reverse(waiting.begin(), waiting.end());
    int steps = 0;
    std::int32_t least = kMostTokens, most = 0;
    for (; !waiting.empty() || !running.empty(); ++steps) {
        // One prompt joins a step, where there is a place for it.
        if (running.size() < kMostSequences && !waiting.empty()) running.push_back(waiting.back()), waiting.pop_back();
        const std::int32_t tokens = server.lay_out(running);
        least = std::min(least, tokens), most = std::max(most, tokens);
        plan.forward(args);
        if (!server.right(running)) return std::fprintf(stderr, "step %d is wrong\n", steps), 1;
        for (const Sequence& s : running)
            if (s.live >= s.end) server.free_pages.insert(server.free_pages.end(), s.pages.begin(), s.pages.end());
        std::erase_if(running, [](const Sequence& s) { return s.live >= s.end; });
    }
    std::printf("%d steps of %d to %d tokens on one plan of %s\n", steps, least, most, details.backend);
} catch (const rocforge::Exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
