// rocforge.h with owners and exceptions, header-only. Adds no decision of its own: each function is one call of the C API, and a code other
// than RF_OK becomes a rocforge::Exception.
#ifndef ROCFORGE_ROCFORGE_HPP
#define ROCFORGE_ROCFORGE_HPP

#include <rocforge/rocforge.h>

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rocforge {

class Exception : public std::runtime_error {
public:
    explicit Exception(const rf_error& error) : std::runtime_error(error.message), code_(error.code), native_(error.native) {}
    rf_code code() const noexcept { return code_; }
    std::int32_t native() const noexcept { return native_; }

private:
    rf_code code_;
    std::int32_t native_;
};

namespace detail {
// Runs call(rf_error*) and throws unless it returns RF_OK.
template <class Call> void check(Call&& call) {
    rf_error error{};
    error.struct_size = sizeof error;
    const rf_code code = call(&error);
    if (code == RF_OK) return;
    error.code = code;
    throw Exception(error);
}
template <class Struct> Struct sized() {
    Struct out{};
    out.struct_size = sizeof out;
    return out;
}
}  // namespace detail

inline constexpr rf_dtype f32{RF_T_FLOAT, 32, 1}, f16{RF_T_FLOAT, 16, 1}, bf16{RF_T_BFLOAT, 16, 1}, i32{RF_T_INT, 32, 1}, i64{RF_T_INT, 64, 1},
    boolean{RF_T_BOOL, 8, 1};

// rf_problem with rocforge_problem_init's values.
inline rf_problem problem() {
    rf_problem p;
    rocforge_problem_init(&p);
    return p;
}
// Dense contiguous self- or cross-attention; change fields and add RF_F_* bits as needed.
inline rf_problem dense_problem(rf_dtype dtype, std::int64_t batch, std::int64_t head_q, std::int64_t head_kv, std::int64_t seq_q,
                                std::int64_t seq_kv, std::int64_t dim) {
    rf_problem p;
    rocforge_problem_dense(&p, dtype, batch, head_q, head_kv, seq_q, seq_kv, dim);
    return p;
}
inline rf_args args(const void* q, const void* k, const void* v, void* out) {
    rf_args a = detail::sized<rf_args>();
    a.q = q, a.k = k, a.v = v, a.out = out;
    return a;
}

// A plan: shared by copies, immutable, from any thread.
class Plan {
public:
    explicit Plan(rocforge_plan_t* owned) : plan_(owned, rocforge_plan_release) {}
    void forward(const rf_args& call) const {
        detail::check([&](rf_error* e) { return rocforge_forward(plan_.get(), &call, e); });
    }
    rocforge_plan_details describe() const {
        auto out = detail::sized<rocforge_plan_details>();
        rocforge_plan_describe(plan_.get(), &out);
        return out;
    }
    const rocforge_plan_t* get() const noexcept { return plan_.get(); }

private:
    std::shared_ptr<rocforge_plan_t> plan_;
};

// What selection decided, and why not the others.
class Choice {
public:
    explicit Choice(rocforge_choice* owned) : choice_(owned, rocforge_choice_release) {}
    rocforge_choice_info describe() const {
        auto out = detail::sized<rocforge_choice_info>();
        rocforge_choice_describe(choice_.get(), &out);
        return out;
    }
    std::vector<rocforge_candidate> candidates() const {
        std::vector<rocforge_candidate> out;
        for (auto each = detail::sized<rocforge_candidate>();
             rocforge_choice_candidate(choice_.get(), static_cast<std::uint32_t>(out.size()), &each) == RF_OK;)
            out.push_back(each);
        return out;
    }
    std::vector<rf_reason> reasons(std::uint32_t candidate) const {
        std::vector<rf_reason> out;
        for (auto each = detail::sized<rf_reason>();
             rocforge_choice_reason(choice_.get(), candidate, static_cast<std::uint32_t>(out.size()), &each) == RF_OK;)
            out.push_back(each);
        return out;
    }
    // Throws with every reason where no backend was chosen.
    Plan plan() const {
        rocforge_plan_t* plan = nullptr;
        detail::check([&](rf_error* e) { return rocforge_plan_choice(choice_.get(), &plan, e); });
        return Plan(plan);
    }

private:
    std::unique_ptr<rocforge_choice, void (*)(rocforge_choice*)> choice_;
};

// ---- A device's memory, for hosts without a GPU runtime of their own

namespace detail {
// What a device made: goes back to it at the end of this, and keeps it open until then.
template <void (*GiveBack)(rocforge_device_t*, void*)> class Made {
public:
    Made() = default;
    Made(std::shared_ptr<rocforge_device_t> device, void* made) noexcept : device_(std::move(device)), made_(made) {}
    Made(Made&& other) noexcept : device_(std::move(other.device_)), made_(std::exchange(other.made_, nullptr)) {}
    Made& operator=(Made&& other) noexcept {
        std::swap(device_, other.device_);
        std::swap(made_, other.made_);
        return *this;
    }
    ~Made() { GiveBack(device_.get(), made_); }
    void* get() const noexcept { return made_; }

private:
    std::shared_ptr<rocforge_device_t> device_;
    void* made_ = nullptr;
};
}  // namespace detail
using DeviceMemory = detail::Made<rocforge_device_release>;
using Stream = detail::Made<rocforge_stream_destroy>;
using Mark = detail::Made<rocforge_mark_destroy>;
using Graph = detail::Made<rocforge_graph_destroy>;

// A device as one backend lends it; shared by copies. A stream of nullptr is the device's default stream.
class Device {
public:
    explicit Device(rocforge_device_t* owned) : device_(owned, rocforge_device_close) {}

    DeviceMemory allocate(std::uint64_t bytes) const {
        return make<DeviceMemory>([&](void** made, rf_error* e) { return rocforge_device_allocate(get(), bytes, made, e); });
    }
    void to_device(void* to, const void* from_host, std::uint64_t bytes, void* stream = nullptr) const {
        detail::check([&](rf_error* e) { return rocforge_copy_to_device(get(), to, from_host, bytes, stream, e); });
    }
    void to_host(void* to_host, const void* from, std::uint64_t bytes, void* stream = nullptr) const {
        detail::check([&](rf_error* e) { return rocforge_copy_to_host(get(), to_host, from, bytes, stream, e); });
    }
    Stream stream() const {
        return make<Stream>([&](void** made, rf_error* e) { return rocforge_stream_create(get(), made, e); });
    }
    void synchronize(void* stream = nullptr) const {
        detail::check([&](rf_error* e) { return rocforge_stream_synchronize(get(), stream, e); });
    }
    Mark mark() const {
        return make<Mark>([&](void** made, rf_error* e) { return rocforge_mark_create(get(), made, e); });
    }
    void record(const Mark& mark, void* stream = nullptr) const {
        detail::check([&](rf_error* e) { return rocforge_mark_record(get(), mark.get(), stream, e); });
    }
    double elapsed_us(const Mark& first, const Mark& second) const {
        double us = 0;
        detail::check([&](rf_error* e) { return rocforge_mark_elapsed_us(get(), first.get(), second.get(), &us, e); });
        return us;
    }
    void begin_graph(const Stream& stream) const {
        detail::check([&](rf_error* e) { return rocforge_graph_begin(get(), stream.get(), e); });
    }
    Graph end_graph(const Stream& stream) const {
        return make<Graph>([&](void** made, rf_error* e) { return rocforge_graph_end(get(), stream.get(), made, e); });
    }
    void replay(const Graph& graph, void* stream = nullptr) const {
        detail::check([&](rf_error* e) { return rocforge_graph_replay(get(), graph.get(), stream, e); });
    }
    rocforge_device_t* get() const noexcept { return device_.get(); }

private:
    template <class Handle, class Call> Handle make(Call&& call) const {
        void* made = nullptr;
        detail::check([&](rf_error* e) { return call(&made, e); });
        return Handle(device_, made);
    }
    std::shared_ptr<rocforge_device_t> device_;
};

class Context {
public:
    explicit Context(const char* config = nullptr, const rocforge_hooks* hooks = nullptr) : context_(open(config, hooks), rocforge_close) {}

    void load(const char* file) {
        detail::check([&](rf_error* e) { return rocforge_load(get(), file, e); });
    }
    void add(const rf_backend_api& api) {
        detail::check([&](rf_error* e) { return rocforge_register(get(), &api, e); });
    }
    void set_default(const char* backend) {
        detail::check([&](rf_error* e) { return rocforge_set_default(get(), backend, e); });
    }

    rf_device device(const char* name = nullptr, const char* backend = nullptr) const {
        auto out = detail::sized<rf_device>();
        detail::check([&](rf_error* e) { return rocforge_find_device(get(), name, backend, &out, e); });
        return out;
    }
    // Throws with RF_UNSUPPORTED where the backend computes in host memory or lends none.
    Device open_device(const rf_device& device, const char* backend) const {
        rocforge_device_t* opened = nullptr;
        detail::check([&](rf_error* e) { return rocforge_device_open(get(), &device, backend, &opened, e); });
        return Device(opened);
    }
    std::vector<rocforge_plugin_info> plugins() const { return all<rocforge_plugin_info>(rocforge_plugin); }
    std::vector<rocforge_backend_info> backends() const { return all<rocforge_backend_info>(rocforge_backend); }
    std::vector<rocforge_setting> config() const { return all<rocforge_setting>(rocforge_config); }
    std::vector<rocforge_place> config_files() const { return all<rocforge_place>(rocforge_config_file); }
    std::vector<rocforge_place> searched() const { return all<rocforge_place>(rocforge_searched); }

    // A choice also where every backend refuses: ask it for the reasons. Throws for an invalid problem or an unknown backend.
    Choice select(const rf_device& device, const rf_problem& problem, const char* backend = nullptr) const {
        rocforge_choice* choice = nullptr;
        detail::check([&](rf_error* e) {
            const rf_code code = rocforge_select(get(), &device, &problem, backend, &choice, e);
            return code == RF_UNSUPPORTED && choice ? rf_code{RF_OK} : code;
        });
        return Choice(choice);
    }
    std::vector<rf_kv_layout> kv_layouts(const rf_device& device, const rf_problem& problem) const {
        std::vector<rf_kv_layout> out;
        for (;;) {
            auto layout = detail::sized<rf_kv_layout>();
            rf_error error = detail::sized<rf_error>();
            const rf_code code = rocforge_kv_layout(get(), &device, &problem, static_cast<std::uint32_t>(out.size()), &layout, &error);
            if (code == RF_NOT_FOUND) return out;
            if (code != RF_OK) throw Exception(error);
            out.push_back(layout);
        }
    }
    Plan plan(const rf_device& device, const rf_problem& problem) const {
        rocforge_plan_t* plan = nullptr;
        detail::check([&](rf_error* e) { return rocforge_plan(get(), &device, &problem, &plan, e); });
        return Plan(plan);
    }
    void attention(const rf_device& device, const rf_problem& problem, const rf_args& call) const {
        detail::check([&](rf_error* e) { return rocforge_attention(get(), &device, &problem, &call, e); });
    }
    rocforge_context* get() const noexcept { return context_.get(); }

private:
    static rocforge_context* open(const char* config, const rocforge_hooks* hooks) {
        rocforge_context* context = nullptr;
        detail::check([&](rf_error* e) { return rocforge_open(config, hooks, &context, e); });
        return context;
    }
    template <class Struct> std::vector<Struct> all(rf_code (*next)(rocforge_context*, std::uint32_t, Struct*)) const {
        std::vector<Struct> out;
        for (auto each = detail::sized<Struct>(); next(get(), static_cast<std::uint32_t>(out.size()), &each) == RF_OK;) out.push_back(each);
        return out;
    }
    std::unique_ptr<rocforge_context, void (*)(rocforge_context*)> context_;
};

}  // namespace rocforge
#endif
