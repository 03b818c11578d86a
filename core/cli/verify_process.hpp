// One child process of `rocforge verify`: started, listened to, ended. What it tells through descriptor 3 comes out as lines, what it prints is kept
// and, where --log asks for it, passed on. Judges nothing.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace rocforge::cli {

// A pipe's end, closed with the object.
class Descriptor {
public:
    explicit Descriptor(int number = -1) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor() { close(); }
    int get() const { return number_; }
    void close();

private:
    int number_;
};

class ChildProcess {
public:
    using Clock = std::chrono::steady_clock;

    // `words`: the command line of this program's child. It has `limit` for each step. Throws Quit where it cannot be started.
    ChildProcess(std::vector<std::string> words, std::chrono::seconds limit, bool passes_output_on);
    ChildProcess(const ChildProcess&) = delete;
    ChildProcess& operator=(const ChildProcess&) = delete;
    ~ChildProcess() { kill(); }

    // To be polled; -1 once closed.
    int told() const { return told_.get(); }
    int output() const { return output_.get(); }
    // A step has begun.
    void grant_time() { deadline_ = Clock::now() + limit_; }
    Clock::time_point deadline() const { return deadline_; }

    // Whole lines that have come since; takes up what it has printed, too.
    std::vector<std::string> lines();
    // Has it ended by itself? What it told until then can still be read.
    bool ended();
    // Ends it, and what it has started in its process group. No call after the first does anything.
    void kill();
    // It has not ended within its limit.
    void expire() { expired_ = true, kill(); }
    bool expired() const { return expired_; }

    // Its own way to end is status 0, whatever it found.
    bool ended_badly() const;
    // How it ended, in words, and the last line that it printed. `spoilt`: it ended well and yet its result cannot be read.
    std::string death(bool spoilt, const std::string& fault) const;

private:
    void read_output();
    void pass_on(const std::string& more, bool last);
    void bury();

    std::chrono::seconds limit_;
    bool passes_output_on_, expired_ = false;
    Clock::time_point deadline_;
    pid_t pid_ = 0;  // 0: over
    std::string prefix_;
    int status_ = 0;
    Descriptor told_, output_;
    std::string text_, said_, unpassed_;
    std::size_t passed_bytes_ = 0;
};

// While this lives, processes that a child leaves behind, in whatever session, become children of this one; they end with this object. Children that
// were there before, as a shell's that became this program by exec, are let be.
class Strays {
public:
    Strays();
    ~Strays();
    Strays(const Strays&) = delete;
    Strays& operator=(const Strays&) = delete;

private:
    std::vector<pid_t> before_;
};

}  // namespace rocforge::cli
