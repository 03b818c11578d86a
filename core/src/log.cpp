#include "log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <array>
#include <string_view>

namespace rocforge {
namespace {

constexpr std::array<std::string_view, 6> kLevels{"trace", "debug", "info", "warn", "error", "off"};  // RF_LOG_* are the indices

}  // namespace

struct Log::Stderr {
    spdlog::logger logger{"rocforge", std::make_shared<spdlog::sinks::stderr_color_sink_mt>()};
};

Log::Log(const char* level, const rocforge_hooks& hooks) : hooks_(hooks) {
    if (!hooks_.log) {
        stderr_ = std::make_unique<Stderr>();
        stderr_->logger.set_level(spdlog::level::trace);
        stderr_->logger.set_pattern("rocforge: %^%l%$: %v");
    }
    if (!level || !*level) return;
    for (std::size_t i = 0; i < kLevels.size(); ++i) {
        if (level == kLevels[i]) {
            least_ = static_cast<std::int32_t>(i);
            return;
        }
    }
    write(RF_LOG_WARN, std::string("ROCFORGE_LOG is '") + level + "'; known are trace, debug, info, warn, error, off; warn is used");
}

Log::~Log() = default;

void Log::write(std::int32_t level, const std::string& message) const noexcept {
    if (level < least_) return;
    if (hooks_.log) return hooks_.log(hooks_.self, level, message.c_str());
    static constexpr spdlog::level::level_enum kMap[]{spdlog::level::trace, spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                                      spdlog::level::err};
    stderr_->logger.log(kMap[level < 0 ? 0 : level > 4 ? 4 : level], message);
}

}  // namespace rocforge
