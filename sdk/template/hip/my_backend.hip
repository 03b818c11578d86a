// Backend my_backend for AMD GPUs: dense float32 attention by the textbook, one thread a row. It says no, with a reason, to everything else. It is
// linked to the HIP runtime that it was built with: a machine without that runtime refuses the file and says so in `rocforge list`.
#include <hip/hip_runtime.h>

#include <rocforge/plugin.hpp>

#include <string>
#include <vector>

namespace {

using rocforge::Failure;

void check(hipError_t status, const char* doing) {
    if (status == hipSuccess) return;
    (void)hipGetLastError();  // else the next call would report it again
    const rf_code code = status == hipErrorOutOfMemory ? RF_NO_MEMORY : status == hipErrorNoDevice ? RF_UNAVAILABLE : RF_DEVICE;
    throw Failure(code, std::string("my_backend: ") + doing + ": " + hipGetErrorName(status), status);
}

// The thread's current device, given back as it was found.
class Current {
public:
    explicit Current(int ordinal) {
        check(hipGetDevice(&before_), "hipGetDevice");
        check(hipSetDevice(ordinal), "hipSetDevice");
    }
    ~Current() { (void)hipSetDevice(before_); }
    Current(const Current&) = delete;
    Current& operator=(const Current&) = delete;

private:
    int before_ = 0;
};

struct Rows {
    const float *q, *k, *v;
    float *out, *lse;  // lse: NULL where nobody wants it
    rf_tensor q_shape, k_shape, v_shape, out_shape, lse_shape;
    std::int64_t rows, seq_q, seq_kv;
    float scale;
};

__device__ std::int64_t at(const rf_tensor& t, std::int64_t b, std::int64_t h, std::int64_t s) {
    return b * t.stride[0] + h * t.stride[1] + s * t.stride[2];
}

__device__ float dot(const float* a, const float* b, std::int64_t n) {
    float sum = 0;
    for (std::int64_t d = 0; d < n; ++d) sum += a[d] * b[d];
    return sum;
}

// Each score is computed twice, so that no workspace is needed.
__global__ void attend(Rows r) {
    const std::int64_t n = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    if (n >= r.rows) return;
    const std::int64_t heads = r.q_shape.shape[1], i = n % r.seq_q, h = n / r.seq_q % heads, b = n / r.seq_q / heads;
    const std::int64_t head_kv = h / (heads / r.k_shape.shape[1]), dim = r.q_shape.shape[3], dim_v = r.v_shape.shape[3];
    const float *q = r.q + at(r.q_shape, b, h, i), *k = r.k + at(r.k_shape, b, head_kv, 0), *v = r.v + at(r.v_shape, b, head_kv, 0);
    float *out = r.out + at(r.out_shape, b, h, i), largest = -INFINITY, sum = 0;
    for (std::int64_t j = 0; j < r.seq_kv; ++j) largest = fmaxf(largest, r.scale * dot(q, k + j * r.k_shape.stride[2], dim));
    for (std::int64_t d = 0; d < dim_v; ++d) out[d] = 0;  // what a row without keys keeps
    for (std::int64_t j = 0; j < r.seq_kv; ++j) {
        const float weight = expf(r.scale * dot(q, k + j * r.k_shape.stride[2], dim) - largest);
        sum += weight;
        for (std::int64_t d = 0; d < dim_v; ++d) out[d] += weight * v[j * r.v_shape.stride[2] + d];
    }
    for (std::int64_t d = 0; d < dim_v && r.seq_kv > 0; ++d) out[d] /= sum;
    if (r.lse) r.lse[at(r.lse_shape, b, h, i)] = largest + logf(sum);
}

struct Plan {
    rf_problem p;
    int ordinal;

    void forward(const rf_args& a) const {
        const Current current(ordinal);
        const Rows rows{static_cast<const float*>(a.q),
                        static_cast<const float*>(a.k),
                        static_cast<const float*>(a.v),
                        static_cast<float*>(a.out),
                        p.features & RF_F_LSE ? static_cast<float*>(a.lse) : nullptr,
                        p.q,
                        p.k,
                        p.v,
                        p.out,
                        p.lse,
                        p.batch * p.q.shape[1] * p.max_seq_q,
                        p.max_seq_q,
                        p.max_seq_kv,
                        p.scale};
        attend<<<dim3(static_cast<unsigned>((rows.rows + 63) / 64)), dim3(64), 0, static_cast<hipStream_t>(a.stream)>>>(rows);
        check(hipGetLastError(), "launch");
    }
};

// What CMakeLists.txt compiled for: "gfx90a,gfx942".
std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> words;
    for (std::size_t comma = 0; comma != std::string_view::npos; text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1))
        words.emplace_back(text.substr(0, comma = text.find(',')));
    return words;
}

// rocforge.memory/1, through which `rocforge run` and `rocforge verify` reach the device.
rf_code allocate(rf_backend*, const rf_device* device, std::uint64_t bytes, void** out, rf_error* error) {
    return rocforge::guarded(error, [&] {
        const Current current(device->ordinal);
        check(hipMalloc(out, bytes), "hipMalloc");
        return rf_code{RF_OK};
    });
}
void release(rf_backend*, const rf_device*, void* memory) { (void)hipFree(memory); }
rf_code copy(const rf_device* device, void* to, const void* from, std::uint64_t bytes, hipMemcpyKind kind, void* stream, rf_error* error) {
    return rocforge::guarded(error, [&] {
        const Current current(device->ordinal);
        check(hipMemcpyAsync(to, from, bytes, kind, static_cast<hipStream_t>(stream)), "hipMemcpyAsync");
        check(hipStreamSynchronize(static_cast<hipStream_t>(stream)), "hipStreamSynchronize");
        return rf_code{RF_OK};
    });
}
rf_code to_device(rf_backend*, const rf_device* device, void* to, const void* from, std::uint64_t bytes, void* stream, rf_error* error) {
    return copy(device, to, from, bytes, hipMemcpyHostToDevice, stream, error);
}
rf_code to_host(rf_backend*, const rf_device* device, void* to, const void* from, std::uint64_t bytes, void* stream, rf_error* error) {
    return copy(device, to, from, bytes, hipMemcpyDeviceToHost, stream, error);
}
rf_code stream_create(rf_backend*, const rf_device* device, void** out, rf_error* error) {
    return rocforge::guarded(error, [&] {
        const Current current(device->ordinal);
        hipStream_t made = nullptr;
        check(hipStreamCreateWithFlags(&made, hipStreamNonBlocking), "hipStreamCreateWithFlags");
        *out = made;
        return rf_code{RF_OK};
    });
}
void stream_destroy(rf_backend*, const rf_device*, void* stream) {
    if (stream) (void)hipStreamDestroy(static_cast<hipStream_t>(stream));
}
rf_code synchronize(rf_backend*, const rf_device* device, void* stream, rf_error* error) {
    return rocforge::guarded(error, [&] {
        const Current current(device->ordinal);
        check(hipStreamSynchronize(static_cast<hipStream_t>(stream)), "hipStreamSynchronize");
        return rf_code{RF_OK};
    });
}
constexpr rf_memory_api kMemory{sizeof(rf_memory_api), 0, allocate, release, to_device, to_host, stream_create, stream_destroy, synchronize};

class Backend {
public:
    using Plan = ::Plan;
    explicit Backend(const rf_host_api&) : archs_(split(MY_BACKEND_ARCHS)) {
        int count = 0;
        found_ = hipGetDeviceCount(&count);  // no GPU is no failure: device() tells
        for (int i = 0; i < count && found_ == hipSuccess; ++i) {
            hipDeviceProp_t properties{};
            if (hipGetDeviceProperties(&properties, i) == hipSuccess) devices_.push_back(properties);
        }
    }

    rf_code device(std::int32_t index, rf_device& out) const {
        check(found_, "hipGetDeviceCount");
        if (index < 0 || static_cast<std::size_t>(index) >= devices_.size()) return RF_NOT_FOUND;
        const hipDeviceProp_t& properties = devices_[static_cast<std::size_t>(index)];
        out.ordinal = index;
        out.arch = properties.gcnArchName;  // "gfx90a:sramecc+:xnack-"
        out.name = properties.name;
        out.memory_bytes = properties.totalGlobalMem;
        out.compute_units = static_cast<std::uint32_t>(properties.multiProcessorCount);
        out.wave_size = static_cast<std::uint32_t>(properties.warpSize);
        out.lds_bytes = static_cast<std::uint32_t>(properties.sharedMemPerBlock);
        return RF_OK;
    }
    rf_code describe(std::string_view arch, rf_device& out) const {
        const std::string* known = compiled_for(arch);
        if (!known) return RF_NOT_FOUND;
        out.arch = known->c_str();
        return RF_OK;
    }
    // Sees geometry alone, and reports every reason.
    void supports(const rf_device& device, const rf_problem& p, rocforge::Reasons& reasons) const {
        if (!compiled_for(device.arch ? device.arch : ""))
            reasons.refuse(RF_R_NOT_BUILT, "device.arch", device.arch ? device.arch : "", MY_BACKEND_ARCHS, "build with -DMY_BACKEND_ARCHS=...");
        reasons.only_dtype(p, {RF_T_FLOAT, 32, 1}, "use backend \"gpu\"");
        // Divided, not multiplied: extents reach 2^40.
        const std::int64_t most = std::int64_t{64} * INT32_MAX;
        if (p.batch > 0 && p.max_seq_q > 0 && p.q.shape[1] > most / p.batch / p.max_seq_q)
            reasons.refuse(RF_R_SHAPE, "q.shape", "too many rows", "at most " + std::to_string(most));
    }
    rf_code kv_layout(const rf_device&, const rf_problem&, std::uint32_t index, rf_kv_layout& out) const {
        if (index > 0) return RF_NOT_FOUND;
        out.kind = RF_KV_CONTIGUOUS;
        out.align = sizeof(float);
        for (std::uint8_t axis = 0; axis < 4; ++axis) out.order[axis] = axis;
        return RF_OK;
    }
    std::unique_ptr<Plan> plan(const rf_device& device, const rf_problem& p, std::uint32_t algo, rf_plan_info& info) const {
        if (algo > 0) throw Failure(RF_NOT_FOUND, "my_backend: there is one algorithm, 0");
        info.kernel = "textbook";
        info.flags = RF_P_DETERMINISTIC | RF_P_CAPTURABLE;
        return std::make_unique<Plan>(Plan{p, device.ordinal});
    }
    const void* extension(std::string_view id) const { return id == "rocforge.memory/1" ? &kMemory : nullptr; }

private:
    const std::string* compiled_for(std::string_view arch) const {
        for (const std::string& each : archs_)
            if (each == arch.substr(0, arch.find(':'))) return &each;
        return nullptr;
    }
    std::vector<std::string> archs_;
    hipError_t found_ = hipSuccess;
    std::vector<hipDeviceProp_t> devices_;
};

constexpr rf_backend_api kTable = rocforge::backend_table<Backend>({.name = "my_backend",
                                                                    .version = "0.1.0",
                                                                    .vendor = "the authors of my_backend",
                                                                    .features = RF_F_GROUPED_HEADS | RF_F_DIM_V | RF_F_LSE | RF_F_DETERMINISTIC,
                                                                    .device_kind = RF_DEVICE_ROCM});

}  // namespace

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return host->register_backend(host->self, &kTable); }
