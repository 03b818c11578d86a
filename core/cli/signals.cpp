#include "signals.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>

namespace rocforge::cli {
namespace {

constexpr std::array<int, 3> kSignals{SIGINT, SIGTERM, SIGHUP};

// Read by handlers, hence plain arrays and sig_atomic_t.
char removed_path[PATH_MAX];
volatile sig_atomic_t interrupts = 0;

void remove_and_end(int number) {
    ::unlink(removed_path);
    ::signal(number, SIG_DFL);
    ::raise(number);
}

void note(int number) {
    interrupts = 1;
    ::signal(number, SIG_DFL);
}

void handle(void (*handler)(int)) {
    for (const int number : kSignals) {
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
    handle(remove_and_end);
}

RemoveOnSignal::~RemoveOnSignal() { handle(SIG_DFL); }

NoteInterrupts::NoteInterrupts() { handle(note); }
NoteInterrupts::~NoteInterrupts() { handle(SIG_DFL); }
bool NoteInterrupts::interrupted() noexcept { return interrupts != 0; }

}  // namespace rocforge::cli
