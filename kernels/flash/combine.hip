// The kernels that combine decode's splits, one a storage type.
#include "kernels/flash/combine.h"

#if defined(RF_AMD) || defined(RF_NVIDIA)
RF_KERNEL(rocforge::kernels::flash::kCombineWaves* rocforge::device::kWaveSize, 1)
flash_combine_bf16(RF_KERNEL_PARAMETER rocforge::kernels::Call call) {
    rocforge::kernels::flash::combine<rocforge::matrix::Bf16>(rocforge::device::argument(call));
}
RF_KERNEL(rocforge::kernels::flash::kCombineWaves* rocforge::device::kWaveSize, 1)
flash_combine_f16(RF_KERNEL_PARAMETER rocforge::kernels::Call call) {
    rocforge::kernels::flash::combine<rocforge::matrix::F16>(rocforge::device::argument(call));
}
#endif
