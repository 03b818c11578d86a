// One block for all tensors of a case: where each lies in it, and what came back changed.
#include "image.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace rocforge::conformance {
namespace {

constexpr std::uint64_t kAlign = 256, kGuardBytes = 1024;  // as between host tensors: a kernel's overrun is at most a tile row
constexpr std::byte kGuard{0xFF};                          // as a number of any type a NaN: a value read from it shows, too

std::uint64_t round_up(std::uint64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

const std::byte* pointer_at(const rf_args& args, std::size_t offset) {
    const std::byte* value = nullptr;
    std::memcpy(&value, reinterpret_cast<const std::byte*>(&args) + offset, sizeof value);
    return value;
}
void set_pointer(rf_args& args, std::size_t offset, const std::byte* value) {
    std::memcpy(reinterpret_cast<std::byte*>(&args) + offset, &value, sizeof value);
}

}  // namespace

rf_problem with_true_alignment(rf_problem p, const rf_args& a) {
    for (const auto& [tensor, pointer] : {std::pair<rf_tensor*, const void*>{&p.q, a.q},
                                          {&p.k, a.k},
                                          {&p.v, a.v},
                                          {&p.out, a.out},
                                          {&p.lse, a.lse},
                                          {&p.mask, a.mask},
                                          {&p.k_scale, a.k_scale},
                                          {&p.v_scale, a.v_scale}}) {
        if (tensor->align != 0 || !pointer) continue;
        const auto address = reinterpret_cast<std::uintptr_t>(pointer);
        tensor->align = static_cast<std::uint32_t>(std::min<std::uintptr_t>(address & (~address + 1), kAlign));
    }
    return p;
}

rf_problem problem_of(const Case& c) {
    const Materialised tensors = Materialised::without_values(c);
    return with_true_alignment(tensors.problem(), tensors.args());
}

Image::Image(const Materialised& tensors, std::uint64_t zeroed_bytes) : tensors_(tensors), zeroed_bytes_(zeroed_bytes) {
    std::uint64_t end = kGuardBytes;
    const auto place = [&](std::uint64_t bytes) {
        const std::uint64_t offset = end;
        end = round_up(offset + bytes) + kGuardBytes;
        return offset;
    };
    for (const Span& span : tensors.spans()) {
        const bool shared = std::any_of(pieces_.begin(), pieces_.end(), [&](const Piece& piece) { return piece.span->base == span.base; });
        if (!shared) pieces_.push_back({&span, place(static_cast<std::uint64_t>(span.bytes))});
    }
    zeroed_offset_ = place(zeroed_bytes_);
    host_.resize(end);
}

const std::byte* Image::refresh() {
    std::fill(host_.begin(), host_.end(), kGuard);
    for (const Piece& piece : pieces_) std::copy_n(piece.span->base, piece.span->bytes, host_.data() + piece.offset);
    std::fill_n(host_.data() + zeroed_offset_, zeroed_bytes_, std::byte{0});
    return host_.data();
}

rf_args Image::args(std::byte* base) const {
    rf_args moved = tensors_.args();
    for (const Argument& argument : kArguments) {
        const std::byte* pointer = pointer_at(moved, argument.args_offset);
        if (!pointer) continue;
        const auto owner = std::find_if(pieces_.begin(), pieces_.end(), [&](const Piece& piece) {
            return pointer >= piece.span->base && pointer < piece.span->base + piece.span->bytes;
        });
        if (owner == pieces_.end()) throw std::logic_error("a pointer of rf_args lies in no span");
        set_pointer(moved, argument.args_offset, base + owner->offset + (pointer - owner->span->base));
    }
    moved.zeroed = base + zeroed_offset_;
    return moved;
}

std::string Image::collect(const std::byte* after) const {
    std::uint64_t checked = 0;  // all before it is accounted for
    const auto intact = [&](std::uint64_t end) {
        const bool same =
            std::equal(host_.begin() + static_cast<std::ptrdiff_t>(checked), host_.begin() + static_cast<std::ptrdiff_t>(end), after + checked);
        checked = end;
        return same;
    };
    for (const Piece& piece : pieces_) {
        const std::string name = name_of_argument(piece.span->args_offset);
        if (!intact(piece.offset)) return "memory before " + name + ", or behind the one before it, was written to";
        const auto bytes = static_cast<std::uint64_t>(piece.span->bytes);
        if (piece.span->output) {
            std::copy_n(after + piece.offset, bytes, piece.span->base);
            checked = piece.offset + bytes;
        } else if (!intact(piece.offset + bytes)) {
            return name + ", an input, was written to";
        }
    }
    if (!intact(zeroed_offset_)) return "memory behind the last tensor was written to";
    if (!intact(zeroed_offset_ + zeroed_bytes_)) return "zeroed memory was not left zero";
    return intact(host_.size()) ? "" : "memory behind zeroed was written to";
}

}  // namespace rocforge::conformance
