// Backends that load and fail later: each failure reaches the caller as a code and a message that names the backend, and nothing else breaks.
#include "world.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>

using namespace hostile;

namespace {

enum class Step { device, select, plan, forward, none };

struct Row {
    const char* backend;
    Step fails_at;
    rf_code code;  // RF_OK: any but RF_OK
    const char* words;
};

constexpr std::array kRows = {
    Row{"init_fails", Step::device, RF_NO_MEMORY, "init failed on purpose"},
    Row{"init_throws", Step::device, RF_INTERNAL, "init threw on purpose"},
    Row{"init_mute", Step::device, RF_INTERNAL, "init_mute"},
    Row{"no_device", Step::device, RF_UNAVAILABLE, "libhardware.so.1 not found"},
    Row{"supports_mute", Step::select, RF_UNSUPPORTED, ""},
    Row{"supports_broken", Step::select, RF_OK, ""},
    Row{"supports_null_reason", Step::select, RF_UNSUPPORTED, ""},
    Row{"plan_refuses", Step::plan, RF_INTERNAL, "refused after supports had agreed"},
    Row{"plan_null", Step::plan, RF_INTERNAL, "plan_null"},
    Row{"plan_mute", Step::plan, RF_INTERNAL, "plan_mute"},
    Row{"forward_throws", Step::forward, RF_INTERNAL, "forward threw on purpose"},
    Row{"forward_mute", Step::forward, RF_DEVICE, "forward_mute"},
    Row{"forward_endless", Step::forward, RF_DEVICE, "xxxx"},
    Row{"asks_undeclared", Step::none, RF_OK, ""},
    Row{"registers_late", Step::none, RF_OK, ""},
    Row{"supports_double", Step::none, RF_OK, ""},  // the verdict is the returned code; the reason beside it is logged
};

constexpr rf_dtype kF32{RF_T_FLOAT, 32, 1};

rf_device device_of(const Context& context, const char* backend) {
    rf_device device{};
    device.struct_size = sizeof device;
    REQUIRE(rocforge_device(context, backend, RF_DEVICE_CPU, 0, &device, nullptr) == RF_OK);
    return device;
}

// One tiny problem and its tensors.
struct Call {
    rf_problem problem;
    rf_args args{};
    std::array<float, 8> q{}, k{}, v{}, out{};

    Call() {
        rocforge_problem_dense(&problem, kF32, 1, 1, 1, 1, 1, 8);
        args.struct_size = sizeof args;
        args.q = q.data();
        args.k = k.data();
        args.v = v.data();
        args.out = out.data();
    }
};

struct Failure {
    Step step = Step::none;
    rf_code code = RF_OK;
    std::string message;
};

// All strings that refusals of a choice hold; reading them must be safe.
std::string reasons_of(const rocforge_choice* choice) {
    std::string text;
    rocforge_candidate candidate{};
    candidate.struct_size = sizeof candidate;
    rf_reason reason{};
    reason.struct_size = sizeof reason;
    for (std::uint32_t c = 0; choice && rocforge_choice_candidate(choice, c, &candidate) == RF_OK; ++c)
        for (std::uint32_t r = 0; rocforge_choice_reason(choice, c, r, &reason) == RF_OK; ++r)
            for (const char* part : {reason.field, reason.have, reason.need, reason.hint}) text += std::string(part) + ";";
    return text;
}

// Walks from device to forward and tells where it ended.
Failure walk(const Context& context, const char* backend) {
    rf_error error{sizeof(rf_error), RF_OK, 0, 0, ""};
    rf_device device{};
    device.struct_size = sizeof device;
    if (const rf_code code = rocforge_device(context, backend, RF_DEVICE_CPU, 0, &device, &error)) return {Step::device, code, error.message};
    Call call;
    rocforge_choice* choice = nullptr;
    rf_code code = rocforge_select(context, &device, &call.problem, backend, &choice, &error);
    Failure failure{Step::select, code, error.message + reasons_of(choice)};
    if (code == RF_OK) {
        rocforge_plan_t* plan = nullptr;
        code = rocforge_plan_choice(choice, &plan, &error);
        failure = {Step::plan, code, error.message};
        if (code == RF_OK) {
            code = rocforge_forward(plan, &call.args, &error);
            failure = {code == RF_OK ? Step::none : Step::forward, code, error.message};
            rocforge_plan_release(plan);
        }
    }
    rocforge_choice_release(choice);
    return failure;
}

}  // namespace

TEST_SUITE("runtime") {
    TEST_CASE("a backend's failure reaches the caller where it happened, with its name or its words") {
        const Folder folder;
        folder.add_plugin("at_run_time");
        folder.add_plugin("good");
        const Context context(folder.path());
        REQUIRE(contains(context.backends(), "good"));
        REQUIRE(contains(context.backends(), kRows.back().backend));
        for (const Row& row : kRows) {
            SUBCASE(row.backend) {
                const Failure failure = walk(context, row.backend);
                CHECK(static_cast<int>(failure.step) == static_cast<int>(row.fails_at));
                if (row.code != RF_OK) CHECK_MESSAGE(failure.code == row.code, failure.message);
                if (row.fails_at != Step::none) CHECK(failure.code != RF_OK);
                if (row.fails_at != Step::none) CHECK_FALSE(failure.message.empty());
                CHECK_MESSAGE(contains(failure.message, row.words), "said: " << failure.message);
                CHECK(walk(context, "good").step == Step::none);
            }
        }
    }

    TEST_CASE("a refusal without a reason is still shown with one") {
        const Folder folder;
        folder.add_plugin("at_run_time");
        folder.add_plugin("good");
        const Context context(folder.path());
        const rf_device device = device_of(context, "good");
        const Call call;
        rocforge_choice* choice = nullptr;
        REQUIRE(rocforge_select(context, &device, &call.problem, "supports_mute", &choice, nullptr) == RF_UNSUPPORTED);
        rocforge_candidate candidate{};
        candidate.struct_size = sizeof candidate;
        bool seen = false;
        for (std::uint32_t c = 0; rocforge_choice_candidate(choice, c, &candidate) == RF_OK; ++c) {
            if (std::strcmp(candidate.name, "supports_mute") != 0) continue;
            seen = true;
            CHECK(candidate.supported == 0);
            CHECK(candidate.reasons >= 1);
        }
        CHECK(seen);
        rocforge_choice_release(choice);
    }

    TEST_CASE("the matrix of support says which backend broke its contract when it was asked") {
        const Folder folder;
        folder.add_plugin("at_run_time");
        const Outcome outcome =
            run({"explain", "--matrix", "--device", "cpu", "--json", "--log", "error"}, {{"ROCFORGE_PLUGIN_PATH", folder.path().string()}});
        CHECK(outcome.status == 0);
        for (const char* said : {"supports_mute on cpu broke its contract", "supports_broken on cpu broke its contract", "supports is RF_INTERNAL"})
            CHECK_MESSAGE(contains(outcome.err, said), outcome.err);
        CHECK_FALSE(contains(outcome.err, "forward_mute"));  // its answers are sound
    }

    TEST_CASE("the matrix of support tries each type that K, V and out may have") {
        const Folder folder;
        folder.add_plugin("at_run_time");
        const Variables variables{{"ROCFORGE_PLUGIN_PATH", folder.path().string()}};
        const Outcome outcome = run({"explain", "--matrix", "--device", "cpu", "--json"}, variables);
        CHECK(outcome.status == 0);
        const std::size_t at = outcome.out.find("\"types_of_16_bits\"");
        REQUIRE(at != std::string::npos);
        CHECK(contains(outcome.out.substr(at, outcome.out.find('}', at) - at), "\"features\":[\"kv_dtype\",\"out_dtype\"]"));
        const Outcome asked =
            run({"explain", "--backend", "types_of_16_bits", "--q", "1x2x3x8", "--device", "cpu", "--dtype", "f16", "--kv-dtype", "bf16"}, variables);
        CHECK_MESSAGE(asked.status == 0, asked.err);
        for (const std::vector<std::string>& wrong :
             {std::vector<std::string>{"--dtype", "f16"}, {"--q", "1x1x1x8"}, {"--lse"}, {"--backend", "good"}}) {
            std::vector<std::string> words{"explain", "--matrix"};
            words.insert(words.end(), wrong.begin(), wrong.end());
            const Outcome refused = run(words, variables);
            CHECK(refused.status == 2);
            CHECK_MESSAGE(contains(refused.err, wrong[0] + " does not apply to --matrix"), refused.err);
        }
    }

    TEST_CASE("a plan that asks for all memory there is fails the one-call form and nothing else") {
        const Folder folder;
        folder.add_plugin("at_run_time");
        folder.add_plugin("good");
        const Context context(folder.path());
        const rf_device device = device_of(context, "plan_greedy");
        const Call call;
        REQUIRE(rocforge_set_default(context, "plan_greedy", nullptr) == RF_OK);
        rf_error error{sizeof(rf_error), RF_OK, 0, 0, ""};
        CHECK(rocforge_attention(context, &device, &call.problem, &call.args, &error) != RF_OK);
        CHECK_FALSE(std::string(error.message).empty());
        REQUIRE(rocforge_set_default(context, "good", nullptr) == RF_OK);
        CHECK(rocforge_attention(context, &device, &call.problem, &call.args, nullptr) == RF_OK);
    }

    TEST_CASE("a failure without a message does not repeat the message of an earlier one") {
        const Folder folder;
        folder.add_plugin("at_run_time");
        const Context context(folder.path());
        const rf_device device = device_of(context, "forward_mute");
        const Call call;
        rocforge_choice* choice = nullptr;
        rocforge_plan_t* plan = nullptr;
        REQUIRE(rocforge_select(context, &device, &call.problem, "forward_mute", &choice, nullptr) == RF_OK);
        REQUIRE(rocforge_plan_choice(choice, &plan, nullptr) == RF_OK);
        rf_error error{sizeof(rf_error), RF_DEVICE, 0, 0, "an earlier failure"};
        CHECK(rocforge_forward(plan, &call.args, &error) == RF_DEVICE);
        CHECK_MESSAGE(!contains(error.message, "an earlier failure"), std::string(error.message));
        rocforge_plan_release(plan);
        rocforge_choice_release(choice);
    }

    TEST_CASE("list shows an unavailable backend with its reason") {
        const Folder folder;
        folder.add_plugin("at_run_time");
        const Outcome list = run({"list", "--json"}, {{"ROCFORGE_PLUGIN_PATH", folder.path().string()}});
        CHECK(list.status == 0);
        for (const char* reason : {"libhardware.so.1 not found", "init failed on purpose", "init threw on purpose"})
            CHECK(contains(list.out, reason));
    }

    TEST_CASE("tables that the host registers are checked slot by slot") {
        const Folder folder;
        folder.add_plugin("good");
        const Context context(folder.path());
        rf_error error{sizeof(rf_error), RF_OK, 0, 0, ""};
        CHECK(rocforge_register(context, nullptr, &error) == RF_INVALID);
        // Every slot is NULL: the first that is required is named.
        static constexpr rf_backend_api kEmpty{
            .struct_size = sizeof(rf_backend_api), .abi_minor = 0, .name = "empty", .version = "1", .vendor = "tests", .device_kind = RF_DEVICE_CPU};
        CHECK(rocforge_register(context, &kEmpty, &error) == RF_INVALID);
        CHECK_MESSAGE(contains(error.message, "init"), std::string(error.message));
        CHECK(context.backends() == "good");
    }
}
