// The program on files, on the CPU and on a device that a stand-in plays: cases written as safetensors, run through `rocforge run`, the output read
// back and held to the oracle's tolerance.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <filesystem>
#include <sstream>
#include <thread>

#include "conformance/run.h"
#include "filter.h"
#include "program.h"
#include "safetensors.h"

using namespace rocforge::conformance;
using namespace rocforge::tests;

namespace {

const std::string kFolder = SCRATCH_FOLDER;

// Can `rocforge run` be asked for this case? It reads contiguous tensors, has no flag for an offset of the diagonal or for determinism, takes no
// scales of k and v, and rejects lengths outside the capacity, which the ABI clamps.
bool expressible(const Case& c) {
    constexpr rf_features kNoFlag = RF_F_KV_SCALES | RF_F_DETERMINISTIC;
    if ((c.features & kNoFlag) || !(c.features & RF_F_LSE) || c.diagonal != 0 || c.shift_elems != 0 || c.live_hints || c.spare_columns != 0)
        return false;
    if (c.layout != Layout::bhsd && c.layout != Layout::bshd) return false;
    if (!absent(c.out_type) && !same(c.out_type, c.type)) return false;
    for (const std::int64_t length : c.kv_lengths)
        if (length < 0 || length > c.seq_kv) return false;
    if ((c.features & RF_F_PAGED_KV) && c.seq_kv % c.page_size != 0) return false;  // in a file the capacity is whole pages
    // In a file the capacity of ragged sequences is the longest of them, which a mask's axes must match.
    return !((c.features & (RF_F_RAGGED_Q | RF_F_RAGGED_KV)) && (c.features & (RF_F_MASK_BOOL | RF_F_MASK_ADD)) && c.q_lengths.empty());
}

std::string file_type(rf_dtype type) {
    if (same(type, kBool)) return "BOOL";
    std::string name = name_of(type);
    for (char& each : name) each = static_cast<char>(std::toupper(each));
    return name;
}

// A tensor's elements in its layout's own order of axes, which these layouts store contiguously; axes of stride 0 become extents of 1.
FileTensor file_tensor(const rf_tensor& t, const void* data, Layout layout) {
    FileTensor f{file_type(t.dtype), {}, {}};
    std::array<int, 4> order{0, 1, 2, 3};
    if (layout == Layout::bshd) order = {0, 2, 1, 3};
    std::int64_t elements = 1;
    for (const int axis : order) {
        f.shape.push_back(t.stride[axis] == 0 ? 1 : t.shape[axis]);
        elements *= f.shape.back();
    }
    const auto* bytes = static_cast<const std::byte*>(data);
    f.data.assign(bytes, bytes + elements * bytes_of(t.dtype));
    return f;
}

FileTensor file_list(const rf_dtype type, const void* data, std::vector<std::int64_t> shape) {
    std::int64_t elements = 1;
    for (const std::int64_t extent : shape) elements *= extent;
    const auto* bytes = static_cast<const std::byte*>(data);
    return {file_type(type), std::move(shape), {bytes, bytes + elements * bytes_of(type)}};
}

FileTensors file_of(const Case& c, const rf_problem& p, const rf_args& a) {
    FileTensors f;
    f["q"] = file_tensor(p.q, a.q, c.layout);
    f["k"] = file_tensor(p.k, a.k, c.layout);
    f["v"] = file_tensor(p.v, a.v, c.layout);
    if (a.mask) {
        FileTensor& mask = f["mask"] = file_tensor(p.mask, a.mask, Layout::bhsd);
        while (mask.shape.size() > 1 && mask.shape.front() == 1) mask.shape.erase(mask.shape.begin());  // broadcasting aligns to the right
    }
    if (a.alibi_slopes) f["alibi_slopes"] = file_list(kF32, a.alibi_slopes, {c.head_q});
    if (a.sink) f["sink"] = file_list(kF32, a.sink, {c.head_q});
    if (a.kv_lengths) f["kv_lens"] = file_list(p.index_dtype, a.kv_lengths, {c.batch});
    if (a.cu_seqlens_q) f["cu_seqlens_q"] = file_list(p.index_dtype, a.cu_seqlens_q, {c.batch + 1});
    if (a.cu_seqlens_kv) f["cu_seqlens_kv"] = file_list(p.index_dtype, a.cu_seqlens_kv, {c.batch + 1});
    if (a.block_table) f["block_table"] = file_list(p.index_dtype, a.block_table, {c.batch, p.block_table_stride});
    return f;
}

std::string number(double value) {
    std::ostringstream text;
    text.precision(9);  // enough for any float
    text << value;
    return text.str();
}

std::vector<std::string> flags_of(const Case& c, const rf_problem& p, const rf_args& a, std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--lse", "--scale=" + number(p.scale)});
    const auto has = [&](rf_features bit) { return (p.features & bit) != 0; };
    const char* const diagonal = has(RF_F_BOTTOM_RIGHT) ? "bottom-right" : "top-left";
    const auto add = [&](std::initializer_list<std::string> more) { flags.insert(flags.end(), more); };
    if (c.layout == Layout::bshd) add({"--layout", "bshd"});
    if (has(RF_F_CAUSAL))
        add({"--causal", diagonal});
    else if (has(RF_F_BOTTOM_RIGHT))
        add({"--align", diagonal});
    if (p.window_left >= 0) add({"--window-left", std::to_string(p.window_left)});
    if (p.window_right >= 0) add({"--window-right", std::to_string(p.window_right)});
    if (has(RF_F_SOFTCAP)) add({"--softcap", number(p.softcap)});
    if (has(RF_F_DROPOUT))
        add({"--dropout", number(p.dropout_p), "--seed", std::to_string(a.dropout_seed), "--offset", std::to_string(a.dropout_offset)});
    return flags;
}

// The files of a case, its run, and the verdict; "" when all is well, else what is wrong and how to see it again.
std::string verdict_of(const Case& c, std::size_t index, const std::vector<std::string>& where) {
    const Prepared prepared(c);
    const rf_problem& p = prepared.tensors.problem();
    const rf_args& a = prepared.tensors.args();
    const std::string stem = kFolder + "/" + std::to_string(index);
    std::vector<std::string> arguments{"run", stem + "-in.safetensors", stem + "-out.safetensors"};
    write_safetensors(arguments[1], file_of(c, p, a));
    for (const std::string& flag : flags_of(c, p, a, where)) arguments.push_back(flag);
    std::string command = "rocforge";
    for (const std::string& each : arguments) command += " " + each;

    const Ended ended = run_program(arguments, stem + ".log");
    if (ended.status != 0) return command + "\nended with " + std::to_string(ended.status) + ": " + ended.text;
    const FileTensors results = read_safetensors(arguments[2]);
    if (results.size() != 2 || !results.count("out") || !results.count("lse")) return command + "\nwrote other tensors than out and lse";
    const FileTensor &out = results.at("out"), &lse = results.at("lse"), want_out = file_tensor(p.out, a.out, c.layout);
    if (out.type != want_out.type || out.shape != want_out.shape || out.data.size() != want_out.data.size())
        return command + "\nout has another type or shape";
    if (lse.type != "F32" || lse.shape != std::vector<std::int64_t>{p.lse.shape[0], p.lse.shape[1], p.lse.shape[2]})
        return command + "\nlse has another type or shape";
    rf_args got = a;
    got.out = const_cast<std::byte*>(out.data.data());
    got.lse = const_cast<std::byte*>(lse.data.data());
    const Comparison compared = compare(prepared.expectation, p, got);
    if (!compared.passed) return command + "\n" + compared.where + "; tolerance " + number(compared.tolerance);
    for (const char* file : {"-in.safetensors", "-out.safetensors"}) std::filesystem::remove(stem + file);
    std::filesystem::remove(stem + ".log");
    return {};
}

// Each case as a file, run with the flags of `where`.
void run_files(const std::vector<Case>& cases, const std::vector<std::string>& where) {
    std::filesystem::remove_all(kFolder);
    std::filesystem::create_directories(kFolder);
    std::vector<std::string> wrong(cases.size());
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t n = next++; n < cases.size(); n = next++) {
            try {
                wrong[n] = verdict_of(cases[n], n, where);
            } catch (const std::exception& failure) { wrong[n] = failure.what(); }
        }
    };
    std::thread beside(work);  // a process each: two keep two processors busy
    work();
    beside.join();
    for (std::size_t n = 0; n < cases.size(); ++n) CHECK_MESSAGE(wrong[n].empty(), cases[n].name, ": ", wrong[n]);
    MESSAGE(cases.size() << " cases as files");
}

}  // namespace

TEST_CASE("rocforge run matches the oracle on files") {
    std::vector<Case> cases;
    for (Case& c : all_cases())
        if (wanted_case(c.name) && expressible(c)) cases.push_back(std::move(c));
    REQUIRE(cases.size() >= 60);
    run_files(cases, {"--backend", "cpu"});
}

TEST_CASE("rocforge run stages every kind of tensor for a device and back") {
    std::vector<Case> cases;
    for (Case& c : all_cases()) {
        const bool of_a_kind = c.name.starts_with("feature/") || c.name.starts_with("ragged/") || c.name.starts_with("empty/");
        if (of_a_kind && expressible(c) && !(c.features & RF_F_DROPOUT)) cases.push_back(std::move(c));
    }
    REQUIRE(cases.size() >= 30);
    run_files(cases, {"--backend", "stand_in_gpu", "--device", "cuda:0"});
}
