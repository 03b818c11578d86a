// The gpu backend: every feature of attention's definition on AMD and NVIDIA GPUs, for what flash_attention refuses. This file names its limits and
// its kernels; kernels/reference has the math, plugins/adapter the rest.
#include <rocforge/plugin.hpp>

#include "kernels/reference/reference.h"
#include "plugins/adapter/gpu_plugin.h"

namespace rocforge {
namespace {

namespace reference = kernels::reference;

constexpr std::int64_t kMaxCount = (std::int64_t{1} << 31) - 1;  // Philox counts rows and keys in 32 bits

constexpr adapter::Limits kLimits{.types = adapter::kFloats,
                                  .max_dim = reference::kMaxDim,
                                  .max_dim_v = reference::kMaxDimV,
                                  .dim_multiple = 1,
                                  .max_batch = kMaxCount,
                                  .max_heads = kMaxCount,
                                  .max_seq = kMaxCount,
                                  .max_page = kMaxCount,
                                  .hint = "use another backend",
                                  .type_hint = "convert the tensor, or use another backend"};

constexpr rf_features kFeatures = RF_F_CAUSAL | RF_F_BOTTOM_RIGHT | RF_F_WINDOW | RF_F_GROUPED_HEADS | RF_F_MASK_BOOL | RF_F_MASK_ADD | RF_F_ALIBI |
                                  RF_F_SOFTCAP | RF_F_SINK | RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_PAGED_KV | RF_F_LSE | RF_F_DIM_V | RF_F_DROPOUT |
                                  RF_F_DETERMINISTIC | RF_F_KV_DTYPE | RF_F_KV_SCALES | RF_F_RAGGED_KV | RF_F_DIAGONAL | RF_F_OUT_DTYPE;

constexpr adapter::GpuPlugin kGpu{"gpu", kFeatures, kLimits, reference::choose, reference::code_objects};

}  // namespace
}  // namespace rocforge

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return rocforge::adapter::register_gpu_plugin<rocforge::kGpu>(host); }
