// Backend block_sparse: exact float32 attention under a boolean mask on the CPU. Key blocks that the mask (or the causal rule) excludes for all rows
// of a block are neither scored nor read; what remains is attended by online softmax (Milakov and Gimelshein, "Online normalizer calculation for
// softmax", 2018). Problems without a boolean mask are refused: there is nothing to skip, and the built-in backends are faster.
#include <rocforge/plugin.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace {

constexpr std::int64_t kRows = 16, kKeys = 32;  // a block's scores are 2 KiB
constexpr rf_features kFeatures = RF_F_MASK_BOOL | RF_F_GROUPED_HEADS | RF_F_DIM_V | RF_F_CAUSAL | RF_F_BOTTOM_RIGHT | RF_F_DIAGONAL |
                                  RF_F_KV_LENGTHS | RF_F_LSE | RF_F_DETERMINISTIC;

std::int64_t row(const rf_tensor& t, std::int64_t b, std::int64_t h, std::int64_t s) { return b * t.stride[0] + h * t.stride[1] + s * t.stride[2]; }

// Eight sums, so that the compiler may use one vector: float addition is not associative.
float dot(const float* a, const float* b, std::int64_t n) {
    std::array<float, 8> sum{};
    std::int64_t d = 0;
    for (; d + 8 <= n; d += 8)
        for (std::size_t lane = 0; lane < 8; ++lane) sum[lane] += a[d + static_cast<std::int64_t>(lane)] * b[d + static_cast<std::int64_t>(lane)];
    for (; d < n; ++d) sum[0] += a[d] * b[d];
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) + ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

// Whether n mask elements are all 0, by words where they lie side by side: most of a sparse mask is looked at here alone.
bool blank(const unsigned char* mask, std::int64_t stride, std::int64_t n) {
    std::uint64_t any = 0, word = 0;
    std::int64_t j = 0;
    for (; stride == 1 && j + 8 <= n; j += 8) {
        std::memcpy(&word, mask + j, sizeof word);
        any |= word;
    }
    for (; j < n; ++j) any |= mask[j * stride];
    return any == 0;
}

// One block of rows of one head: its place, and what each of its rows knows so far.
struct Block {
    std::int64_t b, h, head_kv, first, rows, len_kv, diagonal;
    std::array<float, kRows> largest, sum;
};

struct Plan {
    rf_problem p;
    const rf_host_api* host;

    std::int64_t len_kv(const rf_args& args, std::int64_t b) const {
        if (!(p.features & RF_F_KV_LENGTHS)) return p.max_seq_kv;
        const std::int64_t length =
            p.index_dtype.bits == 64 ? static_cast<const std::int64_t*>(args.kv_lengths)[b] : static_cast<const std::int32_t*>(args.kv_lengths)[b];
        return std::clamp<std::int64_t>(length, 0, p.max_seq_kv);
    }

    // Which keys of [from, to) each row of the block attends to; false where none does.
    bool attended(const rf_args& args, const Block& block, std::int64_t from, std::int64_t to, bool (&keep)[kRows][kKeys]) const {
        const auto* mask = static_cast<const unsigned char*>(args.mask);
        bool any = false;
        for (std::int64_t r = 0; r < block.rows; ++r) {
            const std::int64_t i = block.first + r, last = p.features & RF_F_CAUSAL ? i + block.diagonal : INT64_MAX;
            const unsigned char* mask_row = mask + row(p.mask, block.b, block.h, i) + from * p.mask.stride[3];
            std::fill_n(keep[r], kKeys, false);
            if (blank(mask_row, p.mask.stride[3], to - from)) continue;
            for (std::int64_t j = from; j < to; ++j) any |= keep[r][j - from] = j <= last && mask_row[(j - from) * p.mask.stride[3]] != 0;
        }
        return any;
    }

    // One row and one block of keys: out stays the sum of exp(s - largest) v. An excluded key's v may be NaN and is not touched.
    void attend(const rf_args& args, Block& block, std::int64_t r, std::int64_t from, std::int64_t to, const bool* keep) const {
        const auto *q = static_cast<const float*>(args.q) + row(p.q, block.b, block.h, block.first + r), *k = static_cast<const float*>(args.k),
                   *v = static_cast<const float*>(args.v);
        float* out = static_cast<float*>(args.out) + row(p.out, block.b, block.h, block.first + r);
        const std::int64_t dim = p.q.shape[3], dim_v = p.v.shape[3];
        const auto index = static_cast<std::size_t>(r);
        std::array<float, kKeys> scores;
        float largest = block.largest[index];
        for (std::int64_t j = from; j < to; ++j) {
            if (!keep[j - from]) continue;
            scores[static_cast<std::size_t>(j - from)] = p.scale * dot(q, k + row(p.k, block.b, block.head_kv, j), dim);
            largest = std::fmax(largest, scores[static_cast<std::size_t>(j - from)]);
        }
        if (largest > block.largest[index]) {
            const float shrink = std::exp(block.largest[index] - largest);  // 0 for the first keys
            block.sum[index] *= shrink;
            for (std::int64_t d = 0; d < dim_v; ++d) out[d] *= shrink;
            block.largest[index] = largest;
        }
        for (std::int64_t j = from; j < to; ++j) {
            if (!keep[j - from]) continue;
            const float weight = std::exp(scores[static_cast<std::size_t>(j - from)] - largest);
            const float* v_row = v + row(p.v, block.b, block.head_kv, j);
            block.sum[index] += weight;
            for (std::int64_t d = 0; d < dim_v; ++d) out[d] += weight * v_row[d];
        }
    }

    void run(const rf_args& args, Block block) const {
        const std::int64_t dim_v = p.v.shape[3];
        auto* out = static_cast<float*>(args.out);
        block.largest.fill(-INFINITY);
        block.sum.fill(0);
        for (std::int64_t r = 0; r < block.rows; ++r) std::fill_n(out + row(p.out, block.b, block.h, block.first + r), dim_v, 0.0f);
        bool keep[kRows][kKeys];
        for (std::int64_t from = 0; from < block.len_kv; from += kKeys) {
            const std::int64_t to = std::min(from + kKeys, block.len_kv);
            if (p.features & RF_F_CAUSAL && from > block.first + block.rows - 1 + block.diagonal) break;
            if (!attended(args, block, from, to, keep)) continue;
            for (std::int64_t r = 0; r < block.rows; ++r)
                if (std::any_of(keep[r], keep[r] + (to - from), [](bool kept) { return kept; })) attend(args, block, r, from, to, keep[r]);
        }
        for (std::int64_t r = 0; r < block.rows; ++r) {
            const auto index = static_cast<std::size_t>(r);
            const bool empty = block.sum[index] == 0 && block.largest[index] == -INFINITY;
            float* out_row = out + row(p.out, block.b, block.h, block.first + r);
            for (std::int64_t d = 0; d < dim_v && !empty; ++d) out_row[d] /= block.sum[index];
            if (p.features & RF_F_LSE)
                static_cast<float*>(args.lse)[row(p.lse, block.b, block.h, block.first + r)] =
                    empty ? -INFINITY : block.largest[index] + std::log(block.sum[index]);
        }
    }

    void forward(const rf_args& args) const {
        struct Call {
            const Plan& plan;
            const rf_args& args;
            std::int64_t blocks;  // of rows in one head
        } call{*this, args, (p.max_seq_q + kRows - 1) / kRows};
        const auto body = [](void* arg, std::int64_t begin, std::int64_t end, std::uint32_t) {
            const auto& [plan, a, blocks] = *static_cast<const Call*>(arg);
            const rf_problem& problem = plan.p;
            for (std::int64_t n = begin; n < end; ++n) {
                const std::int64_t heads = problem.q.shape[1], h = n / blocks % heads, b = n / blocks / heads, first = n % blocks * kRows;
                const std::int64_t len_kv = plan.len_kv(a, b);
                plan.run(a, {b,
                             h,
                             h / (heads / problem.k.shape[1]),
                             first,
                             std::min(kRows, problem.max_seq_q - first),
                             len_kv,
                             problem.diagonal + (problem.features & RF_F_BOTTOM_RIGHT ? len_kv - problem.max_seq_q : 0),
                             {},
                             {}});
            }
        };
        host->parallel_for(host->self, p.batch * p.q.shape[1] * call.blocks, host->workers, body, &call);
    }
};

class BlockSparse {
public:
    using Plan = ::Plan;
    explicit BlockSparse(const rf_host_api& host) : host_(host) {}

    rf_code device(std::int32_t index, rf_device& out) const { return index == 0 ? describe("any", out) : rf_code{RF_NOT_FOUND}; }
    rf_code describe(std::string_view arch, rf_device& out) const {
        if (arch != "any") return RF_NOT_FOUND;
        out.arch = "any";
        out.name = "any CPU";
        return RF_OK;
    }
    void supports(const rf_device&, const rf_problem& p, rocforge::Reasons& reasons) const {
        reasons.only_dtype(p, {RF_T_FLOAT, 32, 1}, "use backend \"cpu\"");
        if (!(p.features & RF_F_MASK_BOOL))
            reasons.refuse(RF_R_FEATURE, "features", "no mask_bool", "mask_bool: without it there is nothing to skip", "use backend \"cpu\"");
    }
    rf_code kv_layout(const rf_device&, const rf_problem&, std::uint32_t index, rf_kv_layout& out) const {
        constexpr std::uint8_t kOrders[2][4] = {{0, 1, 2, 3}, {0, 2, 1, 3}};
        if (index > 1) return RF_NOT_FOUND;
        out.kind = RF_KV_CONTIGUOUS;
        out.align = sizeof(float);
        std::copy_n(kOrders[index], 4, out.order);
        return RF_OK;
    }
    std::unique_ptr<Plan> plan(const rf_device&, const rf_problem& p, std::uint32_t algo, rf_plan_info& info) const {
        if (algo > 0) throw rocforge::Failure(RF_NOT_FOUND, "block_sparse: there is one algorithm, 0");
        info.kernel = "blocks of 16 rows x 32 keys";
        info.flags = RF_P_DETERMINISTIC;
        return std::make_unique<Plan>(Plan{p, &host_});
    }

private:
    const rf_host_api& host_;
};

constexpr rf_backend_api kTable = rocforge::backend_table<BlockSparse>(
    {.name = "block_sparse", .version = "1.0.0", .vendor = "a third party", .features = kFeatures, .device_kind = RF_DEVICE_CPU});

}  // namespace

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
