// The flash_attention backend: fused attention on the matrix units of AMD and NVIDIA GPUs. This file names its limits and its kernels; kernels/flash
// has the math, plugins/adapter the rest. Features without a bit below are refused by core; gpu runs all of them.
#include <rocforge/plugin.hpp>

#include "kernels/flash/flash.h"
#include "plugins/adapter/gpu_plugin.h"

namespace rocforge {
namespace {

namespace flash = kernels::flash;

constexpr std::int64_t kMaxDim = 256;
constexpr std::int64_t kMaxCount = (std::int64_t{1} << 31) - 1;

constexpr adapter::Limits kLimits{.types = adapter::kHalves,
                                  .max_dim = kMaxDim,
                                  .max_dim_v = kMaxDim,
                                  .dim_multiple = 8,
                                  .max_batch = kMaxCount,
                                  .max_heads = kMaxCount,
                                  .max_seq = flash::kMaxLength,
                                  .max_page = flash::kMaxLength,
                                  .max_rows = std::int64_t{1} << 40,  // so that what choose() counts fits into 64 bits
                                  .max_group_rows = flash::kMaxLength,
                                  .max_kv_stride = flash::kMaxKeyStride,
                                  .row_bytes = 16,  // rows are read and written 16 bytes at a time
                                  .hint = "use backend \"gpu\"",
                                  .type_hint = "convert the tensor, or use backend \"gpu\""};

constexpr rf_features kFeatures = RF_F_CAUSAL | RF_F_BOTTOM_RIGHT | RF_F_WINDOW | RF_F_GROUPED_HEADS | RF_F_MASK_BOOL | RF_F_MASK_ADD | RF_F_ALIBI |
                                  RF_F_SOFTCAP | RF_F_SINK | RF_F_KV_LENGTHS | RF_F_RAGGED_Q | RF_F_PAGED_KV | RF_F_LSE | RF_F_DIM_V |
                                  RF_F_DETERMINISTIC | RF_F_RAGGED_KV | RF_F_DIAGONAL;

constexpr adapter::GpuPlugin kFlash{"flash_attention", kFeatures, kLimits, flash::choose, flash::code_objects};

}  // namespace
}  // namespace rocforge

extern "C" rf_code rocforge_plugin_v1(const rf_host_api* host, rf_error*) { return rocforge::adapter::register_gpu_plugin<rocforge::kFlash>(host); }
