#include "names.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

#include "text/text.hpp"

namespace rocforge::cli {
namespace {

struct DtypeNames {
    rf_dtype dtype;
    const char *flag, *safetensors, *torch;
};
constexpr std::array<DtypeNames, 3> kDtypes{{{kF32, "f32", "F32", "float32"}, {kF16, "f16", "F16", "float16"}, {kBF16, "bf16", "BF16", "bfloat16"}}};

template <class T> T parse_word(std::string_view text, std::initializer_list<std::pair<const char*, T>> words) {
    std::vector<std::string> known;
    for (const auto& [word, value] : words) {
        if (text == word) return value;
        known.emplace_back(word);
    }
    throw std::invalid_argument(fmt::format("'{}' is none of {}{}", text, fmt::join(known, ", "), did_you_mean(text, known)));
}

template <class T> T parse_number(std::string_view text, const char* kind) {
    T value{};
    const std::string_view digits = text.starts_with('+') ? text.substr(1) : text;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (error == std::errc::result_out_of_range) throw std::invalid_argument(fmt::format("'{}' is out of range", text));
    if (error != std::errc{} || end != digits.data() + digits.size()) throw std::invalid_argument(fmt::format("'{}' is no {}", text, kind));
    return value;
}

std::int64_t parse_at_least(std::string_view text, std::int64_t least) {
    const std::int64_t value = parse_integer(text);
    if (value < least) throw std::invalid_argument(fmt::format("{} is below {}", value, least));
    return value;
}

}  // namespace

std::string safetensors_name(rf_dtype dtype) {
    const auto* found = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const DtypeNames& names) { return same(names.dtype, dtype); });
    return found == kDtypes.end() ? "" : found->safetensors;
}

std::string torch_name(rf_dtype dtype) {
    const auto* found = std::find_if(kDtypes.begin(), kDtypes.end(), [&](const DtypeNames& names) { return same(names.dtype, dtype); });
    return found == kDtypes.end() ? "" : found->torch;
}

std::string device_name(const rf_device& device) {
    if (device.ordinal < 0) return device.arch ? device.arch : rocforge_kind_name(device.kind);
    if (device.kind == RF_DEVICE_CPU && device.ordinal == 0) return "cpu";
    return fmt::format("{}:{}", rocforge_kind_name(device.kind), device.ordinal);
}

rf_dtype parse_dtype(std::string_view text) {
    for (const DtypeNames& names : kDtypes) {
        if (text == names.torch) return names.dtype;
    }
    return parse_word<rf_dtype>(text, {{"f32", kF32}, {"f16", kF16}, {"bf16", kBF16}});
}

const char* layout_name(Layout layout) { return layout == Layout::kBhsd ? "bhsd" : "bshd"; }

Layout parse_layout(std::string_view text) { return parse_word<Layout>(text, {{"bhsd", Layout::kBhsd}, {"bshd", Layout::kBshd}}); }

Diagonal parse_diagonal(std::string_view text) {
    return parse_word<Diagonal>(text, {{"top-left", Diagonal::kTopLeft}, {"bottom-right", Diagonal::kBottomRight}});
}

Causal parse_causal(std::string_view text) {
    return parse_word<Causal>(text, {{"none", Causal::kNone}, {"top-left", Causal::kTopLeft}, {"bottom-right", Causal::kBottomRight}});
}

std::int64_t parse_integer(std::string_view text) { return parse_number<std::int64_t>(text, "whole number"); }
std::int64_t parse_extent(std::string_view text) { return parse_at_least(text, 0); }
std::int64_t parse_positive(std::string_view text) { return parse_at_least(text, 1); }
std::int64_t parse_window(std::string_view text) { return parse_at_least(text, -1); }
std::uint64_t parse_unsigned(std::string_view text) { return parse_number<std::uint64_t>(text, "whole number from 0"); }

float parse_finite(std::string_view text) {
    const auto value = parse_number<float>(text, "number");
    if (!std::isfinite(value)) throw std::invalid_argument(fmt::format("'{}' is not finite", text));
    return value;
}

float parse_softcap(std::string_view text) {
    const float value = parse_finite(text);
    if (value < 0) throw std::invalid_argument(fmt::format("{} is below 0 (0: no softcap)", value));
    return value;
}

float parse_probability(std::string_view text) {
    const float value = parse_finite(text);
    if (value < 0 || value >= 1) throw std::invalid_argument(fmt::format("{} is not in [0, 1)", value));
    return value;
}

std::array<std::int64_t, 4> parse_shape(std::string_view text) {
    std::array<std::int64_t, 4> shape{};
    std::string_view rest = text;
    for (std::size_t axis = 0; axis < shape.size(); ++axis) {
        const std::size_t cut = std::min(rest.find('x'), rest.size());
        const bool last = axis + 1 == shape.size();
        if (last != (cut == rest.size())) throw std::invalid_argument(fmt::format("'{}' is no shape BxHxSxD, such as 2x16x512x64", text));
        shape[axis] = parse_extent(rest.substr(0, cut));
        rest.remove_prefix(last ? cut : cut + 1);
    }
    return shape;
}

}  // namespace rocforge::cli
