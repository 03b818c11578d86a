// The laws of devices with memory of their own: streams keep their order and do not meet, graphs replay without their plan, marks measure.
#include "laws.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

namespace rocforge::conformance {
namespace {

const LentDevice& lent(Subject& subject) {
    if (subject.on_host()) throw Skipped("computes in the host's memory");
    return subject.lent();
}

// A case on the device, ready to be called.
struct Ready {
    Ready(Subject& subject, const Case& c) : prepared(c) {
        std::string why;
        if (plan.make(subject.backend(), subject.device(), with_true_alignment(prepared.tensors.problem(), prepared.tensors.args()), why) != RF_OK)
            throw Broken(why);
        call = std::make_unique<StagedCall>(subject.lent(), prepared.tensors, plan);
    }
    void enqueue(void* stream) {
        std::string why;
        if (call->enqueue(plan, stream, why) != RF_OK) throw Broken(why);
    }
    void demand_right(void* stream, const std::string& when) {
        if (const std::string damage = call->download(stream); !damage.empty()) throw Broken(when + ": " + damage);
        const Comparison c = compare(prepared.expectation, prepared.tensors.problem(), prepared.tensors.args());
        if (!c.passed) throw Broken(when + ": " + c.where);
    }
    Prepared prepared;
    Plan plan;
    std::unique_ptr<StagedCall> call;
};

Case with_seed(Case c, std::uint64_t more) {
    c.seed += more;
    return c;
}

const Span& span_of(const Materialised& tensors, std::size_t args_offset) {
    return *std::find_if(tensors.spans().begin(), tensors.spans().end(), [&](const Span& s) { return s.args_offset == args_offset; });
}

// One call's out is the next one's q, on one stream, with nobody waiting in between.
void streams_keep_their_order(Subject& subject) {
    const LentDevice& device = lent(subject);
    bool ran = false;
    for (const Case& c : cases_that_run(subject)) {
        Ready first(subject, c), second(subject, with_seed(c, 1));
        const rf_problem& p = first.prepared.tensors.problem();
        if (!std::equal(p.q.shape, p.q.shape + 4, p.out.shape) || !std::equal(p.q.stride, p.q.stride + 4, p.out.stride) ||
            !same(p.q.dtype, p.out.dtype))
            continue;
        note(c.name);
        ran = true;
        const Lent stream = create_stream(device);
        first.call->upload(stream.get()), second.call->upload(stream.get());
        rf_args chained = second.call->args();
        chained.q = first.call->args().out;
        chained.stream = stream.get();
        first.enqueue(stream.get());
        std::string why;
        if (second.plan.forward(chained, why) != RF_OK) throw Broken(why);
        if (const std::string damage = second.call->download(stream.get()); !damage.empty()) throw Broken(damage);
        first.demand_right(stream.get(), "the first of two calls on a stream");
        // What the second call must have seen as q: what the first one gave.
        const Span &q = span_of(second.prepared.tensors, offsetof(rf_args, q)), &out = span_of(first.prepared.tensors, offsetof(rf_args, out));
        std::memcpy(q.base, out.base, static_cast<std::size_t>(std::min(q.bytes, out.bytes)));
        second.prepared.expectation = expect(second.prepared.tensors.problem(), second.prepared.tensors.args());
        const Comparison seen = compare(second.prepared.expectation, second.prepared.tensors.problem(), second.prepared.tensors.args());
        if (!seen.passed) throw Broken("the second of two calls on a stream, whose q is the first one's out: " + seen.where);
    }
    if (!ran) throw Skipped("no case that runs has an out in the form of its q");
}

void streams_do_not_meet(Subject& subject) {
    const LentDevice& device = lent(subject);
    for (const Case& c : cases_that_run(subject)) {
        note(c.name);
        Ready one(subject, c), two(subject, with_seed(c, 1));
        const Lent first = create_stream(device), second = create_stream(device);
        one.call->upload(first.get()), two.call->upload(second.get());
        for (int turn = 0; turn < 20; ++turn) one.enqueue(first.get()), two.enqueue(second.get());
        one.demand_right(first.get(), "beside calls on another stream");
        two.demand_right(second.get(), "beside calls on another stream");
    }
}

void host_threads_do_not_meet(Subject& subject) {
    const LentDevice& device = lent(subject);
    for (const Case& c : cases_that_run(subject)) {
        note(c.name);
        Ready mine(subject, c), beside(subject, with_seed(c, 1));
        std::string wrong[2];
        const auto work = [&](Ready& ready, std::string& why) {
            try {
                const Lent stream = create_stream(device);
                for (int turn = 0; turn < 10; ++turn) {
                    ready.prepared.tensors.poison();
                    ready.call->upload(stream.get());
                    // Both threads call by the one plan.
                    if (ready.call->enqueue(mine.plan, stream.get(), why) != RF_OK) return;
                    ready.demand_right(stream.get(), "two host threads share a plan");
                }
            } catch (const std::exception& failure) { why = failure.what(); }
        };
        std::thread other(work, std::ref(beside), std::ref(wrong[1]));
        work(mine, wrong[0]);
        other.join();
        for (const std::string& each : wrong)
            if (!each.empty()) throw Broken(each);
    }
}

void results_repeat_on_the_device(Subject& subject) {
    lent(subject);
    bool ran = false;
    for (const Case& c : cases_that_run(subject)) {
        note(c.name);
        Ready ready(subject, c);
        if (!(ready.plan.info().flags & RF_P_DETERMINISTIC)) continue;
        ran = true;
        std::vector<std::byte> first;
        for (int turn = 0; turn < (subject.full() ? 100 : 10); ++turn) {
            ready.prepared.tensors.poison();
            ready.call->upload(nullptr);
            ready.enqueue(nullptr);
            ready.demand_right(nullptr, "call " + std::to_string(turn + 1));
            const std::vector<std::byte> bytes = output_bytes(ready.prepared.tensors);
            if (turn == 0) first = bytes;
            if (bytes != first) throw Broken("call " + std::to_string(turn + 1) + " differs bitwise from the first, on the same inputs");
        }
    }
    if (!ran) throw Skipped("no plan is RF_P_DETERMINISTIC");
}

// A graph outlives its plan, and reads what its pointers point to when it is replayed.
void graphs_replay_without_their_plan(Subject& subject) {
    const LentDevice& device = lent(subject);
    if (!device.graph()) throw Skipped("lends no graphs (rocforge.graph/1)");
    bool ran = false;
    for (const Case& c : cases_that_run(subject)) {
        Ready ready(subject, c);
        if (!(ready.plan.info().flags & RF_P_CAPTURABLE)) continue;
        note(c.name);
        ran = true;
        const Lent stream = create_stream(device);
        ready.call->upload(stream.get());
        const Lent graph = captured(device, stream.get(), [&] { ready.enqueue(stream.get()); });
        ready.plan.free();
        Prepared other(with_seed(c, 1));
        for (int turn = 0; turn < 3; ++turn) {
            if (turn == 1) {  // other values of q behind the same pointer
                const Span &q = span_of(ready.prepared.tensors, offsetof(rf_args, q)), &from = span_of(other.tensors, offsetof(rf_args, q));
                std::memcpy(q.base, from.base, static_cast<std::size_t>(q.bytes));
                ready.prepared.tensors.seal();
                ready.prepared.expectation = expect(ready.prepared.tensors.problem(), ready.prepared.tensors.args());
            }
            ready.prepared.tensors.poison();
            ready.call->upload(stream.get());
            replay(device, graph, stream.get());
            ready.demand_right(stream.get(), "replay " + std::to_string(turn + 1) + " of a graph whose plan is freed");
        }
    }
    if (!ran) throw Skipped("no plan is RF_P_CAPTURABLE");
}

void marks_measure(Subject& subject) {
    const LentDevice& device = lent(subject);
    if (!device.timer()) throw Skipped("lends no clock (rocforge.timer/1)");
    Ready ready(subject, cases_that_run(subject).front());
    const Lent stream = create_stream(device), before = create_mark(device), between = create_mark(device), after = create_mark(device);
    ready.call->upload(stream.get());
    record(device, before, stream.get());
    ready.enqueue(stream.get());
    record(device, between, stream.get());
    for (int n = 0; n < 20; ++n) ready.enqueue(stream.get());
    record(device, after, stream.get());
    const double one = elapsed_us(device, before, between), all = elapsed_us(device, before, after);
    if (!(one >= 0) || !std::isfinite(one) || !(all >= one))
        throw Broken("marks around 1 call and around 21 give " + std::to_string(one) + " and " + std::to_string(all) + " us");
    const Lent never = create_mark(device);
    rf_error error = empty_error();
    double us = 0;
    if (device.timer()->elapsed_us(device.backend().self(), &device.device(), never.get(), after.get(), &us, &error) == RF_OK)
        throw Broken("elapsed_us takes a mark that was never recorded");
    if (error.message[0] == '\0') throw Broken("elapsed_us fails without a message");
}

void device_memory_keeps_what_it_is_given(Subject& subject) {
    const LentDevice& device = lent(subject);
    std::vector<std::byte> out(100000), in(out.size());
    for (std::size_t n = 0; n < out.size(); ++n) out[n] = static_cast<std::byte>(n * 31 % 251);
    const Lent one = allocate(device, out.size()), two = allocate(device, 1);
    if (reinterpret_cast<std::uintptr_t>(one.get()) % 256 || reinterpret_cast<std::uintptr_t>(two.get()) % 256)
        throw Broken("device memory is not 256-aligned");
    device.to_device(one.get(), out.data(), out.size(), nullptr);
    device.to_device(two.get(), in.data(), 1, nullptr);
    device.to_host(in.data(), one.get(), in.size(), nullptr);
    if (in != out) throw Broken("device memory gives back other bytes than it was given");
    // Sixteen times what there is; where the backend does not tell, 2^50 bytes.
    const std::uint64_t memory = subject.device().memory_bytes, too_many = memory ? 16 * memory : std::uint64_t{1} << 50;
    const std::string asked = "allocating " + std::to_string(too_many) + " bytes, more than the device has,";
    void* never = nullptr;
    rf_error error = empty_error();
    const rf_code code = device.memory()->allocate(device.backend().self(), &device.device(), too_many, &never, &error);
    if (code == RF_OK) throw Broken(asked + " succeeded");
    if (code != RF_NO_MEMORY) throw Broken(asked + " returned " + told(code, error) + "; that is RF_NO_MEMORY");
    if (error.message[0] == '\0') throw Broken(asked + " failed without a message");
}

}  // namespace

std::vector<Law> device_laws() {
    return {{"law/device-memory-keeps-what-it-is-given", device_memory_keeps_what_it_is_given},
            {"law/streams-keep-their-order", streams_keep_their_order},
            {"law/streams-do-not-meet", streams_do_not_meet},
            {"law/host-threads-do-not-meet", host_threads_do_not_meet},
            {"law/results-repeat-on-the-device", results_repeat_on_the_device},
            {"law/graphs-replay-without-their-plan", graphs_replay_without_their_plan},
            {"law/marks-measure", marks_measure}};
}

}  // namespace rocforge::conformance
