#include "verify_process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "status.hpp"
#include "text/text.hpp"

namespace rocforge::cli {
namespace {

constexpr std::size_t kOutputKept = 2000;
// Of one child: a plugin that prints in each call would bury everything else.
constexpr std::size_t kOutputPassedOn = 256 * 1024, kLongestLine = 4096;
constexpr std::size_t kLongestMessage = 1 << 20;  // through descriptor 3: far above any of this program's own

struct Pipe {
    Pipe() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) throw Quit(Status::kBackend, fmt::format("cannot make a pipe: {}", std::strerror(errno)));
        read = Descriptor(ends[0]), write = Descriptor(ends[1]);
    }
    Descriptor read, write;
};

pid_t spawn(std::vector<std::string> words, const Pipe& told, const Pipe& output) {
    std::vector<char*> argv;
    argv.reserve(words.size() + 1);
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, output.write.get(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, output.write.get(), STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, told.write.get(), 3);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // A group of its own: Ctrl-C reaches this process alone, and whatever the plugin starts ends with the child.
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    pid_t pid = 0;
    const int failed = ::posix_spawn(&pid, "/proc/self/exe", &actions, &attributes, argv.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) throw Quit(Status::kBackend, fmt::format("cannot start a child process: {}", std::strerror(failed)));
    return pid;
}

// What there is to read, a pipe's fill at most: a writer that never stops must not hold up the time limit.
void drain(Descriptor& descriptor, std::string& into) {
    std::array<char, 65536> bytes;
    for (int turn = 0; turn < 4 && descriptor.get() >= 0; ++turn) {
        const ssize_t got = ::read(descriptor.get(), bytes.data(), bytes.size());
        if (got > 0)
            into.append(bytes.data(), static_cast<std::size_t>(got));
        else if (got < 0 && errno == EAGAIN)
            return;
        else if (got == 0 || errno != EINTR)
            descriptor.close();
    }
}

}  // namespace

void Descriptor::close() {
    if (number_ >= 0) ::close(number_);
    number_ = -1;
}

ChildProcess::ChildProcess(std::vector<std::string> words, std::chrono::seconds limit, bool passes_output_on)
    : limit_(limit), passes_output_on_(passes_output_on), deadline_(Clock::now() + limit) {
    Pipe told, output;
    pid_ = spawn(std::move(words), told, output);
    prefix_ = fmt::format("[{}] ", pid_);
    told_ = std::move(told.read), output_ = std::move(output.read);
    for (const Descriptor* each : {&told_, &output_}) ::fcntl(each->get(), F_SETFL, O_NONBLOCK);
}

std::vector<std::string> ChildProcess::lines() {
    std::vector<std::string> whole;
    drain(told_, text_);
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = text_.find('\n', begin)) != std::string::npos; begin = end + 1)
        whole.push_back(text_.substr(begin, end - begin));
    text_.erase(0, begin);
    if (text_.size() > kLongestMessage) text_.clear();
    read_output();
    return whole;
}

void ChildProcess::read_output() {
    std::string more;
    drain(output_, more);
    if (passes_output_on_) pass_on(more, false);
    said_ += more;
    if (said_.size() > kOutputKept) said_.erase(0, said_.size() - kOutputKept);
}

// Whole lines only, each with the process's number, so that those of several children can be told apart.
void ChildProcess::pass_on(const std::string& more, bool last) {
    if (passed_bytes_ > kOutputPassedOn) return;
    unpassed_ += more;
    if ((last && !unpassed_.empty()) || unpassed_.size() > kLongestLine) unpassed_ += '\n';
    std::size_t begin = 0;
    for (std::size_t end = 0; (end = unpassed_.find('\n', begin)) != std::string::npos; begin = end + 1) {
        passed_bytes_ += prefix_.size() + end - begin + 1;
        const bool full = passed_bytes_ > kOutputPassedOn;
        const std::string line = full ? fmt::format("says more than {} bytes; the rest is left out", kOutputPassedOn)
                                      : printable(std::string_view(unpassed_).substr(begin, end - begin));
        std::fputs((prefix_ + line + "\n").c_str(), stderr);
        if (full) break;
    }
    unpassed_.erase(0, begin);
}

bool ChildProcess::ended() {
    if (pid_ == 0) return true;
    const pid_t waited = ::waitpid(pid_, &status_, WNOHANG);
    if (waited == 0 || (waited < 0 && errno == EINTR)) return false;
    bury();
    return true;
}

void ChildProcess::kill() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) continue;
    bury();
}

void ChildProcess::bury() {
    ::kill(-pid_, SIGKILL);  // what the plugin may have started
    pid_ = 0;
    read_output();
    if (passes_output_on_) pass_on({}, true);
}

bool ChildProcess::ended_badly() const { return WIFSIGNALED(status_) || WEXITSTATUS(status_) != 0; }

std::string ChildProcess::death(bool spoilt, const std::string& fault) const {
    const char* const signal = WIFSIGNALED(status_) ? ::sigabbrev_np(WTERMSIG(status_)) : nullptr;
    std::string text = fmt::format("ended the process, with exit status {}", WEXITSTATUS(status_));
    if (spoilt) text = "spoilt the result, which is told through descriptor 3; a backend writes to descriptors that it has opened";
    if (WIFSIGNALED(status_)) text = fmt::format("crashed with SIG{}", signal ? signal : "?");
    if (expired_) text = fmt::format("did not end within {} s", limit_.count());
    if (!fault.empty()) text += "; " + fault;
    std::string said = said_;
    said.erase(said.find_last_not_of(" \n") + 1);
    if (const std::size_t line = said.find_last_of('\n'); line != std::string::npos) said.erase(0, line + 1);
    if (!said.empty()) text += "; it said: " + printable(said);
    return text;
}

// ---- Strays

namespace {

// The parent of a process, by /proc/PID/stat: "PID (name, with whatever in it) state parent ...". 0: there is no such process.
pid_t parent_process_of(const std::filesystem::path& process) {
    std::ifstream file(process / "stat");
    std::string text;
    std::getline(file, text);
    const std::size_t name_end = text.rfind(") ");
    if (name_end == std::string::npos || name_end + 4 >= text.size()) return 0;
    pid_t parent = 0;
    std::from_chars(text.data() + name_end + 4, text.data() + text.size(), parent);
    return parent;
}

std::vector<pid_t> own_children() {
    std::vector<pid_t> children;
    std::error_code failed;  // nothing is thrown: a destructor asks
    for (std::filesystem::directory_iterator entry("/proc", failed); !failed && entry != std::filesystem::directory_iterator();
         entry.increment(failed)) {
        const std::string name = entry->path().filename().string();
        pid_t pid = 0;
        const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (wrong == std::errc() && end == name.data() + name.size() && parent_process_of(entry->path()) == ::getpid()) children.push_back(pid);
    }
    return children;
}

}  // namespace

Strays::Strays() : before_(own_children()) { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

// Each that dies leaves its own children to this process: until there is none, a second at most.
Strays::~Strays() {
    for (int turn = 0; turn < 1000; ++turn) {
        std::vector<pid_t> left = own_children();
        std::erase_if(left, [&](pid_t pid) { return std::find(before_.begin(), before_.end(), pid) != before_.end(); });
        if (left.empty()) return;
        for (const pid_t pid : left) {
            ::kill(pid, SIGKILL);
            ::waitpid(pid, nullptr, WNOHANG);
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
}

}  // namespace rocforge::cli
