// Boolean and additive masks of one warp's 16 rows and a block's 64 keys, by way of shared memory, for this block and the next one. Where it can, the
// copy engine brings them (produce.h), or else this warp does, by asynchronous copies of 16 or 4 bytes; what lies at odd addresses it brings element
// by element, and waits for. The rules are those of flash/score.h.
#ifndef ROCFORGE_KERNELS_FLASH_HOPPER_MASKING_H
#define ROCFORGE_KERNELS_FLASH_HOPPER_MASKING_H

#include "kernels/flash/hopper/work.h"

namespace rocforge::kernels::flash::hopper {

#if defined(RF_NVIDIA) && defined(__CUDA_ARCH_FEAT_SM90_ALL)

// One lane's: its scores are of rows `row` and `row + 8`, columns as in kernels/matrix/sm90.h.
// Floats: also masks of float32, whose registers would spill where speed counts.
template <class Tile, bool Floats> class Masking {
public:
    static constexpr int kScores = Tile::kKeys / 2;
    using Scores = float[kScores];

    // warp: of all consumers' warps.
    RF_DEVICE Masking(const MappedCall& call, const Shared<Tile>& shared, int warp)
        : call_(call), shared_(shared), warp_(warp), release_(shared.nobodys()) {}

    // The column of score i, from the lane's first one.
    RF_DEVICE static constexpr int column(int i) { return i / 4 * 8 + i % 2; }
    RF_DEVICE static int first_column() { return device::lane_index() % 4 * 2; }

    RF_DEVICE bool present() const { return operand().present(); }
    RF_DEVICE bool adds() const { return present() && !boolean(); }

    // A tile, with the block of keys that comes first.
    RF_DEVICE void begin(const Work& work, int row, int key0) {
        looks_ = kLooks;
        ask(work, row, key0);
    }
    // Asks for the mask of the block of keys from key0, whose first row in this warp is `row`, while the last one's is still used. [whole warp, all
    // of it done with the one before]
    RF_DEVICE void ask(const Work& work, int row, int key0) const {
        if (brought() || (Floats && operand().type == Type::f32)) return;
        device::wave_barrier();
        ask_copies(work, row, key0);
    }
    // The mask of the block of keys from key0 that was asked for is now this one's. [whole warp, all of it done with the one before]
    RF_DEVICE void turn(const Work& work, int row, int key0) {
        if (brought()) {
            pass();
        } else {
            block_.advance();
            if (!Floats || operand().type != Type::f32) await_copies(work, row, key0);
        }
        look();
    }
    // Whether none of this warp's rows may attend to a key of this block; where it was not looked at: false.
    RF_DEVICE bool excludes_all() const { return changes_ == Changes::all; }
    // As turn(), for a block that the group has no use for.
    RF_DEVICE void pass() {
        if (!brought()) return;
        device::wave_barrier();
        if (device::lane_index() == 0) release_.arrive();
        block_.advance();
        shared_.mask_full(group(), block_.stage).await(block_.phase);
        release_ = shared_.mask_empty(group(), block_.stage);
    }
    // Products, a unit of which counts `scale`, to scores of the block of keys from key0, whose first row in this warp is `row`; where the mask is
    // boolean they keep their unit.
    RF_DEVICE void apply(Scores& scores, const Work& work, int row, int key0, float scale) const {
        if constexpr (Floats)
            if (operand().type == Type::f32) return add_floats(scores, work, row, key0, scale);
        if (boolean()) return exclude(scores);
        const bool bf16 = operand().type == Type::bf16;
        if (!is_calm(scores, scale))
            add_halves(scores, [scale, bf16](float s, std::uint32_t bits) {
                return GeneralScore::joined(s * scale, bf16 ? matrix::Bf16::widen(bits) : matrix::F16::widen(bits));
            });
        else if (bf16)
            add_halves(scores, [scale](float s, std::uint32_t bits) { return __builtin_fmaf(s, scale, matrix::Bf16::widen(bits)); });
        else
            add_halves(scores, [scale](float s, std::uint32_t bits) { return __builtin_fmaf(s, scale, matrix::F16::widen(bits)); });
    }

    // Exponents of 2 of all scores of this block, products of which count `scale` (in logarithms to base 2), less base[r] in the lane's row r: use(i,
    // x, y) gets those of scores i and i + 1. Only 8 or 16 bits.
    template <class Use> RF_DEVICE void exponents(const Scores& products, float scale, const float (&base)[2], Use use) {
        if (changes_ == Changes::none) {
#pragma unroll
            for (int i = 0; i < kScores; i += 2) {
                const float less = -base[i / 2 % 2];
                use(i, __builtin_fmaf(products[i], scale, less), __builtin_fmaf(products[i + 1], scale, less));
            }
            return;
        }
        if (boolean()) return exponents_where(products, scale, base, use);
        if (operand().type == Type::bf16)
            exponents_plus<matrix::Bf16>(products, scale, base, use);
        else
            exponents_plus<matrix::F16>(products, scale, base, use);
    }

private:
    // What the mask does to this warp's part of the block, as far as that is known. Padding, windows and documents make most blocks alike.
    enum class Changes { none, some, all };

    RF_DEVICE const Operand& operand() const { return call_.call.attention.mask; }
    RF_DEVICE bool boolean() const { return operand().type == Type::boolean; }

    RF_DEVICE bool brought() const { return call_.call.cut.boxed_mask; }
    RF_DEVICE int group() const { return warp_ / 4; }
    // This warp's rows.
    RF_DEVICE device::SharedAt rows(int stage) const {
        return shared_.mask(group(), stage) + warp_ % 4 * kWarpRows * (boolean() ? kBoxBytes / 2 : kBoxBytes);
    }
    RF_DEVICE device::SharedAt held() const { return rows(block_.stage); }
    static_assert(kMaskBlocks == 2, "the next block's stage is the other one");
    RF_DEVICE device::SharedAt next() const { return rows(block_.stage ^ 1); }
    // Where an element lies: rows of 64 elements of one or two bytes or of 32 floats, in boxes as the copy engine writes them.
    template <class X> RF_DEVICE device::SharedAt at(int row, int column) const {
        const int byte = column * static_cast<int>(sizeof(X)), chunk = byte / 16;
        if constexpr (sizeof(X) == 1) return held() + (row * 64 + (chunk ^ row / 2 % 4) * 16 + byte % 16);
        return held() + (row * kBoxBytes + (chunk ^ row % 8) * 16 + byte % 16);
    }
    // How many bytes lie at multiples of as many in all rows: 16, 4, or 0.
    RF_DEVICE int together() const {
        const std::uint64_t bits =
            static_cast<std::uint64_t>(operand().batch | operand().head | operand().sequence) * static_cast<std::uint64_t>(bytes_of(operand().type)) |
            reinterpret_cast<std::uint64_t>(call_.call.pointers.mask);
        return operand().last != 1 || bits % 4 != 0 ? 0 : bits % 16 != 0 ? 4 : 16;
    }
    RF_DEVICE void ask_copies(const Work& work, int row, int key0) const {
        switch (together()) {
            case 16:
                return boolean() ? copy_chunks<64, 16>(work, row, key0) : copy_chunks<kBoxBytes, 16>(work, row, key0);
            case 4:
                return boolean() ? copy_chunks<64, 4>(work, row, key0) : copy_chunks<kBoxBytes, 4>(work, row, key0);
            default:
                return;
        }
    }
    template <int RowBytes, int Bytes> RF_DEVICE void copy_chunks(const Work& work, int row, int key0) const {
        constexpr int kChunks = RowBytes / Bytes;
        const int size = static_cast<int>(bytes_of(operand().type)), left = (static_cast<int>(call_.call.attention.max_seq_kv) - key0) * size;
        const char* from = static_cast<const char*>(call_.call.pointers.mask) + (operand().offset(work.sequence, work.head, row) + key0) * size;
#pragma unroll 1
        for (int i = device::lane_index(); i < kWarpRows * kChunks; i += device::kWaveSize) {
            const int r = i / kChunks, byte = i % kChunks * Bytes, chunk = byte / 16 ^ (RowBytes == 64 ? r / 2 % 4 : r % 8);
            const int wanted = row + r < work.rows ? max(0, min(Bytes, left - byte)) : 0;
            device::copy_bytes_async<Bytes>(next() + (r * RowBytes + chunk * 16 + byte % 16),
                                            wanted > 0 ? from + r * operand().sequence * size + byte : from, wanted);
        }
        device::close_copies();
    }
    RF_DEVICE void await_copies(const Work& work, int row, int key0) const {
        if (together() == 0) return boolean() ? copy<std::uint8_t, 64>(work, row, key0) : copy<std::uint16_t, 64>(work, row, key0);
        device::await_copies<0>();
        device::wave_barrier();
    }
    // Element by element; a key past the end, which is excluded later, gets 0.
    template <class X, int Columns> RF_DEVICE void copy(const Work& work, int row, int key0) const {
        const int rows = min(kWarpRows, work.rows - row);
        device::wave_barrier();
#pragma unroll 1
        for (int column = device::lane_index(); column < Columns; column += device::kWaveSize) {
            const int key = key0 + column;
            const X* from =
                static_cast<const X*>(call_.call.pointers.mask) + (operand().offset(work.sequence, work.head, row) + key * operand().last);
            const bool exists = key < work.reach.length;
#pragma unroll 4
            for (int r = 0; r < kWarpRows; ++r, from += operand().sequence) {
                X x{};
                if (exists && r < rows) x = device::load(from);
                store(at<X>(r, column), x);
            }
        }
        device::wave_barrier();
    }
    RF_DEVICE static void store(device::SharedAt to, float x) { device::store_shared_float(to, x); }
    RF_DEVICE static void store(device::SharedAt to, std::uint16_t x) { device::store_shared_half(to, x); }
    RF_DEVICE static void store(device::SharedAt to, std::uint8_t x) { device::store_shared_byte(to, x); }

    // How often in a row look() may find nothing, before it looks no more at the tile: looking has its price (README.md).
    static constexpr int kLooks = 4;
    // The first element says which of two questions to ask of all.
    RF_DEVICE void look() {
        changes_ = Changes::some;
        if (Floats || looks_ == 0) return;
        const std::uint32_t first = device::load_shared_word(held()), gone = operand().type == Type::bf16 ? 0xFF80FF80u : 0xFC00FC00u;
        if (boolean()) {
            if ((first & 0xFF) == 0)
                look<2, Changes::all>([](std::uint32_t w) { return w; });
            else
                look<2, Changes::none>([](std::uint32_t w) { return (w - 0x01010101u) & ~w & 0x80808080u; });  // has a byte of zero
        } else if ((first & 0x7FFF7FFFu) == 0) {
            look<4, Changes::none>([](std::uint32_t w) { return w & 0x7FFF7FFFu; });
        } else if (first == gone) {
            look<4, Changes::all>([gone](std::uint32_t w) { return w ^ gone; });
        }
        looks_ = changes_ == Changes::some ? looks_ - 1 : kLooks;
    }
    // The answer, if no word of this warp's rows, of Parts times 512 bytes, speaks against it.
    template <int Parts, Changes Answer, class Against> RF_DEVICE void look(Against against) {
        const device::SharedAt from = held() + device::fresh(device::lane_index()) * 16;
        std::uint32_t objections = 0;
#pragma unroll
        for (int i = 0; i < Parts; ++i) {
            const device::Words words = device::load_shared(from + i * 512);
#pragma unroll
            for (int j = 0; j < 4; ++j) objections |= against(words.w[j]);
        }
        if (!device::any_in_wave(objections != 0)) changes_ = Answer;
    }
    RF_DEVICE void exclude(Scores& scores) const {
        each_pair_of_flags([&](int i, bool x_kept, bool y_kept) {
            if (!x_kept) scores[i] = -device::kInfinity;
            if (!y_kept) scores[i + 1] = -device::kInfinity;
        });
    }
    template <class Use> RF_DEVICE void exponents_where(const Scores& products, float scale, const float (&base)[2], Use use) const {
        each_pair_of_flags([&](int i, bool x_kept, bool y_kept) {
            const float x = __builtin_fmaf(products[i], scale, -base[i / 2 % 2]), y = __builtin_fmaf(products[i + 1], scale, -base[i / 2 % 2]);
            use(i, x_kept ? x : -device::kInfinity, y_kept ? y : -device::kInfinity);
        });
    }
    template <class X, class Use> RF_DEVICE void exponents_plus(const Scores& products, float scale, const float (&base)[2], Use use) const {
        each_pair_of_halves([&](int i, std::uint32_t pair) {
            const float less = -base[i / 2 % 2];
            const float a = __builtin_fmaf(X::widen(pair & 0xFFFF), device::kLog2E, less);
            const float b = __builtin_fmaf(X::widen(pair >> 16), device::kLog2E, less);
            use(i, __builtin_fmaf(products[i], scale, a), __builtin_fmaf(products[i + 1], scale, b));
        });
    }
    // Where this lane finds the mask of its scores, computed for each block: kept for all, it would take a register an address.
    RF_DEVICE device::SharedAt flags() const {
        const int lane = device::fresh(device::lane_index());
        return held() + (lane / 4 * 64 + lane / 8 % 4 * 16 + lane % 4 * 2);
    }
    RF_DEVICE device::SharedAt halves() const {
        const int lane = device::fresh(device::lane_index());
        return held() + (lane % 16 * kBoxBytes + (lane / 16 ^ lane % 8) * 16);
    }
    // use(i, x, y): of the flags for scores i and i + 1.
    template <class Use> RF_DEVICE void each_pair_of_flags(Use use) const {
        const device::SharedAt from = flags();
#pragma unroll
        for (int i = 0; i < kScores; i += 2) {
            const device::SharedAt at = device::SharedAt{from.address ^ static_cast<unsigned>(i / 8 * 16)} + (i / 2 % 2 * 512 + i / 4 % 2 * 8);
            const std::uint32_t pair = device::load_shared_half(at);
            use(i, (pair & 0xFF) != 0, (pair & 0xFF00) != 0);
        }
    }
    // use(i, pair): the lower half is for score i, the upper one for i + 1.
    template <class Use> RF_DEVICE void each_pair_of_halves(Use use) const {
        const device::SharedAt from = halves();
#pragma unroll
        for (int i = 0; i < kScores; i += 8) {
            std::uint32_t words[4];
            device::load_matrices({from.address ^ static_cast<unsigned>(i / 4 * 16)}, words);
#pragma unroll
            for (int j = 0; j < 4; ++j) use(i + 2 * j, words[j]);
        }
    }
    template <class Add> RF_DEVICE void add_halves(Scores& scores, Add add) const {
        each_pair_of_halves([&](int i, std::uint32_t pair) {
            scores[i] = add(scores[i], pair & 0xFFFF);
            scores[i + 1] = add(scores[i + 1], pair >> 16);
        });
    }
    // Of which a block would take twice the shared memory: straight from device memory, two neighbouring keys at a time, or where they do not lie so,
    // half a block at a time.
    RF_DEVICE void add_floats(Scores& scores, const Work& work, int row, int key0, float scale) const {
        if (paired(work, key0) && is_calm(scores, scale)) return add_pairs(scores, work, row, key0, scale);
        add_half<0>(scores, work, row, key0, scale);
        add_half<1>(scores, work, row, key0, scale);
    }
    template <int Half> RF_DEVICE void add_half(Scores& scores, const Work& work, int row, int key0, float scale) const {
        copy<float, 32>(work, row, key0 + Half * 32);
#pragma unroll
        for (int j = 0; j < kScores / 2; ++j) {
            const device::SharedAt from = at<float>(device::lane_index() / 4 + j / 2 % 2 * 8, j / 4 * 8 + j % 2 + first_column());
            float& score = scores[Half * kScores / 2 + j];
            score = GeneralScore::joined(score * scale, device::load_shared_float(from));
        }
    }
    // No score in this warp is so large that adding a mask's finite value leaves float32, and none is NaN: then the sum is the rule
    // (GeneralScore::joined).
    RF_DEVICE static bool is_calm(const Scores& scores, float scale) {
        float totals[4] = {};  // four, so that none waits for the last
#pragma unroll
        for (int i = 0; i < kScores; ++i) totals[i / 2 % 4] += __builtin_fabsf(scores[i]);
        const float total = (totals[0] + totals[1]) + (totals[2] + totals[3]);
        return !device::any_in_wave(!(total * __builtin_fabsf(scale) < 1e30f));  // half a unit in the last place of float32's largest number is 1e31
    }
    RF_DEVICE bool paired(const Work& work, int key0) const {
        return key0 + Tile::kKeys <= work.reach.length && operand().last == 1 && (operand().batch | operand().head | operand().sequence) % 2 == 0 &&
               reinterpret_cast<std::uint64_t>(call_.call.pointers.mask) % 8 == 0;
    }
    RF_DEVICE void add_pairs(Scores& scores, const Work& work, int row, int key0, float scale) const {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
            const int own = min(row + device::lane_index() / 4 + r * 8, work.rows - 1);
            const float* from =
                static_cast<const float*>(call_.call.pointers.mask) + (operand().offset(work.sequence, work.head, own) + key0 + first_column());
#pragma unroll
            for (int i = 2 * r; i < kScores; i += 4) {
                const float2 pair = device::load(reinterpret_cast<const float2*>(from + column(i)));
                scores[i] = __builtin_fmaf(scores[i], scale, pair.x);
                scores[i + 1] = __builtin_fmaf(scores[i + 1], scale, pair.y);
            }
        }
    }

    const MappedCall& call_;
    const Shared<Tile> shared_;
    int warp_;
    Cursor<kMaskBlocks> block_{kMaskBlocks - 1, 1};  // this block's mask: at first that before the first one
    device::Barrier release_;                        // of what held it before
    Changes changes_ = Changes::some;
    int looks_ = kLooks;
};

#endif

}  // namespace rocforge::kernels::flash::hopper
#endif
