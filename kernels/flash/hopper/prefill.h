// The kernel: one warpgroup produces, the others consume.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_PREFILL_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_PREFILL_H

#include "kernels/flash/hopper/consume.h"
#include "kernels/flash/hopper/produce.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

template <class T, class Tile, Features F> RF_DEVICE void prefill(const MappedCall& call) {
    const Shared<Tile> shared{device::aligned_shared_memory()};
    if (device::thread_index() == 0) shared.init();
    Scoring<T, Tile, F>::write_columns(shared);
    device::barrier();
    const int group = device::wave_index() / 4;
    if (group == 0) {
        produce(call, shared);
    } else {
        device::take_registers<Tile::kConsumerRegisters>();
        Consumer<T, Tile, F>(call, shared, group - 1).run();
    }
}

#endif

}  // namespace rocforge::kernels::flash::hopper

// One kernel of the family flash_hopper_<type>_<dim>_<tile or features>. A macro, since a symbol that a host finds by name cannot be a template.
#define ROCFORGE_HOPPER_KERNEL(name, T, tile, features)                                                        \
    RF_KERNEL(rocforge::kernels::flash::hopper::tile::kThreads, 1)                                             \
    name(RF_KERNEL_PARAMETER rocforge::kernels::MappedCall call) {                                             \
        rocforge::kernels::flash::hopper::prefill<rocforge::matrix::T, rocforge::kernels::flash::hopper::tile, \
                                                  rocforge::kernels::flash::hopper::Features::features>(call); \
    }

#endif
