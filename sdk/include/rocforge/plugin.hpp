// C++20 sugar over plugin.h: an exception guard for every slot, a collector for refusals, and a table built from a class.
// Header-only and optional; the ABI stays plugin.h's. It decides nothing that plugin.h leaves open.
//
//   struct Mine {                                              // one object a context
//       struct Plan { void forward(const rf_args&) const; };   // throws rocforge::Failure
//       explicit Mine(const rf_host_api&);
//       rf_code device(std::int32_t index, rf_device&) const;  // RF_NOT_FOUND past the last
//       rf_code describe(std::string_view arch, rf_device&) const;
//       void supports(const rf_device&, const rf_problem&, rocforge::Reasons&) const;
//       rf_code kv_layout(const rf_device&, const rf_problem&, std::uint32_t index, rf_kv_layout&) const;
//       std::unique_ptr<Plan> plan(const rf_device&, const rf_problem&, std::uint32_t algo, rf_plan_info&) const;
//   };
//   static constexpr rf_backend_api kTable = rocforge::backend_table<Mine>({.name = "mine", ...});
//   extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
#ifndef ROCFORGE_PLUGIN_HPP
#define ROCFORGE_PLUGIN_HPP

#include <rocforge/plugin.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>

namespace rocforge {

// A failure on its way to the boundary, where guarded() turns it into a code and a message.
class Failure : public std::exception {
public:
    Failure(rf_code code, std::string message, std::int32_t native = 0) : message_(std::move(message)), code_(code), native_(native) {}
    const char* what() const noexcept override { return message_.c_str(); }
    rf_code code() const noexcept { return code_; }
    std::int32_t native() const noexcept { return native_; }

private:
    std::string message_;
    rf_code code_;
    std::int32_t native_;
};

// Writes code and message where the caller wants them; returns code. A message that is too long ends in "...".
inline rf_code fail(rf_error* error, rf_code code, std::string_view message, std::int32_t native = 0) noexcept {
    if (!error || error->struct_size < sizeof(rf_error)) return code;
    error->code = code;
    error->native = native;
    const std::size_t room = sizeof error->message - 1, length = std::min(message.size(), room);
    std::memcpy(error->message, message.data(), length);
    if (length < message.size()) std::memcpy(error->message + room - 3, "...", 3);
    error->message[length] = '\0';
    return code;
}

// Runs body, which returns an rf_code or throws; nothing thrown passes the boundary.
template <class Body> rf_code guarded(rf_error* error, Body&& body) noexcept {
    try {
        return body();
    } catch (const Failure& failure) { return fail(error, failure.code(), failure.what(), failure.native()); } catch (const std::bad_alloc&) {
        return fail(error, RF_NO_MEMORY, "out of host memory");
    } catch (const std::exception& e) { return fail(error, RF_INTERNAL, e.what()); } catch (...) {
        return fail(error, RF_INTERNAL, "an exception of unknown type");
    }
}

// "f32", "bf16", "i64", "bool"; "absent"; "type 10/8" for what has no such name.
inline std::string dtype_name(rf_dtype dtype) {
    const std::string bits = std::to_string(dtype.bits);
    switch (dtype.code) {
        case RF_T_INT:
            return dtype.bits ? "i" + bits : "absent";
        case RF_T_UINT:
            return "u" + bits;
        case RF_T_FLOAT:
            return "f" + bits;
        case RF_T_BFLOAT:
            return "bf" + bits;
        default:
            return dtype.code == RF_T_BOOL && dtype.bits == 8 ? "bool" : "type " + std::to_string(dtype.code) + "/" + bits;
    }
}

// Collects refusals for one supports() call. `if (reasons.enough()) return;` between costly checks: without a sink the first refusal decides.
class Reasons {
public:
    explicit Reasons(const rf_sink* sink) noexcept : sink_(sink) {}
    // The arguments are rf_reason's fields; hint is the way out ("" where there is none).
    void refuse(std::int32_t code, const std::string& field, const std::string& have, const std::string& need, const std::string& hint = {}) {
        refused_ = true;
        if (!sink_) return;
        const rf_reason reason{sizeof(rf_reason), code, field.c_str(), have.c_str(), need.c_str(), hint.c_str()};
        sink_->report(sink_->self, &reason);
    }
    // Refuses each of q, k, v and out that is not stored as `dtype`.
    void only_dtype(const rf_problem& p, rf_dtype dtype, const std::string& hint = {}) {
        const std::pair<const char*, rf_dtype> stored[] = {
            {"q.dtype", p.q.dtype}, {"k.dtype", p.k.dtype}, {"v.dtype", p.v.dtype}, {"out.dtype", p.out.dtype}};
        for (const auto& [field, have] : stored)
            if (have.code != dtype.code || have.bits != dtype.bits || have.lanes != dtype.lanes)
                refuse(RF_R_DTYPE, field, dtype_name(have), dtype_name(dtype), hint);
    }
    bool enough() const noexcept { return refused_ && !sink_; }
    rf_code verdict() const noexcept { return refused_ ? RF_UNSUPPORTED : RF_OK; }

private:
    const rf_sink* sink_;
    bool refused_ = false;
};

// What a table says before its slots.
struct BackendIdentity {
    const char* name;
    const char* version;
    const char* vendor;
    rf_features features;
    std::int32_t device_kind;
    std::uint32_t flags = 0;
    const rf_option* const* options = nullptr;
};

// RF_SANITIZER_* of this translation unit: GCC says so by macro, clang by __has_feature.
constexpr std::uint32_t built_with_sanitizer() {
#if defined(__SANITIZE_ADDRESS__)
    return RF_SANITIZER_ADDRESS;
#elif defined(__SANITIZE_THREAD__)
    return RF_SANITIZER_THREAD;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return RF_SANITIZER_ADDRESS;
#elif __has_feature(memory_sanitizer)
    return RF_SANITIZER_MEMORY;
#elif __has_feature(thread_sanitizer)
    return RF_SANITIZER_THREAD;
#else
    return RF_SANITIZER_NONE;
#endif
#else
    return RF_SANITIZER_NONE;
#endif
}

// *from as far as its maker compiled it, zeros behind that; struct_size is this header's. What a newer header appended is left out.
template <class Struct> Struct sized_copy(const Struct* from) noexcept {
    Struct copy{};
    std::memcpy(&copy, from, std::min<std::size_t>(from->struct_size, sizeof(Struct)));
    copy.struct_size = sizeof(Struct);
    return copy;
}
// Fills *to as far as its maker compiled it.
template <class Struct> void sized_assign(Struct* to, Struct value) noexcept {
    value.struct_size = to->struct_size;
    std::memcpy(to, &value, std::min<std::size_t>(value.struct_size, sizeof(Struct)));
}

// The slots: what the class sees are structs of its own header's size, whatever the core was built with.
namespace detail {
template <class B> B& self(rf_backend* b) { return *reinterpret_cast<B*>(b); }

template <class B> rf_code init(const rf_host_api* host, rf_backend** out, rf_error* error) {
    return guarded(error, [&] {
        *out = reinterpret_cast<rf_backend*>(new B(*host));
        return rf_code{RF_OK};
    });
}
template <class B> void shutdown(rf_backend* b) { delete &self<B>(b); }
template <class B> rf_code device(rf_backend* b, std::int32_t index, rf_device* out, rf_error* error) {
    return guarded(error, [&] {
        rf_device found = sized_copy(out);
        const rf_code code = self<B>(b).device(index, found);
        if (code == RF_OK) sized_assign(out, found);
        return code;
    });
}
template <class B> rf_code describe(rf_backend* b, const char* arch, rf_device* out) {
    return guarded(nullptr, [&] {
        rf_device found = sized_copy(out);
        const rf_code code = self<B>(b).describe(arch, found);
        if (code == RF_OK) sized_assign(out, found);
        return code;
    });
}
template <class B> rf_code supports(rf_backend* b, const rf_device* device, const rf_problem* problem, const rf_sink* sink) {
    return guarded(nullptr, [&] {
        Reasons reasons(sink);
        self<B>(b).supports(sized_copy(device), sized_copy(problem), reasons);
        return reasons.verdict();
    });
}
template <class B> rf_code kv_layout(rf_backend* b, const rf_device* device, const rf_problem* problem, std::uint32_t index, rf_kv_layout* out) {
    return guarded(nullptr, [&] {
        rf_kv_layout found = sized_copy(out);
        const rf_code code = self<B>(b).kv_layout(sized_copy(device), sized_copy(problem), index, found);
        if (code == RF_OK) sized_assign(out, found);
        return code;
    });
}
template <class B>
rf_code plan(rf_backend* b, const rf_device* device, const rf_problem* problem, std::uint32_t algo, rf_plan** out, rf_plan_info* info,
             rf_error* error) {
    return guarded(error, [&] {
        rf_plan_info found = sized_copy(info);
        auto made = self<B>(b).plan(sized_copy(device), sized_copy(problem), algo, found);
        if (!made) return fail(error, RF_INTERNAL, "plan() made no plan and gave no reason");
        sized_assign(info, found);
        *out = reinterpret_cast<rf_plan*>(made.release());
        return rf_code{RF_OK};
    });
}
template <class B> rf_code forward(const rf_plan* plan, const rf_args* args, rf_error* error) {
    return guarded(error, [&] {
        reinterpret_cast<const typename B::Plan*>(plan)->forward(sized_copy(args));
        return rf_code{RF_OK};
    });
}
template <class B> void plan_free(rf_plan* plan) { delete reinterpret_cast<typename B::Plan*>(plan); }
template <class B> const void* extension(rf_backend* b, const char* id) {
    if constexpr (requires(B & backend) { backend.extension(id); })
        return self<B>(b).extension(id);
    else
        return nullptr;
}
}  // namespace detail

template <class B> constexpr rf_backend_api backend_table(const BackendIdentity& id) {
    return {.struct_size = sizeof(rf_backend_api),
            .abi_minor = RF_ABI_MINOR,
            .name = id.name,
            .version = id.version,
            .vendor = id.vendor,
            .features = id.features,
            .flags = id.flags,
            .sanitizer = built_with_sanitizer(),
            .device_kind = id.device_kind,
            .reserved = 0,
            .options = id.options,
            .init = detail::init<B>,
            .shutdown = detail::shutdown<B>,
            .device = detail::device<B>,
            .describe = detail::describe<B>,
            .supports = detail::supports<B>,
            .kv_layout = detail::kv_layout<B>,
            .plan = detail::plan<B>,
            .forward = detail::forward<B>,
            .plan_free = detail::plan_free<B>,
            .extension = detail::extension<B>};
}

}  // namespace rocforge
#endif
