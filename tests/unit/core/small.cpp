// The helpers that everything rests on.
#include "sha256.hpp"
#include "text/text.hpp"
#include "threads.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstring>
#include <numeric>
#include <vector>

using namespace rocforge;

TEST_CASE("sha256 gives the digests of FIPS 180's examples") {
    const auto of = [](const std::string& text) { return sha256(std::as_bytes(std::span(text))); };
    CHECK(of("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    CHECK(of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(of(std::string(1000000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a stranger's text is one line without control characters") {
    CHECK(printable("\033[31mred\a\n\x7f") == " [31mred   ");
    CHECK(printable("CSI in UTF-8: \xC2\x9B"
                    "31m") == "CSI in UTF-8:  31m");
    CHECK(printable("\xC3\xA4\xC2\xB5 stay, a lone \xC2 too") == "\xC3\xA4\xC2\xB5 stay, a lone \xC2 too");
}

TEST_CASE("the nearest name is a typo away or none") {
    const std::vector<std::string> names{"cpu", "gpu", "flash_attention", "order", "default"};
    CHECK(did_you_mean("flash_atention", names) == "; did you mean 'flash_attention'?");
    CHECK(did_you_mean("flashattention", names) == "; did you mean 'flash_attention'?");
    CHECK(did_you_mean("cup", names) == "; did you mean 'cpu'?");
    CHECK(did_you_mean("ordre", names) == "; did you mean 'order'?");
    CHECK(did_you_mean("--bakend", {"--device", "--backend"}) == "; did you mean '--backend'?");
    CHECK(did_you_mean("xyzzy", names) == "");
    CHECK(did_you_mean("qqqqqqqq", names, ".") == ".");
    CHECK(did_you_mean(std::string(100000, 'z'), {"run"}) == "");
}

TEST_CASE("parallel_for visits every item once and lends a worker to one thread at a time") {
    const Threads threads{rocforge_hooks{}};
    for (const std::int64_t n : {std::int64_t{0}, std::int64_t{1}, std::int64_t{2}, std::int64_t{7}, std::int64_t{1000}}) {
        for (const std::uint32_t most : {1u, 2u, 3u, 64u}) {
            CAPTURE(n);
            CAPTURE(most);
            struct State {
                std::vector<std::atomic<int>> visits;
                std::vector<std::atomic<int>> holders;
                std::atomic<int> wrong{0};
                std::uint32_t limit;
            } state{
                std::vector<std::atomic<int>>(static_cast<std::size_t>(n)), std::vector<std::atomic<int>>(64), {}, std::min(most, threads.workers())};
            threads.parallel_for(
                n, most,
                [](void* arg, std::int64_t begin, std::int64_t end, std::uint32_t worker) {
                    auto& s = *static_cast<State*>(arg);
                    if (worker >= s.limit || s.holders[worker].fetch_add(1) != 0) ++s.wrong;
                    for (std::int64_t i = begin; i < end; ++i) ++s.visits[static_cast<std::size_t>(i)];
                    if (worker < s.limit) s.holders[worker].fetch_sub(1);
                },
                &state);
            CHECK(state.wrong == 0);
            for (const auto& visits : state.visits) CHECK(visits == 1);
        }
    }
}
