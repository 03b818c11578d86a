#include "session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "names.hpp"

namespace rocforge::cli {
namespace {

const char* or_null(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }
std::string or_empty(const char* text) { return text ? text : ""; }

std::vector<Reason> reasons_of(const rocforge_choice* choice, std::uint32_t candidate) {
    std::vector<Reason> reasons;
    for (std::uint32_t index = 0;; ++index) {
        rf_reason reason{};
        reason.struct_size = sizeof reason;
        if (rocforge_choice_reason(choice, candidate, index, &reason) != RF_OK) return reasons;
        reasons.push_back({or_empty(rocforge_reason_name(reason.code)), or_empty(reason.field), or_empty(reason.have), or_empty(reason.need),
                           or_empty(reason.hint)});
    }
}

// The library puts the backend's name before its messages; a list has it in a column of its own.
std::string without_name(const std::string& text, const std::string& backend) {
    return text.starts_with(backend + ": ") ? text.substr(backend.size() + 2) : text;
}

Verdict read_verdict(Choice choice) {
    Verdict verdict;
    rocforge_choice_info info{};
    info.struct_size = sizeof info;
    rocforge_choice_describe(choice.get(), &info);
    verdict.backend = or_empty(info.backend);
    verdict.device_kind = info.device_kind;
    verdict.why = in_words_of_flags(or_empty(info.why));
    verdict.fell_back = info.fell_back != 0;
    for (std::uint32_t index = 0; index < info.candidates; ++index) {
        rocforge_candidate candidate{};
        candidate.struct_size = sizeof candidate;
        if (rocforge_choice_candidate(choice.get(), index, &candidate) != RF_OK) break;
        verdict.candidates.push_back({or_empty(candidate.name), candidate.device_kind, candidate.supported != 0, candidate.dropped_in != 0,
                                      candidate.partial != 0, reasons_of(choice.get(), index)});
    }
    verdict.choice = std::move(choice);
    return verdict;
}

}  // namespace

Context open_context(const CommonFlags& flags) {
    if (!flags.log.empty()) ::setenv("ROCFORGE_LOG", flags.log.c_str(), 1);
    rocforge_context* context = nullptr;
    LibraryError error;
    const rf_code code = rocforge_open(or_null(flags.config), nullptr, &context, &error);
    if (code == RF_NOT_FOUND) throw Quit(Status::kFile, error.message);
    check(code, error);
    return Context(context);
}

rf_device find_device(rocforge_context* context, const std::string& device, const std::string& backend) {
    rf_device found{};
    found.struct_size = sizeof found;
    LibraryError error;
    check(rocforge_find_device(context, or_null(device), or_null(backend), &found, &error), error);
    return found;
}

bool Verdict::chosen_was_dropped_in() const {
    return std::any_of(candidates.begin(), candidates.end(), [&](const Candidate& c) { return c.name == backend && c.supported && c.dropped_in; });
}

Verdict select(rocforge_context* context, const rf_device& device, const rf_problem& problem, const std::string& backend) {
    rocforge_choice* choice = nullptr;
    LibraryError error;
    const rf_code code = rocforge_select(context, &device, &problem, or_null(backend), &choice, &error);
    Choice owned(choice);
    if (code != RF_UNSUPPORTED || !owned) check(code, error);
    return read_verdict(std::move(owned));
}

rf_device device_as_named_by(rocforge_context* context, const Verdict& verdict, const rf_device& device) {
    for (std::uint32_t index = 0;; ++index) {
        rf_device own{};
        own.struct_size = sizeof own;
        LibraryError error;
        if (rocforge_device(context, verdict.backend.c_str(), verdict.device_kind, index, &own, &error) != RF_OK) return device;
        if (own.kind == device.kind && own.ordinal == device.ordinal) return own;
    }
}

Devices devices_of(rocforge_context* context, const rocforge_backend_info& backend) {
    Devices found;
    for (std::uint32_t index = 0;; ++index) {
        rf_device device{};
        device.struct_size = sizeof device;
        LibraryError error;
        const rf_code code = rocforge_device(context, backend.name, backend.device_kind, index, &device, &error);
        if (code == RF_OK) {
            found.devices.push_back(device);
            continue;
        }
        if (code != RF_NOT_FOUND)
            found.unavailable = error.message[0] ? without_name(error.message, backend.name) : rocforge_code_name(code);
        else if (index == 0)
            found.unavailable = "it reports no device";
        return found;
    }
}

std::string describe(const Reason& reason) {
    std::string text = fmt::format("{}: {}", reason.code, reason.field);
    if (!reason.have.empty()) text += " is " + reason.have;
    if (!reason.need.empty()) text += ", need " + reason.need;
    if (!reason.hint.empty()) text += "; " + reason.hint;
    return text;
}

std::vector<std::string> refusal_lines(const Terminal& terminal, const std::vector<Candidate>& candidates) {
    std::vector<std::string> lines, elsewhere;
    for (const Candidate& candidate : candidates) {
        if (candidate.supported) continue;
        const std::string who = fmt::format("{} ({})", candidate.name, rocforge_kind_name(candidate.device_kind));
        if (candidate.reasons.size() == 1 && candidate.reasons[0].code == "device_kind") {
            elsewhere.push_back(who);
            continue;
        }
        lines.push_back(fmt::format("  {} {}", terminal.paint(Colour::kRed, "refused"), who));
        for (const Reason& reason : candidate.reasons) lines.push_back("    " + describe(reason));
        if (candidate.partial) lines.emplace_back("    a feature is missing, so its further limits were not examined");
    }
    if (!elsewhere.empty()) lines.push_back(fmt::format("  {} {}", terminal.paint(Colour::kDim, "for other devices:"), fmt::join(elsewhere, ", ")));
    return lines;
}

nlohmann::ordered_json to_json(const std::vector<Candidate>& candidates) {
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const Candidate& candidate : candidates) {
        nlohmann::ordered_json reasons = nlohmann::ordered_json::array();
        for (const Reason& reason : candidate.reasons) {
            reasons.push_back({{"code", reason.code}, {"field", reason.field}, {"have", reason.have}, {"need", reason.need}, {"hint", reason.hint}});
        }
        all.push_back({{"name", candidate.name},
                       {"device_kind", rocforge_kind_name(candidate.device_kind)},
                       {"supported", candidate.supported},
                       {"reasons", std::move(reasons)}});
    }
    return all;
}

Quit refused(const Verdict& verdict) {
    return Quit(Status::kUnsupported, verdict.why, refusal_lines(Terminal(stderr), verdict.candidates), {{"backends", to_json(verdict.candidates)}});
}

}  // namespace rocforge::cli
