// Brings blocks of keys from device memory to shared memory, for a group of threads: a whole block of threads (prefill) or one wave (decode).
//
//   issue(key0)   asks for keys [key0, key0 + Tile::kKeys); shared memory is untouched on AMD, on its way to be written on NVIDIA
//   commit()      what this thread asked for is in shared memory; others see it after the group has met
//
// Rows outside the keys in use and dims past the tensor's are zeros: a product with whatever lies there would let a NaN through.
// On AMD copies pass through registers, and V is transposed on the way.
#ifndef ROCFORGE_KERNELS_FLASH_STAGE_H
#define ROCFORGE_KERNELS_FLASH_STAGE_H

#include "kernels/common/call.h"
#include "kernels/common/sequence.h"
#include "kernels/flash/tile.h"
#include "kernels/matrix/unit.h"
#include "kernels/platform/device.h"

namespace rocforge::kernels::flash {

// Threads that fill and read one K and one V in shared memory.
template <class Tile> struct Group {
    static constexpr int kThreads = Tile::kSharedKeys ? Tile::kThreads : device::kWaveSize;
    // Fresh, so that a stage's addresses are computed where they are used.
    RF_DEVICE static unsigned thread() {
        return device::fresh(static_cast<unsigned>(Tile::kSharedKeys ? device::thread_index() : device::lane_index()));
    }
    RF_DEVICE static void meet() {
        if constexpr (Tile::kSharedKeys)
            device::barrier();
        else
            device::wave_barrier();
    }
};

// Whether K and V lie in pages: known when compiled, or told by the call (kernels whose speed is not in the addresses).
enum class Paging { none, pages, told };

// The rows of K or V of one kv head of one sequence.
template <Paging P> struct KeyRows {
    const char* base;         // row 0; paged: of page 0
    std::int64_t row_bytes;   // from one key to the next (paged: within a page)
    int first, end;           // keys in use, not empty
    int chunks;               // 16-byte chunks of a row that exist
    std::int64_t page_bytes;  // paged: from one page to the next
    const void* table;        // paged: this sequence's row of the block table
    unsigned page_size, last_page;
    bool wide;

    RF_DEVICE KeyRows(const Call& call, const kernels::Span& span, const Operand& operand, const void* data, std::int64_t dim, std::int64_t sequence,
                      std::int64_t kv_head, int first_key, int end_key)
        : first(first_key), end(end_key), chunks(static_cast<int>(dim / 8)) {
        const Attention& a = call.attention;
        row_bytes = operand.sequence * 2;
        base = static_cast<const char*>(data) + kv_head * operand.head * 2;
        if (P == Paging::none || (P == Paging::told && !a.paged)) {
            table = nullptr;
            base += span.kv_batch * operand.batch * 2 + span.kv_first * row_bytes;
        } else {
            page_bytes = operand.batch * 2;
            table = static_cast<const char*>(call.pointers.block_table) + sequence * a.block_table_stride * (a.wide_index ? 8 : 4);
            page_size = static_cast<unsigned>(a.page_size);
            last_page = static_cast<unsigned>(a.pages - 1);
            wide = a.wide_index;
        }
    }

    // Leaves out the first chunks of every row.
    RF_DEVICE void skip(int skipped) { base += skipped * 16, chunks -= skipped; }
    RF_DEVICE bool paged() const { return P == Paging::pages || (P == Paging::told && table != nullptr); }
    // Of a key in a page.
    RF_DEVICE KeyPlace place(int key) const {
        const unsigned column = static_cast<unsigned>(key) / page_size;
        return {ExtentRule::clamp(index_at(table, wide, column), 0, last_page), static_cast<unsigned>(key) - column * page_size};
    }
    RF_DEVICE const char* row(const KeyPlace& place) const { return base + place.axis0 * page_bytes + place.axis2 * row_bytes; }
    RF_DEVICE const char* row(int key) const { return paged() ? row(place(key)) : base + key * row_bytes; }
    // Row `key` of a block that starts at key0, both in use: a uniform address and 32 bits of a lane's own, which is what AMD's loads take. The
    // predicate holds a block of rows below 2^32 bytes.
    RF_DEVICE const char* row_of_block(int key0, int key) const {
        if (P != Paging::none) return row(key);
        return base + key0 * row_bytes + static_cast<std::uint32_t>(key - key0) * static_cast<std::uint32_t>(row_bytes);
    }
    RF_DEVICE int clamped(int key) const { return key < first ? first : key < end ? key : end - 1; }
    RF_DEVICE bool has(int key) const { return key >= first && key < end; }
};

// Does a chunk hold a NaN or an infinity?
template <class T> RF_DEVICE bool non_finite(const device::Words& words) {
    bool found = false;
#pragma unroll
    for (int i = 0; i < 4; ++i) found |= matrix::non_finite_pair(words.w[i], T::kExponent);
    return found;
}

// A pair of 16-bit values with 0 in place of those that are not finite; Flags: with the largest bf16 in place of those, and 0 in place of the others.
template <class T, bool Flags> RF_DEVICE std::uint32_t sifted(std::uint32_t pair) {
    const auto one = [](std::uint32_t half) {
        const bool bad = (half & T::kExponent) == T::kExponent;
        return Flags ? (bad ? 0x7F7Fu : 0u) : (bad ? 0u : half);
    };
    return one(pair & 0xFFFFu) | one(pair >> 16) << 16;
}

#if defined(RF_NVIDIA)

// In which pages the keys of a wave's next block lie: each lane looks up one key (or two) of the block, and others ask it. K and V share pages.
template <class Tile, Paging P> class PagedBlock {
    static constexpr int kEach = (Tile::kKeys + device::kWaveSize - 1) / device::kWaveSize;

public:
    // Entries stay as they are read: the first thing that is done with them waits for them.
    RF_DEVICE void look_up(const KeyRows<P>& rows, int key0) {
        if constexpr (P != Paging::none) {
            if (!rows.paged()) return;
#pragma unroll
            for (int i = 0; i < kEach; ++i) {
                const unsigned key = static_cast<unsigned>(rows.clamped(key0 + device::lane_index() + i * device::kWaveSize)),
                               column = key / rows.page_size;
                const auto* const entry = static_cast<const std::uint32_t*>(rows.table) + (rows.wide ? column * 2 : column);
                slot_[i] = key - column * rows.page_size;
                low_[i] = device::load(entry);
                if (rows.wide) high_[i] = device::load(entry + 1);
            }
        }
    }
    // Where this lane's keys lie in K or V.
    struct Addresses {
        std::uint64_t own[kEach];
        // Of key `number` of the block, where number / 32 is known when compiled. [whole wave]
        RF_DEVICE const char* of(int number, int index) const {
            const std::uint32_t low = device::from_lane(static_cast<std::uint32_t>(own[index]), number % device::kWaveSize);
            const std::uint32_t high = device::from_lane(static_cast<std::uint32_t>(own[index] >> 32), number % device::kWaveSize);
            return reinterpret_cast<const char*>(std::uint64_t{high} << 32 | low);
        }
    };
    RF_DEVICE Addresses addresses(const KeyRows<P>& rows) const {
        Addresses addresses;
#pragma unroll
        for (int i = 0; i < kEach; ++i) {
            const std::int64_t page =
                rows.wide ? static_cast<std::int64_t>(std::uint64_t{high_[i]} << 32 | low_[i]) : static_cast<std::int32_t>(low_[i]);
            addresses.own[i] = reinterpret_cast<std::uint64_t>(rows.row({ExtentRule::clamp(page, 0, rows.last_page), slot_[i]}));
        }
        return addresses;
    }

private:
    std::uint32_t low_[kEach] = {}, high_[kEach] = {}, slot_[kEach] = {};
};

// K or V as it lies: [key][dim].
template <class T, class Tile, class Rows, Paging P> class Stage {
    static constexpr int kThreads = Group<Tile>::kThreads, kChunks = Tile::kChunks, kPasses = Tile::kKeys * kChunks / kThreads;
    static_assert(Tile::kKeys * kChunks % kThreads == 0 && kThreads % kChunks == 0, "each pass brings whole rows");

public:
    RF_DEVICE Stage(const KeyRows<P>& rows, device::SharedAt shared, bool read_once)
        : rows_(rows),
          shared_(shared),
          policy_(read_once),
          row_(static_cast<int>(Group<Tile>::thread() / kChunks)),
          chunk_(static_cast<int>(Group<Tile>::thread() % kChunks)),
          at_(static_cast<int>(device::own_register((shared + Rows::offset(row_, chunk_)).address))) {}

    RF_DEVICE void issue(int key0) {
        issue(key0, [&](int, int key, bool wanted) { return wanted ? rows_.row(key) : rows_.base; });
    }
    // The block that `pages` looked up last.
    RF_DEVICE void issue(int key0, const PagedBlock<Tile, P>& pages) {
        if (!rows_.paged()) return issue(key0);
        const auto addresses = pages.addresses(rows_);
        issue(key0, [&](int pass, int, bool) { return addresses.of(row_ + pass * kStep, pass * kStep / device::kWaveSize); });
    }
    RF_DEVICE void commit() { device::await_copies<0>(); }
    RF_DEVICE const KeyRows<P>& rows() const { return rows_; }

    // After commit(): did this thread bring a NaN or an infinity?
    RF_DEVICE bool brought_non_finite() const {
        bool found = false;
#pragma unroll
        for (int pass = 0; pass < kPasses; ++pass) found |= non_finite<T>(device::load_shared(place(pass)));
        return found;
    }
    // Replaces what this thread brought by flags, and back by the values, as sifted() makes them.
    RF_DEVICE void show_non_finite() {
#pragma unroll 1
        for (int pass = 0; pass < kPasses; ++pass) rewrite<true>(place(pass), device::load_shared(place(pass)));
    }
    RF_DEVICE void show_finite(int key0) {
#pragma unroll 1
        for (int pass = 0; pass < kPasses; ++pass) {
            const int key = key0 + row_ + pass * kStep;
            const bool wanted = chunk_ < rows_.chunks && rows_.has(key);
            rewrite<false>(place(pass), wanted ? device::load_words(rows_.row(key) + chunk_ * 16) : device::Words{});
        }
    }

private:
    static constexpr int kStep = kThreads / kChunks;  // rows from pass to pass
    static_assert(kStep % 8 == 0 || kStep == 1 || kStep == 2 || kStep == 4);

    // paged_row: the row of a pass and key, or any address where the key is not wanted.
    template <class Row> RF_DEVICE void issue(int key0, Row paged_row) {
        const int at = device::fresh(at_);
        if (key0 >= rows_.first && key0 + Tile::kKeys <= rows_.end)
            copy(
                key0, at, [&](int) { return true; }, paged_row);
        else
            copy(
                key0, at, [&](int key) { return rows_.has(key); }, paged_row);
        device::close_copies();
    }
    template <class Has, class Row> RF_DEVICE void copy(int key0, int at, Has has, Row paged_row) const {
        const bool exists = chunk_ < rows_.chunks;
        const char* from = rows_.paged() ? nullptr : rows_.base + (key0 + row_) * rows_.row_bytes + chunk_ * 16;
#pragma unroll
        for (int pass = 0; pass < kPasses; ++pass) {
            const int key = key0 + row_ + pass * kStep;
            const bool wanted = exists && has(key);
            if (rows_.paged()) from = paged_row(pass, key, wanted) + chunk_ * 16;
            if constexpr (Tile::kSharedKeys)
                device::copy_async(place_from(at, pass), from, wanted);
            else
                device::copy_async(place_from(at, pass), from, wanted, policy_);
            if (!rows_.paged()) from += kStep * rows_.row_bytes;
        }
    }
    // A pass' rows follow the first's by a multiple of kStep, and those are fewer: an XOR among 128 bytes, and the immediate offset.
    RF_DEVICE static device::SharedAt place_from(int at, int pass) { return {static_cast<std::uint32_t>(Rows::moved(at, pass * kStep, 0))}; }
    RF_DEVICE device::SharedAt place(int pass) const { return shared_ + Rows::offset(row_ + pass * kStep, chunk_); }
    template <bool Flags> RF_DEVICE static void rewrite(device::SharedAt place, device::Words words) {
#pragma unroll
        for (int i = 0; i < 4; ++i) words.w[i] = sifted<T, Flags>(words.w[i]);
        device::store_shared(place, words);
    }

    const KeyRows<P>& rows_;
    device::SharedAt shared_;
    device::CachePolicy policy_;
    int row_, chunk_, at_;  // at_: where the first pass writes
};
template <class T, class Tile, Paging P> using StageK = Stage<T, Tile, typename Tile::KRows, P>;
template <class T, class Tile, Paging P> using StageV = Stage<T, Tile, typename Tile::VRows, P>;

#elif defined(RF_AMD)

// K: [key][dim]. Where a thread brings more than Tile::kHeldWords, commit() brings it all, piece by piece: other waves fill the wait. V likewise.
template <class T, class Tile, Paging P> class StageK {
    using Rows = typename Tile::KRows;
    static constexpr int kThreads = Group<Tile>::kThreads, kChunks = Tile::kChunks, kPasses = Tile::kKeys * kChunks / kThreads;
    static constexpr bool kHeld = kPasses <= Tile::kHeldWords;
    static constexpr int kPiece = kHeld ? kPasses : Tile::kHeldWords;
    static_assert(Tile::kKeys * kChunks % kThreads == 0 && kPasses % kPiece == 0, "every thread brings as many chunks");

public:
    RF_DEVICE StageK(const KeyRows<P>& rows, device::SharedAt shared, bool) : rows_(rows), shared_(shared) {}

    RF_DEVICE void issue(int key0) {
        key0_ = key0;
        if constexpr (kHeld) load(0);
    }
    // Keys that are not in use hold another key's values: their scores are excluded before anyone looks at them.
    RF_DEVICE void commit() {
        if constexpr (kHeld) {
            store(0);
        } else {
#pragma unroll 1
            for (int first = 0; first < kPasses; first += kPiece) load(first), store(first);
        }
    }

private:
    RF_DEVICE void load(int first) {
        const unsigned thread = Group<Tile>::thread();
#pragma unroll
        for (int pass = 0; pass < kPiece; ++pass) {
            const unsigned at = thread + (first + pass) * kThreads;
            const int chunk = static_cast<int>(at % kChunks), row_number = static_cast<int>(at / kChunks);
            const char* row = rows_.row_of_block(key0_, rows_.clamped(key0_ + row_number));
            const bool wanted = chunk < rows_.chunks;
            words_[pass] = device::load_words_or_zeros(row + static_cast<std::uint32_t>(wanted ? chunk * 16 : 0), wanted);
        }
    }
    RF_DEVICE void store(int first) {
        const unsigned thread = Group<Tile>::thread();
#pragma unroll
        for (int pass = 0; pass < kPiece; ++pass) {
            const unsigned at = thread + (first + pass) * kThreads;
            device::store_shared(shared_ + Rows::offset(static_cast<int>(at / kChunks), static_cast<int>(at % kChunks)), words_[pass]);
        }
    }

    const KeyRows<P>& rows_;
    device::SharedAt shared_;
    int key0_ = 0;
    device::Words words_[kPiece];
};

// V: [dim][key]. A thread brings patches of 8 dims of 4 keys, and writes 4 keys of 8 dims.
template <class T, class Tile, Paging P> class StageV {
    using Rows = typename Tile::VRows;
    static constexpr int kThreads = Group<Tile>::kThreads, kPatches = Tile::kKeys / 4 * Tile::kOutChunks,
                         kPasses = (kPatches + kThreads - 1) / kThreads;
    static constexpr bool kHeld = kPasses * 4 <= Tile::kHeldWords;
    static constexpr int kPiece = kHeld ? kPasses : Tile::kHeldWords / 4;
    static_assert(kPasses % kPiece == 0);

public:
    RF_DEVICE StageV(const KeyRows<P>& rows, device::SharedAt shared, bool) : rows_(rows), shared_(shared) {}

    RF_DEVICE void issue(int key0) {
        key0_ = key0;
        if constexpr (kHeld) bring(0);
    }
    RF_DEVICE void commit() {
        found_ = false;
        if constexpr (kHeld) {
            put(0);
        } else {
#pragma unroll 1
            for (int first = 0; first < kPasses; first += kPiece) bring(first), put(first);
        }
    }
    // After commit(): did this thread bring a NaN or an infinity?
    RF_DEVICE bool brought_non_finite() const {
        if constexpr (!kHeld) return found_;
        bool found = false;
#pragma unroll
        for (int pass = 0; pass < kPiece; ++pass) found |= non_finite_patch(words_[pass]);
        return found;
    }
    RF_DEVICE void show_non_finite() { rewrite<true>(key0_); }
    RF_DEVICE void show_finite(int key0) { rewrite<false>(key0); }

private:
    RF_DEVICE void bring(int first) {
        const unsigned thread = Group<Tile>::thread();
#pragma unroll
        for (int pass = 0; pass < kPiece; ++pass) {
            const unsigned patch = thread + (first + pass) * kThreads;
            load(words_[pass], key0_, kPatches % kThreads == 0 || patch < kPatches ? patch : 0);
        }
    }
    RF_DEVICE void put(int first) {
        const unsigned thread = Group<Tile>::thread();
#pragma unroll
        for (int pass = 0; pass < kPiece; ++pass) {
            const unsigned patch = thread + (first + pass) * kThreads;
            if (!kHeld) found_ |= non_finite_patch(words_[pass]);
            if (kPatches % kThreads == 0 || patch < kPatches) store(words_[pass], patch);
        }
    }
    RF_DEVICE static bool non_finite_patch(const device::Words (&words)[4]) {
        bool found = false;
#pragma unroll
        for (int k = 0; k < 4; ++k) found |= non_finite<T>(words[k]);
        return found;
    }
    RF_DEVICE void load(device::Words (&words)[4], int key0, unsigned patch) const {
        const int chunk = static_cast<int>(patch % Tile::kOutChunks), key = key0 + static_cast<int>(patch / Tile::kOutChunks) * 4;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            const char* row = rows_.row_of_block(key0, rows_.clamped(key + k));
            const bool exists = chunk < rows_.chunks;
            words[k] = device::load_words_or_zeros(row + static_cast<std::uint32_t>(exists ? chunk * 16 : 0), exists && rows_.has(key + k));
        }
    }
    RF_DEVICE void store(const device::Words (&words)[4], unsigned patch) {
        struct alignas(8) Four {
            std::uint32_t w[2];
        };
        const unsigned chunk = patch % Tile::kOutChunks, key = patch / Tile::kOutChunks * 4;
#pragma unroll
        for (int d = 0; d < 8; ++d) {
            const std::uint32_t pick = d % 2 ? 0x07060302u : 0x05040100u;
            const Four keys{{__builtin_amdgcn_perm(words[1].w[d / 2], words[0].w[d / 2], pick),
                             __builtin_amdgcn_perm(words[3].w[d / 2], words[2].w[d / 2], pick)}};
            *reinterpret_cast<Four*>(
                shared_ + (Rows::offset(static_cast<int>(chunk * 8) + d, static_cast<int>(key / 8)) + static_cast<int>(key % 8 * 2))) = keys;
        }
    }
    template <bool Flags> RF_DEVICE void rewrite(int key0) {
#pragma unroll 1
        for (unsigned patch = Group<Tile>::thread(); patch < kPatches; patch += kThreads) {
            device::Words words[4];
            load(words, key0, patch);
#pragma unroll
            for (int k = 0; k < 4; ++k)
#pragma unroll
                for (int i = 0; i < 4; ++i) words[k].w[i] = sifted<T, Flags>(words[k].w[i]);
            store(words, patch);
        }
    }

    const KeyRows<P>& rows_;
    device::SharedAt shared_;
    int key0_ = 0;
    bool found_ = false;
    device::Words words_[kPiece][4];
};

#endif

}  // namespace rocforge::kernels::flash
#endif
