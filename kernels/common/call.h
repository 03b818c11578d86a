// The argument that GPU kernels take. Read by device and host compilers alike.
#ifndef ROCFORGE_KERNELS_COMMON_CALL_H
#define ROCFORGE_KERNELS_COMMON_CALL_H

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/common/attention.h"
#include "kernels/platform/tensor_map.h"

namespace rocforge::kernels {

// How the rows and keys of a problem are cut over blocks of threads; what each number means in detail stands with the kernels that read it.
struct Cut {
    std::int64_t row_blocks = 1;         // of one (sequence, head)
    std::int32_t splits = 1;             // of the keys; more than 1: partial results go to the workspace and are combined
    std::int32_t shares = 0;             // decode: blocks of threads that the keys of all tiles are shared out over
    std::int32_t pack = 1;               // decode: query heads of a kv head
    std::int32_t tile_parts = 0;         // decode: even parts of every tile (1: no tile is shared); 0: lengths are counted on the device
    std::int32_t part_blocks = 0;        // decode: blocks of keys of each of these parts
    std::int32_t busy_shares = 0;        // decode: blocks of threads that keep the memory busy while they read short tiles
    std::int64_t table_bytes = 0;        // decode: of the block table
    bool read_once = false;              // decode: K and V may leave the last-level cache first (a hint)
    std::int32_t heads_per_section = 1;  // (sequence, head) pairs whose row blocks are interleaved, so that long rows start first
    std::int32_t box_rows = 0;           // keys that the copy engine brings at once
    std::int32_t short_pairs = 0;        // the last (sequence, head) pairs, whose tiles have fewer rows so that all blocks of threads end together
    std::int32_t short_row_blocks = 0;   // of each of those
    bool boxed_mask = false;             // the copy engine brings the mask
};

// The argument of every kernel, by value.
struct Call {
    Attention attention;
    Pointers pointers;
    Cut cut;
    std::byte* workspace;
    std::uint32_t* zeroed;
};
static_assert(std::is_trivially_copyable_v<Call> && sizeof(Call) <= 4096, "CUDA limits a kernel's arguments to 4,096 bytes");

// The argument of kernels that use the copy engine. Others read the call at its start alone.
struct MappedCall {
    Call call;
    platform::TensorMap q, k, v, out, mask;
};
static_assert(std::is_trivially_copyable_v<MappedCall> && offsetof(MappedCall, call) == 0 && sizeof(MappedCall) <= 4096);

}  // namespace rocforge::kernels
#endif
