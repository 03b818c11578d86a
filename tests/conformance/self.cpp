// Who checks the checker: the oracle against results worked out by hand, and the verdict against backends that are wrong on purpose.
#include <doctest/doctest.h>

#include <rocforge/plugin.hpp>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "conformance/run.h"

using namespace rocforge::conformance;

namespace {

// A dense problem of one sequence and one head in f32, contiguous, on vectors; scale 1.
struct Small {
    Small(std::int64_t seq_q, std::int64_t seq_kv, std::int64_t dim, std::vector<float> q_data, std::vector<float> k_data, std::vector<float> v_data)
        : q(std::move(q_data)), k(std::move(k_data)), v(std::move(v_data)) {
        const auto tensor = [&](std::int64_t tokens) { return rf_tensor{kF32, 0, {1, 1, tokens, dim}, {tokens * dim, tokens * dim, dim, 1}}; };
        p.struct_size = sizeof p;
        p.batch = 1, p.max_seq_q = seq_q, p.max_seq_kv = seq_kv;
        p.q = p.out = tensor(seq_q);
        p.k = p.v = tensor(seq_kv);
        p.scale = 1, p.window_left = p.window_right = -1;
        a.struct_size = sizeof a;
        a.q = q.data(), a.k = k.data(), a.v = v.data();
    }
    Row row(std::int64_t i) const { return oracle_row(p, a, 0, 0, i); }

    std::vector<float> q, k, v;
    rf_problem p{};
    rf_args a{};
};

const double kTight = 1e-14;  // float64 sums of a few terms: some ulps of 1

std::vector<Case> both_tables() {
    std::vector<Case> cases = all_cases();
    for (Case& c : tile_cases()) cases.push_back(std::move(c));
    return cases;
}

Case find(const std::string& name) {
    static const std::vector<Case> cases = both_tables();
    const auto found = std::find_if(cases.begin(), cases.end(), [&](const Case& c) { return c.name == name; });
    REQUIRE_MESSAGE(found != cases.end(), name);
    return *found;
}

// The textbook formula as a backend: what it writes is right by the rule's own construction.
rf_code textbook_backend(const rf_problem& p, const rf_args& a, std::string&) {
    for (std::int64_t b = 0; b < p.batch; ++b) {
        const Sequence s = sequence_of(p, a, b);
        for (std::int64_t h = 0; h < p.q.shape[1]; ++h)
            for (std::int64_t i = 0; i < s.len_q; ++i) {
                const Row row = textbook_row(p, a, b, h, i);
                const Place at = place_of_query(p, s, b, i);
                for (std::int64_t d = 0; d < p.v.shape[3]; ++d)
                    store(p.out.dtype, a.out, offset_of(p.out, at.axis0, h, at.axis2, d), row.out[static_cast<std::size_t>(d)]);
                if (p.features & RF_F_LSE) store(kF32, a.lse, offset_of(p.lse, at.axis0, h, at.axis2, 0), row.lse);
            }
    }
    return RF_OK;
}

Verdict judge(const std::string& name, const Call& call) {
    Prepared prepared(find(name));
    return run(prepared, call);
}

}  // namespace

TEST_CASE("philox gives the published known answers") {
    // kat_vectors of Random123 (the paper's own library), philox4x32 with 10 rounds.
    using Words = std::array<std::uint32_t, 4>;
    const std::uint32_t ones = 0xffffffffu;
    CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
    CHECK(philox({ones, ones, ones, ones}, {ones, ones}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
    CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
          Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("storage types round to nearest even and keep every bit pattern") {
    for (std::uint32_t bits = 0; bits < 0x10000; ++bits)
        for (const rf_dtype type : {kF16, kBf16}) {
            const auto half = static_cast<std::uint16_t>(bits);
            const double value = load(type, &half, 0);
            if (std::isnan(value)) continue;
            std::uint16_t back = 0;
            store(type, &back, 0, value);
            REQUIRE(back == half);
        }
    CHECK(rounded(kF16, 65519.9) == 65504);
    CHECK(std::isinf(rounded(kF16, 65520)));
    CHECK(rounded(kF16, 2049) == 2048);  // a tie, to even
    CHECK(rounded(kF16, 2051) == 2052);
    CHECK(rounded(kBf16, 257) == 256);
    CHECK(rounded(kF16, std::ldexp(1.0, -25)) == 0);  // half of the smallest denormal: a tie, to even
    CHECK(rounded(kF16, std::ldexp(1.5, -25)) == std::ldexp(1.0, -24));
    float f = 0;
    for (const double value : {1.0 / 3, -1e-40, 3.4e38, 1e-46, 16777217.0}) {
        store(kF32, &f, 0, value);
        CHECK(f == static_cast<float>(value));
        CHECK(load(kF32, &f, 0) == static_cast<double>(static_cast<float>(value)));
    }
    CHECK(largest(kF32) == static_cast<double>(std::numeric_limits<float>::max()));
    CHECK(largest(kF16) == 65504);
    CHECK(epsilon(kF32) == static_cast<double>(std::numeric_limits<float>::epsilon()));
}

TEST_CASE("one key returns its value, and the logarithm of its weight is its score") {
    const Small s(1, 1, 2, {1, 2}, {3, 4}, {5, -7});
    const Row row = s.row(0);
    CHECK(row.out == std::vector<double>{5, -7});
    CHECK(row.lse == doctest::Approx(11).epsilon(kTight));
    CHECK(row.largest_v == 7);
}

TEST_CASE("equal scores average the values") {
    const Small s(1, 4, 1, {0}, {1, 2, 3, 4}, {1, 2, 4, 9});
    CHECK(s.row(0).out[0] == doctest::Approx(4).epsilon(kTight));
    CHECK(s.row(0).lse == doctest::Approx(std::log(4.0)).epsilon(kTight));
}

TEST_CASE("two keys weigh as 1 to e") {
    Small s(1, 2, 1, {1}, {0, 2}, {10, 20});
    s.p.scale = 0.5f;
    const double e = std::exp(1.0);
    CHECK(s.row(0).out[0] == doctest::Approx((10 + 20 * e) / (1 + e)).epsilon(kTight));
    CHECK(s.row(0).lse == doctest::Approx(std::log(1 + e)).epsilon(kTight));
}

TEST_CASE("softcap comes before the mask and a sink after both") {
    Small s(1, 2, 1, {1}, {3, -3}, {1, 0});
    const std::vector<float> mask{1, 0}, sink{2};
    s.p.features = RF_F_SOFTCAP | RF_F_MASK_ADD | RF_F_SINK;
    s.p.softcap = 2;
    s.p.mask = {kF32, 0, {1, 1, 1, 2}, {0, 0, 0, 1}};
    s.a.mask = mask.data();
    s.a.sink = sink.data();
    const double capped = 2 * std::tanh(1.5), first = std::exp(capped + 1), second = std::exp(-capped), total = first + second + std::exp(2.0);
    CHECK(s.row(0).out[0] == doctest::Approx(first / total).epsilon(kTight));
    CHECK(s.row(0).lse == doctest::Approx(std::log(total)).epsilon(kTight));
}

TEST_CASE("alibi falls off from the diagonal to both sides") {
    Small s(2, 3, 1, {0, 0}, {0, 0, 0}, {0, 0, 1});
    const float slope = 0.5f;
    s.p.features = RF_F_ALIBI | RF_F_BOTTOM_RIGHT;  // row 0's diagonal is key 1, row 1's is key 2
    s.a.alibi_slopes = &slope;
    const double half = std::exp(-0.5), whole = std::exp(-1.0);
    CHECK(s.row(0).out[0] == doctest::Approx(half / (1 + 2 * half)).epsilon(kTight));
    CHECK(s.row(1).out[0] == doctest::Approx(1 / (1 + half + whole)).epsilon(kTight));
}

TEST_CASE("causal, window and diagonal keep exactly the keys of the definition") {
    struct Rule {
        const char* name;
        rf_features features;
        std::int64_t left, right, diagonal;
        std::vector<std::string> kept;  // a row each, a key each: + kept
    };
    const std::vector<Rule> rules = {
        {"top-left causal", RF_F_CAUSAL, -1, -1, 0, {"+----", "++---", "+++--"}},
        {"bottom-right causal", RF_F_CAUSAL | RF_F_BOTTOM_RIGHT, -1, -1, 0, {"+++--", "++++-", "+++++"}},
        {"causal, diagonal 1", RF_F_CAUSAL | RF_F_DIAGONAL, -1, -1, 1, {"++---", "+++--", "++++-"}},
        {"causal, diagonal -1", RF_F_CAUSAL | RF_F_DIAGONAL, -1, -1, -1, {"-----", "+----", "++---"}},
        {"bottom-right and -2", RF_F_CAUSAL | RF_F_BOTTOM_RIGHT | RF_F_DIAGONAL, -1, -1, -2, {"+----", "++---", "+++--"}},
        {"window 1, 1", RF_F_WINDOW, 1, 1, 0, {"++---", "+++--", "-+++-"}},
        {"window 0, 0", RF_F_WINDOW, 0, 0, 0, {"+----", "-+---", "--+--"}},
        {"window left 1", RF_F_WINDOW, 1, -1, 0, {"+++++", "+++++", "-++++"}},
        {"window right 1", RF_F_WINDOW, -1, 1, 0, {"++---", "+++--", "++++-"}},
        {"window of the bottom-right diagonal", RF_F_WINDOW | RF_F_BOTTOM_RIGHT, 1, 0, 0, {"-++--", "--++-", "---++"}},
        {"window and causal", RF_F_WINDOW | RF_F_CAUSAL, 1, 3, 0, {"+----", "++---", "-++--"}},
    };
    for (const Rule& rule : rules) {
        CAPTURE(rule.name);
        Small s(3, 5, 1, std::vector<float>(3), std::vector<float>(5), std::vector<float>(5));
        s.p.features = rule.features;
        s.p.window_left = rule.left, s.p.window_right = rule.right, s.p.diagonal = rule.diagonal;
        const Sequence sequence = sequence_of(s.p, s.a, 0);
        for (std::int64_t i = 0; i < 3; ++i) {
            std::string kept;
            for (std::int64_t j = 0; j < 5; ++j) kept += attends(s.p, s.a, sequence, 0, 0, i, j) ? '+' : '-';
            CHECK(kept == rule.kept[static_cast<std::size_t>(i)]);
        }
    }
}

TEST_CASE("a row that attends to nothing is zero, with the sink or minus infinity as its lse") {
    Small s(1, 2, 1, {1}, {NAN, 1}, {NAN, 1});
    const std::uint8_t nothing[] = {0, 0};
    const float sink = 0.25f;
    s.p.features = RF_F_MASK_BOOL;
    s.p.mask = {kBool, 0, {1, 1, 1, 2}, {0, 0, 0, 1}};
    s.a.mask = nothing;
    CHECK(s.row(0).state == RowState::empty);
    CHECK(s.row(0).out[0] == 0);
    CHECK(s.row(0).lse == -INFINITY);
    s.p.features |= RF_F_SINK;
    s.a.sink = &sink;
    CHECK(s.row(0).lse == 0.25);
}

TEST_CASE("no finite mask value excludes, minus infinity does, even a NaN") {
    Small s(2, 2, 1, {1, 1}, {5, NAN}, {4, NAN});
    s.k[1] = 1, s.v[1] = 8;
    const float mask[] = {std::numeric_limits<float>::lowest(), std::numeric_limits<float>::lowest(), 0, -INFINITY};
    s.p.features = RF_F_MASK_ADD;
    s.p.mask = {kF32, 0, {1, 1, 2, 2}, {0, 0, 2, 1}};
    s.a.mask = mask;
    CHECK(s.row(0).out[0] == 6);
    s.k[1] = s.v[1] = NAN;
    CHECK(s.row(1).state == RowState::finite);
    CHECK(s.row(1).out[0] == 4);
    CHECK(s.row(0).state == RowState::non_finite);
}

TEST_CASE("dropout keeps by the published counter and rescales; lse does not see it") {
    Small s(1, 6, 1, {0}, std::vector<float>(6), {1, 2, 4, 8, 16, 32});
    s.p.features = RF_F_DROPOUT;
    s.p.dropout_p = 0.5f;
    s.a.dropout_seed = 0xa4093822ull | 0x299f31d0ull << 32;
    s.a.dropout_offset = 0;
    double expected = 0;
    for (std::uint32_t j = 0; j < 6; ++j)
        if (philox({j / 4, 0, 0, 0}, {0xa4093822, 0x299f31d0})[j % 4] >= 0x80000000u) expected += 2 * s.v[j] / 6.0;
    CHECK(s.row(0).out[0] == doctest::Approx(expected).epsilon(kTight));
    CHECK(s.row(0).lse == doctest::Approx(std::log(6.0)).epsilon(kTight));
    s.a.dropout_offset = 1ull << 32;  // goes into the key's high word
    expected = 0;
    for (std::uint32_t j = 0; j < 6; ++j)
        if (philox({j / 4, 0, 0, 0}, {0xa4093822, 0x299f31d0 ^ 1})[j % 4] >= 0x80000000u) expected += 2 * s.v[j] / 6.0;
    CHECK(s.row(0).out[0] == doctest::Approx(expected).epsilon(kTight));
}

TEST_CASE("pages, lengths and scales lead to the elements that they name") {
    // Two pages of two tokens in reverse order; three live tokens, so the last slot of page 0 is nobody's.
    Small s(1, 3, 1, {0}, std::vector<float>(4), {30, NAN, 10, 20});
    const std::int32_t table[] = {1, 0}, length = 3;
    const float k_scale = 1, v_scale[] = {1, 1, 2, 3};
    s.p.features = RF_F_PAGED_KV | RF_F_KV_LENGTHS | RF_F_KV_SCALES;
    s.p.page_size = 2, s.p.block_table_stride = 2, s.p.index_dtype = kI32;
    s.p.k = s.p.v = {kF32, 0, {2, 1, 2, 1}, {2, 2, 1, 1}};
    s.p.k_scale = {kF32, 0, {2, 1, 2, 1}, {0, 0, 0, 0}};
    s.p.v_scale = {kF32, 0, {2, 1, 2, 1}, {2, 2, 1, 1}};
    s.a.block_table = table, s.a.kv_lengths = &length, s.a.k_scale = &k_scale, s.a.v_scale = v_scale;
    CHECK(s.row(0).out[0] == doctest::Approx((10 * 2 + 20 * 3 + 30 * 1) / 3.0).epsilon(kTight));
}

TEST_CASE("the tables hold distinct names, each with its own seed") {
    const std::vector<Case> cases = both_tables();
    std::set<std::string> names;
    std::set<std::uint64_t> seeds;
    for (const Case& c : cases) {
        names.insert(c.name);
        seeds.insert(c.seed);
    }
    CHECK(names.size() == cases.size());
    CHECK(seeds.size() == cases.size());
    CHECK(all_cases(2).front().seed != cases.front().seed);
    std::size_t in_f32_alone = 0;
    for (const Case& c : cases) {
        const std::vector<Case> others = in_16_bits(c);
        CHECK_FALSE((c.f32_alone && others.empty()));
        in_f32_alone += c.f32_alone ? 1 : 0;
        for (const Case& other : others) {
            CHECK(names.insert(other.name).second);
            CHECK(other.name.find("-as-") != std::string::npos);
            CHECK_FALSE((same(other.type, kF32) || same(other.k_type, kF32) || same(other.v_type, kF32) || same(other.out_type, kF32)));
        }
    }
    CHECK(in_f32_alone > 700);
    for (const char* in_all_types : {"seq/1x1-f32", "numbers/equal-values-f32"})
        CHECK(in_16_bits(*std::find_if(cases.begin(), cases.end(), [&](const Case& c) { return c.name == in_all_types; })).empty());
    MESSAGE(cases.size() << " cases");
}

// Sanitized, whose concern is memory, a case of each kind.
constexpr std::size_t kEvery = rocforge::built_with_sanitizer() == RF_SANITIZER_NONE ? 1 : 5;

TEST_CASE("the textbook formula passes every case, and every kind of row occurs") {
    std::map<RowState, int> rows;
    const std::vector<Case> cases = all_cases();
    for (std::size_t n = 0; n < cases.size(); n += kEvery) {
        const Case& c = cases[n];
        CAPTURE(c.name);
        Prepared prepared(c);
        const Verdict v = run(prepared, textbook_backend);
        CHECK_MESSAGE(v.outcome == Outcome::passed, v.where);
        CHECK(v.max_error <= v.tolerance);
        CHECK(std::isfinite(v.tolerance));
        for (const ExpectedRow& r : prepared.expectation.rows) ++rows[r.row.state];
    }
    for (const RowState state : {RowState::finite, RowState::empty, RowState::non_finite}) CHECK(rows[state] > 100 / static_cast<int>(kEvery));
}

namespace {

// A backend that solves another problem than the one it was given.
Call lying(std::function<void(rf_problem&, rf_args&)> lie) {
    return [lie = std::move(lie)](const rf_problem& p, const rf_args& a, std::string& why) {
        rf_problem other = p;
        rf_args pointers = a;
        lie(other, pointers);
        return textbook_backend(other, pointers, why);
    };
}

// A backend that spoils what it has computed rightly.
Call spoiling(std::function<void(const rf_problem&, const rf_args&)> spoil) {
    return [spoil = std::move(spoil)](const rf_problem& p, const rf_args& a, std::string& why) {
        textbook_backend(p, a, why);
        spoil(p, a);
        return rf_code{RF_OK};
    };
}

// Query head h reads kv head h % head_kv: right for one group size alone.
rf_code interleaved_heads(const rf_problem& p, const rf_args& a, std::string& why) {
    const auto at_head = [](const auto* base, const rf_tensor& t, std::int64_t h) {
        return const_cast<char*>(static_cast<const char*>(static_cast<const void*>(base))) + h * t.stride[1] * bytes_of(t.dtype);
    };
    for (std::int64_t h = 0; h < p.q.shape[1]; ++h) {
        rf_problem one = p;
        rf_args args = a;
        for (rf_tensor* t : {&one.q, &one.k, &one.v, &one.out, &one.lse}) t->shape[1] = 1;
        const std::int64_t head_kv = h % p.k.shape[1];
        args.q = at_head(a.q, p.q, h), args.out = at_head(a.out, p.out, h), args.lse = at_head(a.lse, p.lse, h);
        args.k = at_head(a.k, p.k, head_kv), args.v = at_head(a.v, p.v, head_kv);
        textbook_backend(one, args, why);
    }
    return RF_OK;
}

void scribble(rf_dtype type, const void* array, std::int64_t index) { store(type, const_cast<void*>(array), index, 1); }

struct Mutant {
    const char* mistake;
    const char* on;  // the case that must catch it
    Call backend;
};

const Mutant kMutants[] = {
    {"leaves out the last key", "seq/13x31-f32", lying([](rf_problem& p, rf_args&) { --p.max_seq_kv; })},
    {"leaves out the last key of 1021", "seq/7x1021-f32", lying([](rf_problem& p, rf_args&) { --p.max_seq_kv; })},
    {"interleaves grouped heads", "heads/4-over-2", interleaved_heads},
    {"takes top-left for bottom-right", "causal/bottom-right-7x11", lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_BOTTOM_RIGHT; })},
    {"aligns to the capacity, not to the length", "lengths/causal-bottom-right-f32",
     lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_BOTTOM_RIGHT, p.diagonal += p.max_seq_kv - p.max_seq_q; })},
    {"shows one key past the diagonal", "causal/top-left-9x9", lying([](rf_problem& p, rf_args&) { ++p.diagonal; })},
    {"cuts the window one key short", "window/top-left-7x11-left3-right1", lying([](rf_problem& p, rf_args&) { --p.window_left; })},
    {"leaves out the last of many keys", "decode-bf16/not-causal", lying([](rf_problem& p, rf_args&) { --p.max_seq_kv; })},
    {"shows one key past the diagonal to many rows", "tile-seq/causal-65", lying([](rf_problem& p, rf_args&) { ++p.diagonal; })},
    {"leaves a mask of whole blocks unread", "prefill-bf16/mask-checkered-not-causal",
     lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_MASK_BOOL; })},
    {"drops the softcap", "numbers/softcap-50-f32", lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_SOFTCAP; })},
    {"drops alibi", "alibi/top-left-7x11", lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_ALIBI; })},
    {"drops the sink", "sink/random-bf16", lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_SINK; })},
    {"drops the scales of k and v", "paged/scales", lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_KV_SCALES; })},
    {"ignores the high word of the dropout offset", "dropout/64-bit-seed-and-offset-f32",
     lying([](rf_problem&, rf_args& a) { a.dropout_offset &= 0xffffffffu; })},
    {"shifts the dropout mask", "dropout/half-f16", lying([](rf_problem&, rf_args& a) { ++a.dropout_offset; })},
    {"reads rows of the page table at their used width", "paged/wide-table-i64", lying([](rf_problem& p, rf_args& a) {
         static std::vector<std::int64_t> table;  // reading the true table at a wrong stride would leave memory
         table.assign(static_cast<std::size_t>(p.batch * p.block_table_stride), 0);
         a.block_table = table.data();
     })},
    {"lets a NaN through the boolean mask", "hidden-nan/boolean-mask", lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_MASK_BOOL; })},
    {"lets a NaN through the causal rule", "hidden-nan/causal-rule-f16", lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_CAUSAL; })},
    {"reads past the lengths", "hidden-nan/lengths", lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_KV_LENGTHS; })},
    {"swallows a NaN that it must show", "non-finite/nan-in-k-f32",
     spoiling([](const rf_problem& p, const rf_args& a) { scribble(kF32, a.out, offset_of(p.out, 1, 0, 2, 3)); })},
    {"takes float lowest for minus infinity", "mask/lowest-row-f32", spoiling([](const rf_problem& p, const rf_args& a) {
         for (std::int64_t d = 0; d < p.out.shape[3]; ++d) store(kF32, a.out, offset_of(p.out, 0, 0, 1, d), 0);
     })},
    {"gives NaN for a row that attends to nothing", "empty/rows-attend-to-nothing",
     spoiling([](const rf_problem& p, const rf_args& a) { store(kF32, a.out, offset_of(p.out, 0, 0, 1, 0), NAN); })},
    {"gives a tiny number for a row that attends to nothing", "empty/rows-attend-to-nothing",
     spoiling([](const rf_problem& p, const rf_args& a) { store(kF32, a.out, offset_of(p.out, 0, 0, 1, 0), 1e-30); })},
    {"gives a large lse for minus infinity", "empty/kv-of-length-0",
     spoiling([](const rf_problem&, const rf_args& a) { store(kF32, a.lse, 0, -1e30); })},
    {"gives lse in powers of 2", "seq/13x31-f32", spoiling([](const rf_problem& p, const rf_args& a) {
         for (std::int64_t n = 0; n < p.batch * p.lse.stride[0]; ++n) store(kF32, a.lse, n, load(kF32, a.lse, n) * std::log2(std::exp(1.0)));
     })},
    {"writes a row past the last sequence", "ragged/q-f32", spoiling([](const rf_problem& p, const rf_args& a) {
         scribble(kF32, a.out, offset_of(p.out, 0, 0, load_index(kI32, a.cu_seqlens_q, p.batch), 0));
     })},
    {"writes lse past the last sequence", "ragged/q-f32", spoiling([](const rf_problem& p, const rf_args& a) {
         scribble(kF32, a.lse, offset_of(p.lse, 0, 1, load_index(kI32, a.cu_seqlens_q, p.batch), 0));
     })},
    {"writes between rows", "layout/padded-f16",
     spoiling([](const rf_problem& p, const rf_args& a) { scribble(kF16, a.out, offset_of(p.out, 0, 0, 0, p.out.shape[3])); })},
    {"writes behind the output", "seq/1x1-f32",
     spoiling([](const rf_problem& p, const rf_args& a) { scribble(kF32, a.out, p.batch * p.out.stride[0]); })},
    {"writes before lse", "seq/1x1-f32", spoiling([](const rf_problem&, const rf_args& a) { scribble(kF32, a.lse, -1); })},
    {"writes to an input", "seq/1x1-f32", spoiling([](const rf_problem&, const rf_args& a) { scribble(kF32, a.k, 0); })},
    {"writes nothing", "seq/1x1-f32", [](const rf_problem&, const rf_args&, std::string&) { return rf_code{RF_OK}; }},
    {"writes no lse", "seq/13x31-f32", lying([](rf_problem& p, rf_args&) { p.features &= ~RF_F_LSE; })},
    {"refuses without a reason", "seq/1x1-f32", [](const rf_problem&, const rf_args&, std::string&) { return rf_code{RF_UNSUPPORTED}; }},
    {"fails", "seq/1x1-f32", [](const rf_problem&, const rf_args&, std::string&) { return rf_code{RF_INTERNAL}; }},
    {"differs from run to run", "deterministic/2000-keys", spoiling([](const rf_problem&, const rf_args& a) {
         static int runs = 0;
         store(kF32, a.out, 0, load(kF32, a.out, 0) + 1e-8 * ++runs);
     })},
};

}  // namespace

TEST_CASE("a backend that is wrong fails the case that knows its mistake") {
    for (const Mutant& mutant : kMutants) {
        CAPTURE(mutant.mistake);
        const Verdict v = judge(mutant.on, mutant.backend);
        CHECK(v.outcome == Outcome::failed);
        CHECK_FALSE(v.where.empty());
    }
}

TEST_CASE("a refusal with a reason is a refusal") {
    const Verdict v = judge("seq/1x1-f32", [](const rf_problem&, const rf_args&, std::string& why) {
        why = "never on a Monday";
        return rf_code{RF_UNSUPPORTED};
    });
    CHECK(v.outcome == Outcome::refused);
    CHECK(v.where == "never on a Monday");
}

TEST_CASE("the tolerance is the rule's, to both sides") {
    Prepared prepared(find("seq/13x31-f16"));
    const Expectation& e = prepared.expectation;
    CHECK(out_tolerance(e, kF16) == 2 * e.textbook_error + 4 * std::ldexp(1.0, -10) * std::max(1.0, e.largest_v));
    CHECK(lse_tolerance(e, -3) == 2 * e.textbook_lse_error + 3e-5);
    CHECK(lse_tolerance(e, 0.5) == 2 * e.textbook_lse_error + 1e-5);
    for (const double factor : {0.9, 1.1}) {
        // f16 output is coarser than this offset, so it is added where it is exact: to the expectation.
        Prepared moved(find("seq/13x31-f16"));
        const Verdict v = run(moved, [&](const rf_problem& p, const rf_args& a, std::string& why) {
            const rf_code code = textbook_backend(p, a, why);
            const double written = load(kF16, a.out, 0);
            moved.expectation.rows[0].row.out[0] = written - factor * out_tolerance(moved.expectation, kF16);
            return code;
        });
        CHECK((v.outcome == Outcome::passed) == (factor < 1));
    }
}
