#include "signals.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>
#include <span>

namespace rocforge::cli {
namespace {

// What ends a program from outside. SIGQUIT and SIGXFSZ (a file over the limit) leave a core, as they would without us.
constexpr std::array<int, 5> kEnding{SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXFSZ};
constexpr std::array<int, 3> kNoted{SIGINT, SIGTERM, SIGHUP};

// Read by handlers, hence plain arrays and sig_atomic_t.
char removed_path[PATH_MAX];
volatile sig_atomic_t interrupts = 0, held = 0;

void remove_and_end(int number) {
    ::unlink(removed_path);
    ::signal(number, SIG_DFL);
    ::raise(number);
}

void hold(int number) {
    if (held == 0) held = number;
}

// What a noted signal did before: it does that the second time.
struct sigaction before_note[kNoted.size()];

void note(int number) {
    interrupts = 1;
    for (std::size_t n = 0; n < kNoted.size(); ++n)
        if (kNoted[n] == number) ::sigaction(number, &before_note[n], nullptr);
}

void handle(std::span<const int> signals, void (*handler)(int)) {
    for (const int number : signals) {
        struct sigaction before {};
        ::sigaction(number, nullptr, &before);
        if (before.sa_handler == SIG_IGN) continue;  // nohup's choice stands
        struct sigaction action {};
        action.sa_handler = handler;
        ::sigemptyset(&action.sa_mask);
        ::sigaction(number, &action, nullptr);
    }
}

}  // namespace

RemoveOnSignal::RemoveOnSignal(const std::string& path) {
    std::strncpy(removed_path, path.c_str(), sizeof removed_path - 1);  // a path that is cut here is too long for open() as well
    handle(kEnding, remove_and_end);
}

RemoveOnSignal::~RemoveOnSignal() { handle(kEnding, SIG_DFL); }

HoldSignals::HoldSignals() { handle(kEnding, hold); }
HoldSignals::~HoldSignals() {
    handle(kEnding, SIG_DFL);
    if (held != 0) ::raise(held);
}
bool HoldSignals::holds() noexcept { return held != 0; }

NoteInterrupts::NoteInterrupts() {
    for (std::size_t n = 0; n < kNoted.size(); ++n) ::sigaction(kNoted[n], nullptr, &before_note[n]);
    handle(kNoted, note);
}
NoteInterrupts::~NoteInterrupts() {
    for (std::size_t n = 0; n < kNoted.size(); ++n) ::sigaction(kNoted[n], &before_note[n], nullptr);
}
bool NoteInterrupts::interrupted() noexcept { return interrupts != 0; }

}  // namespace rocforge::cli
