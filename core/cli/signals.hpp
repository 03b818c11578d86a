// What Ctrl-C and SIGTERM leave behind: no half-written file from `run`, no lost rows from `bench`, no half a project from `new`.
#pragma once

#include <string>

namespace rocforge::cli {

// While this lives, SIGINT, SIGTERM, SIGHUP, SIGQUIT and SIGXFSZ remove the file and then end the program as they would have. One at a time.
// Make it before the file: a file that is not there yet is no harm.
class RemoveOnSignal {
public:
    explicit RemoveOnSignal(const std::string& path);
    ~RemoveOnSignal();
    RemoveOnSignal(const RemoveOnSignal&) = delete;
    RemoveOnSignal& operator=(const RemoveOnSignal&) = delete;
};

// While this lives, the signals above are held; the first of them ends the program when this goes.
class HoldSignals {
public:
    HoldSignals();
    ~HoldSignals();
    HoldSignals(const HoldSignals&) = delete;
    HoldSignals& operator=(const HoldSignals&) = delete;

    static bool holds() noexcept;
};

// While this lives, the first SIGINT, SIGTERM or SIGHUP is noted for interrupted(), the second does what it did before: it ends the program, and
// removes the file of a RemoveOnSignal around this.
class NoteInterrupts {
public:
    NoteInterrupts();
    ~NoteInterrupts();
    NoteInterrupts(const NoteInterrupts&) = delete;
    NoteInterrupts& operator=(const NoteInterrupts&) = delete;

    static bool interrupted() noexcept;
};

}  // namespace rocforge::cli
