// Any bytes as an attention problem through the public API: selection answers, every refusal has a reason, and a plan agrees with the choice. Each
// byte sets one field to a small or an extreme value, so that many inputs are nearly sound; what follows them is copied over the struct as it is.
#include "fuzz.hpp"

#include <rocforge/rocforge.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace {

rocforge_context* open_context() {
    setenv("ROCFORGE_PLUGIN_PATH", ROCFORGE_FUZZ_PLUGINS, 1);
    rocforge_context* context = nullptr;
    rf_error error{sizeof(rf_error), RF_OK, 0, 0, ""};
    if (rocforge_open(nullptr, nullptr, &context, &error) != RF_OK) std::fprintf(stderr, "%s\n", error.message);
    fuzz::demand(context != nullptr, "a context opens");
    return context;
}

// Reads bytes until there are none, then zeros.
class Reader {
public:
    Reader(const std::uint8_t* data, std::size_t bytes) : data_(data), bytes_(bytes) {}
    std::uint8_t byte() {
        if (bytes_ == 0) return 0;
        --bytes_;
        return *data_++;
    }
    std::int64_t number() {
        static constexpr std::array<std::int64_t, 16> kNumbers{0,  1,   2,   3,    4,         8,         16,        64,
                                                               65, 128, 256, 1024, 1ll << 31, 1ll << 40, INT64_MAX, INT64_MIN};
        return kNumbers[byte() % kNumbers.size()];
    }
    rf_dtype dtype() {
        static constexpr std::array<rf_dtype, 8> kTypes{{{RF_T_FLOAT, 32, 1},
                                                         {RF_T_FLOAT, 16, 1},
                                                         {RF_T_BFLOAT, 16, 1},
                                                         {RF_T_BOOL, 8, 1},
                                                         {RF_T_INT, 32, 1},
                                                         {RF_T_INT, 64, 1},
                                                         {RF_T_F8_E4M3FN, 8, 1},
                                                         {0, 0, 0}}};
        return kTypes[byte() % kTypes.size()];
    }
    // What is left, over any part of the problem.
    void overwrite(rf_problem& problem) {
        const std::size_t at = std::size_t{byte()} * 4 % sizeof problem, count = std::min(bytes_, sizeof problem - at);
        if (count) std::memcpy(reinterpret_cast<char*>(&problem) + at, data_, count);
    }

private:
    const std::uint8_t* data_;
    std::size_t bytes_;
};

rf_problem problem_of(Reader& reader) {
    rf_problem problem;
    const std::int64_t batch = reader.number(), head_q = reader.number(), head_kv = reader.number(), seq_q = reader.number(),
                       seq_kv = reader.number();
    rocforge_problem_dense(&problem, reader.dtype(), batch, head_q, head_kv, seq_q, seq_kv, reader.number());
    problem.features = reader.byte() | std::uint64_t{reader.byte()} << 8 | std::uint64_t{reader.byte()} << 16;
    rf_tensor* const tensors[] = {&problem.q, &problem.k, &problem.v, &problem.out, &problem.mask, &problem.lse, &problem.k_scale, &problem.v_scale};
    for (std::uint8_t changes = reader.byte() % 8; changes > 0; --changes) {
        rf_tensor& tensor = *tensors[reader.byte() % std::size(tensors)];
        tensor.dtype = reader.dtype();
        tensor.shape[reader.byte() % 4] = reader.number();
        tensor.stride[reader.byte() % 4] = reader.number();
    }
    if (problem.features & RF_F_LSE) problem.lse = rocforge_tensor({RF_T_FLOAT, 32, 1}, batch, head_q, seq_q, 1);
    if (problem.features & RF_F_WINDOW) problem.window_left = reader.number();
    if (problem.features & RF_F_PAGED_KV) problem.page_size = reader.number();
    if (problem.features & (RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_RAGGED_KV)) problem.index_dtype = reader.dtype();
    if (reader.byte() % 4 == 0) reader.overwrite(problem);
    problem.struct_size = sizeof problem;
    return problem;
}

// Every candidate of the device's kind that does not run the problem says why.
void check_reasons(const rocforge_choice* choice) {
    rocforge_candidate candidate{};
    candidate.struct_size = sizeof candidate;
    for (std::uint32_t c = 0; rocforge_choice_candidate(choice, c, &candidate) == RF_OK; ++c) {
        fuzz::demand((candidate.supported != 0) == (candidate.reasons == 0), "a candidate either supports the problem or has a reason");
        rf_reason reason{};
        reason.struct_size = sizeof reason;
        for (std::uint32_t r = 0; r < candidate.reasons; ++r) {
            fuzz::demand(rocforge_choice_reason(choice, c, r, &reason) == RF_OK, "a counted reason is there");
            fuzz::demand(reason.field && reason.have && reason.need && reason.hint, "a reason's strings are there");
        }
    }
}

// Problems that are too large to plan are left at the choice: a backend may size its plan by them.
bool small(const rf_problem& problem) {
    const std::int64_t limit = 4096;
    return problem.batch <= limit && problem.max_seq_q <= limit && problem.max_seq_kv <= limit;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t bytes) {
    static rocforge_context* const context = open_context();
    Reader reader(data, bytes);
    rf_device device{};
    device.struct_size = sizeof device;
    rf_error error{sizeof(rf_error), RF_OK, 0, 0, ""};
    fuzz::demand(rocforge_find_device(context, "cpu", nullptr, &device, &error) == RF_OK, "there is a CPU device");
    const rf_problem problem = problem_of(reader);
    rocforge_choice* choice = nullptr;
    const rf_code code = rocforge_select(context, &device, &problem, nullptr, &choice, &error);
    fuzz::demand((code == RF_OK || code == RF_UNSUPPORTED) == (choice != nullptr), "a verdict comes with its choice");
    if (code != RF_OK) fuzz::demand(error.message[0] != '\0', "a refusal has a message");
    if (choice) check_reasons(choice);
    if (code == RF_OK && small(problem)) {
        rocforge_plan_t* plan = nullptr;
        const rf_code planned = rocforge_plan_choice(choice, &plan, &error);
        fuzz::demand(planned != RF_UNSUPPORTED, "plan refuses as unsupported only what supports refuses");
        fuzz::demand((planned == RF_OK) == (plan != nullptr), "a plan comes with RF_OK alone");
        rocforge_plan_release(plan);
    }
    if (code == RF_UNSUPPORTED) {
        rocforge_plan_t* plan = nullptr;
        fuzz::demand(rocforge_plan(context, &device, &problem, &plan, nullptr) == RF_UNSUPPORTED && !plan, "the verdict is the same without a sink");
    }
    rocforge_choice_release(choice);
    return 0;
}
