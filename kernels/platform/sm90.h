// What only Hopper's kernels use of the machine: barriers in shared memory that count arrivals and bytes, the copy engine (TMA), registers that move
// between warpgroups. PTX alone; it holds no attention and no matrix product.
//
//   a barrier's phase ends with its last arrival and its last byte; await(phase) waits for the end of a phase: 0 the first, 1 the second, 0 the third
//   ...
#ifndef ROCFORGE_KERNELS_PLATFORM_SM90_H
#define ROCFORGE_KERNELS_PLATFORM_SM90_H

#include "kernels/platform/device.h"
#include "kernels/platform/tensor_map.h"

namespace rocforge::device {

#if defined(RF_NVIDIA) && __CUDA_ARCH__ >= 900

constexpr int kGroupSize = 128;  // threads of a warpgroup

// Of the block's dynamic shared memory, as swizzled boxes need it.
RF_DEVICE SharedAt aligned_shared_memory() {
    extern RF_SHARED __align__(1024) char rocforge_aligned_memory[];
    return {static_cast<std::uint32_t>(__cvta_generic_to_shared(rocforge_aligned_memory))};
}

// As uniform(), of a float.
RF_DEVICE float uniform_float(float x) { return as_float(static_cast<std::uint32_t>(uniform(static_cast<int>(as_bits(x))))); }

// In one instruction.
RF_DEVICE int largest_of(int a, int b, int c) { return __vimax3_s32(a, b, c); }

// A barrier in 8 bytes of shared memory.
struct Barrier {
    SharedAt at;

    RF_DEVICE void init(int arrivals) const { asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at.address), "r"(arrivals) : "memory"); }
    RF_DEVICE void arrive() const { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at.address) : "memory"); }
    // Arrives, and has the phase wait for so many bytes of the copy engine's.
    RF_DEVICE void expect(int bytes) const {
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at.address), "r"(bytes) : "memory");
    }
    RF_DEVICE void await(std::uint32_t phase) const {
        asm volatile(
            "{\n.reg .pred done;\nagain:\n"
            "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n@!done bra again;\n}" ::"r"(at.address),
            "r"(phase)
            : "memory");
    }
    // Whether that phase has ended.
    RF_DEVICE bool ended(std::uint32_t phase) const {
        std::uint32_t done;
        asm volatile("{\n.reg .pred p;\nmbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                     : "=r"(done)
                     : "r"(at.address), "r"(phase)
                     : "memory");
        return done != 0;
    }
};
// What init() wrote is seen by the copy engine.
RF_DEVICE void publish_barriers() { asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory"); }
// What this thread wrote to shared memory is seen by the copy engine and the matrix units, once all writers have met.
RF_DEVICE void publish_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// The threads of one warpgroup meet; the others are not waited for.
RF_DEVICE void group_barrier(int group) { asm volatile("bar.sync %0, %1;" ::"r"(group + 1), "n"(kGroupSize) : "memory"); }

// A box from device memory: its first element is (column, row, head, batch). Elements outside the tensor come as zeros, and count as bytes.
RF_DEVICE void copy_box_in(SharedAt to, const platform::TensorMap& map, const Barrier& arrived, int column, int row, int head, int batch) {
    asm volatile("cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], [%2];" ::"r"(to.address),
                 "l"(&map), "r"(arrived.at.address), "r"(column), "r"(row), "r"(head), "r"(batch)
                 : "memory");
}
// A box to device memory; elements outside the tensor are dropped.
RF_DEVICE void copy_box_out(const platform::TensorMap& map, SharedAt from, int column, int row, int head, int batch) {
    asm volatile("cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%2, %3, %4, %5}], [%1];" ::"l"(&map), "r"(from.address), "r"(column),
                 "r"(row), "r"(head), "r"(batch)
                 : "memory");
}
RF_DEVICE void close_boxes_out() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
// Until the shared memory of all boxes that this thread sent has been read.
RF_DEVICE void await_boxes_read() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }
RF_DEVICE void prefetch_map(const platform::TensorMap& map) { asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory"); }

// The registers of each thread of this warpgroup from here on: a multiple of 8.
template <int Registers> RF_DEVICE void give_registers() { asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers)); }
template <int Registers> RF_DEVICE void take_registers() { asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers)); }

// Four 8 x 8 matrices of 16 bits: lane l gives where row l % 8 of matrix l / 8 goes.
RF_DEVICE void store_matrices(SharedAt to, std::uint32_t a, std::uint32_t b, std::uint32_t c, std::uint32_t d) {
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to.address), "r"(a), "r"(b), "r"(c), "r"(d) : "memory");
}
RF_DEVICE void load_matrices(SharedAt from, std::uint32_t (&words)[4]) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(from.address)
                 : "memory");
}
RF_DEVICE std::uint32_t load_shared_half(SharedAt from) {
    std::uint32_t half;
    asm volatile("{\n.reg .b16 h;\nld.shared.b16 h, [%1];\ncvt.u32.u16 %0, h;\n}" : "=r"(half) : "r"(from.address) : "memory");
    return half;
}
// Copies `wanted` of so many bytes, and zeros for the rest, without passing through registers.
template <int Bytes> RF_DEVICE void copy_bytes_async(SharedAt to, const void* from, int wanted) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to.address), "l"(from), "n"(Bytes), "r"(wanted) : "memory");
}
RF_DEVICE void store_shared_half(SharedAt to, std::uint16_t half) { asm volatile("st.shared.b16 [%0], %1;" ::"r"(to.address), "h"(half) : "memory"); }
RF_DEVICE void store_shared_byte(SharedAt to, std::uint32_t byte) { asm volatile("st.shared.b8 [%0], %1;" ::"r"(to.address), "r"(byte) : "memory"); }

RF_DEVICE std::uint32_t count_up(std::uint32_t* counter) { return atomicAdd(counter, 1u); }
// Adds one; after `last` comes 0. What this thread did before is seen by whoever counts after it.
RF_DEVICE std::uint32_t count_round(std::uint32_t* counter, std::uint32_t last) {
    __threadfence();
    return atomicInc(counter, last);
}

#endif

}  // namespace rocforge::device
#endif
