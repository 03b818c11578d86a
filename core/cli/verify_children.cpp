// The parent of `rocforge verify`: hands pieces of the items to children, as many at a time as --jobs says, and reads what they tell. A child that
// dies or exceeds the time limit is a finding of the item that it was at; what it had not begun goes to a new child. No child outlives the parent.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <thread>
#include <utility>

#include "signals.hpp"
#include "verify.hpp"

namespace rocforge::cli {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::ordered_json;

constexpr std::size_t kMostItemsAPiece = 100, kOutputKept = 2000;
// A backend that hangs, or dies, or fails on its device this often does so everywhere: the rest would only take time.
constexpr int kMostHangs = 3, kMostDeaths = 50;

struct Piece {
    std::size_t begin, end;
};

// A pipe's end, closed with the object.
class Descriptor {
public:
    explicit Descriptor(int number = -1) : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(number_, other.number_);
        return *this;
    }
    ~Descriptor() {
        if (number_ >= 0) ::close(number_);
    }
    int get() const { return number_; }

private:
    int number_;
};

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

// One child and what it has told so far.
class Child {
public:
    Child(const VerifyFlags& flags, Piece piece)
        : piece_(piece), forwards_(!flags.common.log.empty()), limit_(flags.timeout_s), deadline_(Clock::now() + limit_) {
        Pipe told, output;
        std::vector<std::string> words = flags.words(flags.cases);
        words.insert(words.end(), {"--child", fmt::format("{}:{}", piece.begin, piece.end)});
        pid_ = spawn(std::move(words), told, output);
        told_ = std::move(told.read), output_ = std::move(output.read);
        for (const Descriptor* each : {&told_, &output_}) ::fcntl(each->get(), F_SETFL, O_NONBLOCK);
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;
    ~Child() { end(); }

    int told() const { return told_.get(); }
    int output() const { return output_.get(); }
    Clock::time_point deadline() const { return deadline_; }
    const Piece& piece() const { return piece_; }
    std::optional<std::size_t> current;  // the item under way
    std::string current_name;            // where that is not the item's
    std::size_t next() const { return next_; }
    bool done = false, hung = false;
    std::string fault;

    // Items begin in order, each after the one before has ended; anything else was not told by this program's own half of the child.
    void begin(std::size_t index) {
        if (!current && index == next_ && index < piece_.end)
            current = index, next_ = index + 1, current_name.clear(), deadline_ = Clock::now() + limit_;
    }

    // Lines that have come since. False: no more will.
    bool read_lines(std::vector<std::string>& lines) {
        const bool open = drain(told_.get(), text_);
        for (std::size_t at = 0; (at = text_.find('\n')) != std::string::npos; text_.erase(0, at + 1)) lines.push_back(text_.substr(0, at));
        return open;
    }
    void read_output() {
        const std::size_t before = said_.size();
        drain(output_.get(), said_);
        if (forwards_) forward(said_.substr(before), false);
        if (said_.size() > kOutputKept) said_.erase(0, said_.size() - kOutputKept);
    }
    // Kills what is left of it and gives the wait status.
    int end() {
        if (pid_ <= 0) return status_;
        // Whoever has told all ends by itself, soon; anybody else has no more time.
        for (int n = 0; !hung && n < 200; ++n) {
            if (::waitpid(pid_, &status_, WNOHANG) == pid_) return finish();
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
        ::kill(-pid_, SIGKILL);
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) continue;
        return finish();
    }
    void kill_at_once() {
        hung = true;
        end();
    }
    // How it died, in words.
    std::string death() const {
        std::string text =
            hung                     ? fmt::format("did not end within {} s", limit_.count())
            : WIFSIGNALED(status_)   ? fmt::format("crashed with SIG{}", ::sigabbrev_np(WTERMSIG(status_)) ? ::sigabbrev_np(WTERMSIG(status_)) : "?")
            : done && !ended_badly() ? "spoilt the result, which is told through descriptor 3; a backend writes to descriptors that it has opened"
                                     : fmt::format("ended the process, with exit status {}", WEXITSTATUS(status_));
        if (!fault.empty()) text += "; " + fault;
        std::string said = said_;
        said.erase(said.find_last_not_of(" \n") + 1);
        if (const std::size_t line = said.find_last_of('\n'); line != std::string::npos) said.erase(0, line + 1);
        if (!said.empty()) text += "; it said: " + said;
        return text;
    }
    // The child's own way to end is status 0, whatever it found.
    bool ended_badly() const { return WIFSIGNALED(status_) || WEXITSTATUS(status_) != 0; }

private:
    static bool drain(int descriptor, std::string& into) {
        std::array<char, 4096> bytes{};
        for (;;) {
            const ssize_t got = ::read(descriptor, bytes.data(), bytes.size());
            if (got > 0) into.append(bytes.data(), static_cast<std::size_t>(got));
            if (got == 0) return false;
            if (got < 0 && errno != EINTR) return errno == EAGAIN;
        }
    }
    // Whole lines only, so that those of several children do not mix.
    void forward(const std::string& more, bool last) {
        unforwarded_ += more;
        if (last && !unforwarded_.empty()) unforwarded_ += '\n';
        const std::size_t whole = unforwarded_.rfind('\n') + 1;
        std::fwrite(unforwarded_.data(), 1, whole, stderr);
        unforwarded_.erase(0, whole);
    }
    int finish() {
        ::kill(-pid_, SIGKILL);  // what the plugin may have started
        pid_ = 0;
        read_output();
        forward({}, true);
        return status_;
    }

    Piece piece_;
    bool forwards_;  // what it says goes to stderr, where --log asks for it
    std::chrono::seconds limit_;
    Clock::time_point deadline_;
    pid_t pid_ = 0;
    int status_ = 0;
    std::size_t next_ = piece_.begin;
    Descriptor told_, output_;
    std::string text_, said_, unforwarded_;
};

class Parent {
public:
    Parent(const VerifyFlags& flags, const std::vector<conformance::Item>& items, const TellProgress& tell)
        : flags_(flags), items_(items), tell_(tell) {
        run_.findings.resize(items.size());
        const std::size_t each = std::clamp<std::size_t>(items.size() / (jobs() * 4), 1, kMostItemsAPiece);
        for (std::size_t at = 0; at < items.size(); at += each) waiting_.push_back({at, std::min(at + each, items.size())});
    }

    Run run() {
        const NoteInterrupts guard;
        while (!waiting_.empty() || !children_.empty()) {
            run_.interrupted = NoteInterrupts::interrupted();
            if (run_.interrupted || !run_.given_up.empty()) break;
            while (!waiting_.empty() && children_.size() < jobs()) {
                children_.push_back(std::make_unique<Child>(flags_, waiting_.front()));
                waiting_.pop_front();
            }
            wait();
            std::erase_if(children_, [&](const std::unique_ptr<Child>& child) { return !listen(*child); });
        }
        for (const auto& child : children_) child->kill_at_once();
        return std::move(run_);
    }

private:
    std::size_t jobs() const {
        if (flags_.jobs > 0) return static_cast<std::size_t>(flags_.jobs);
        return std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 8);
    }

    void wait() const {
        std::vector<pollfd> polled;
        auto until = Clock::now() + std::chrono::milliseconds(250);  // Ctrl-C may come just before poll
        for (const auto& child : children_) {
            polled.push_back({child->told(), POLLIN, 0});
            polled.push_back({child->output(), POLLIN, 0});
            until = std::min(until, child->deadline());
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count() + 1;
        ::poll(polled.data(), polled.size(), static_cast<int>(std::max<std::int64_t>(left, 0)));
    }

    // False: the child is over, and what it left undone waits for another.
    bool listen(Child& child) {
        std::vector<std::string> lines;
        const bool open = child.read_lines(lines);
        child.read_output();
        for (const std::string& line : lines) hear(child, line);
        if (!open || child.done) {
            child.end();
            bury(child);
            return false;
        }
        if (Clock::now() < child.deadline()) return true;
        child.kill_at_once();
        bury(child);
        return false;
    }

    void hear(Child& child, const std::string& line) {
        if (line.starts_with("fault ")) {
            child.fault = line.substr(6);
            return;
        }
        const ordered_json message = ordered_json::parse(line, nullptr, false);
        try {
            if (message.is_object()) heed(child, message);
        } catch (const ordered_json::exception&) {
            // Another form than the child's: the plugin wrote to a descriptor that is not its own. What that spoils is charged to the item under way.
        }
    }

    void heed(Child& child, const ordered_json& message) {
        if (message.contains("quit")) throw Quit(static_cast<Status>(message.at("quit").get<int>()), message.at("message"), message.at("lines"));
        if (message.contains("broken")) throw Quit(Status::kBackend, fmt::format("{}: {}", subject(), message.at("broken").get<std::string>()));
        if (message.contains("backend"))
            run_.found = {message.at("backend"), message.at("version"), message.at("device"), message.at("arch"), message.at("approximate")};
        if (message.contains("begin") && message.at("begin").is_number_unsigned()) child.begin(message.at("begin").get<std::size_t>());
        if (message.contains("as") && child.current) child.current_name = message.at("as");
        if (message.contains("end")) take(child, message);
        if (message.contains("done")) child.done = true;
    }

    void take(Child& child, const ordered_json& message) {
        const ordered_json& index = message.at("end");
        if (!child.current || !index.is_number_unsigned() || index.get<std::size_t>() != *child.current) return;
        Finding finding{.name = name_of(child, *child.current)};
        finding.outcome = outcome_of(message.at("outcome"));
        finding.by_values = message.at("by_values");
        finding.seconds = message.at("seconds");
        finding.why = message.at("why");
        if (message.at("compared").get<bool>()) {
            if (message.at("max_error").is_number()) finding.max_error = message.at("max_error").get<double>();
            if (message.at("tolerance").is_number()) finding.tolerance = message.at("tolerance").get<double>();
        }
        keep(*std::exchange(child.current, std::nullopt), std::move(finding));
    }

    std::string name_of(const Child& child, std::size_t index) const { return child.current_name.empty() ? items_[index].name : child.current_name; }

    // What is none of the outcomes is a failure.
    static conformance::Outcome outcome_of(const ordered_json& told) {
        for (const auto each : {conformance::Outcome::passed, conformance::Outcome::refused})
            if (told == static_cast<int>(each)) return each;
        return conformance::Outcome::failed;
    }

    void keep(std::size_t index, Finding finding) {
        ++done_;
        if (finding.outcome == conformance::Outcome::failed) ++failed_;
        tell_(done_, failed_, finding.name);
        run_.findings[index] = std::move(finding);
    }

    // Draws the conclusion from a child's end; what it left undone goes to another.
    void bury(Child& child) {
        if (!child.done || child.ended_badly() || child.current) blame(child);
        if (child.next() < child.piece().end) {
            waiting_.push_front({child.next(), child.piece().end});
            spoilt_ += child.done ? 1 : 0;
        }
        if (spoilt_ >= kMostDeaths) run_.given_up = fmt::format("given up after {} failures that may have spoilt the device", spoilt_);
        if (hangs_ >= kMostHangs) run_.given_up = fmt::format("given up after {} that did not end", hangs_);
        if (deaths_ >= kMostDeaths) run_.given_up = fmt::format("given up after {} crashes", deaths_);
    }

    void blame(Child& child) {
        if (!child.current && run_.found.backend.empty())
            throw Quit(Status::kBackend, fmt::format("{} {} while it was loaded and opened", subject(), child.death()));
        ++(child.hung ? hangs_ : deaths_);
        // Between two items, or after the last, the one before is blamed; a child that never began one is another's to repeat.
        const bool idle = !child.current;
        if (idle && child.next() == child.piece().begin) return;
        const std::size_t index = idle ? child.next() - 1 : *child.current;
        std::optional<Finding>& known = run_.findings[index];
        if (known && known->outcome == conformance::Outcome::failed) return;
        if (known) --done_;
        Finding finding{.name = known ? known->name : name_of(child, index), .outcome = conformance::Outcome::failed};
        finding.why = child.death() + (idle ? ", when the backend was shut down or the process ended" : "");
        keep(index, std::move(finding));
    }

    std::string subject() const { return flags_.target.empty() ? flags_.backend : flags_.target; }

    const VerifyFlags& flags_;
    const std::vector<conformance::Item>& items_;
    const TellProgress& tell_;
    Run run_;
    std::deque<Piece> waiting_;
    std::vector<std::unique_ptr<Child>> children_;
    std::size_t done_ = 0, failed_ = 0;
    int hangs_ = 0, deaths_ = 0, spoilt_ = 0;
};

}  // namespace

Run run_verify_children(const VerifyFlags& flags, const std::vector<conformance::Item>& items, const TellProgress& tell) {
    return Parent(flags, items, tell).run();
}

}  // namespace rocforge::cli
