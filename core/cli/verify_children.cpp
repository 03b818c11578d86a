// The parent of `rocforge verify`: hands pieces of the items to children, as many at a time as --jobs says, and reads what they tell. A child that
// dies or exceeds the time limit is a finding of the item that it was at; what it had not begun goes to a new child. Nothing that was started
// outlives the run.
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <thread>
#include <utility>

#include "signals.hpp"
#include "verify.hpp"
#include "verify_process.hpp"

namespace rocforge::cli {
namespace {

using Clock = ChildProcess::Clock;
using nlohmann::ordered_json;

constexpr std::size_t kMostItemsAPiece = 100;
// A backend that hangs, or dies, or fails on its device this often does so everywhere: the rest would only take time.
constexpr int kMostHangs = 3, kMostDeaths = 50;

struct Piece {
    std::size_t begin, end;
};

// A child and what it has told so far.
struct Child {
    Child(const VerifyFlags& flags, Piece the_piece)
        : piece(the_piece), next(the_piece.begin), process(words(flags, piece), limit(flags), logs(flags)) {}

    // Items begin in order, each after the one before has ended; anything else was not told by this program's own half of the child.
    void begin(std::size_t index) {
        if (current || index != next || index >= piece.end) return;
        current = index, next = index + 1;
        current_name.clear();
        process.grant_time();
    }

    const Piece piece;
    std::size_t next;
    std::optional<std::size_t> current;  // the item under way
    std::string current_name;            // where that is not the item's
    bool done = false;
    std::string fault;
    ChildProcess process;

private:
    static std::vector<std::string> words(const VerifyFlags& flags, const Piece& piece) {
        std::vector<std::string> all = flags.words(flags.cases);
        all.insert(all.end(), {"--child", fmt::format("{}:{}", piece.begin, piece.end)});
        return all;
    }
    static std::chrono::seconds limit(const VerifyFlags& flags) { return std::chrono::seconds(flags.timeout_s); }
    static bool logs(const VerifyFlags& flags) { return !flags.common.log.empty(); }
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
            std::erase_if(children_, [&](const std::unique_ptr<Child>& child) { return !heed(*child); });
        }
        children_.clear();
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
            const ChildProcess& process = child->process;
            polled.push_back({process.told(), POLLIN, 0});
            polled.push_back({process.output(), POLLIN, 0});
            until = std::min(until, process.deadline());
            // Its end alone is waited for, and no descriptor need tell of that.
            if (child->done || process.told() < 0) until = std::min(until, Clock::now() + std::chrono::milliseconds(5));
        }
        const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count() + 1;
        ::poll(polled.data(), polled.size(), static_cast<int>(std::max<std::int64_t>(left, 0)));
    }

    void listen(Child& child) {
        for (const std::string& line : child.process.lines()) hear(child, line);
    }

    // False: the child is over, and what it left undone waits for another.
    bool heed(Child& child) {
        const bool ended = child.process.ended();  // asked first: what was told before the end is there to be read after it
        listen(child);
        if (!ended && Clock::now() < child.process.deadline()) return true;
        if (!ended) child.process.expire();
        draw_conclusion(child);
        return false;
    }

    void hear(Child& child, const std::string& line) {
        if (line.starts_with("fault ")) {
            child.fault = line.substr(6);
            return;
        }
        const ordered_json message = ordered_json::parse(line, nullptr, false);
        try {
            if (message.is_object()) take_message(child, message);
        } catch (const ordered_json::exception&) {
            // Another form than the child's: the plugin wrote to a descriptor that is not its own. What that spoils is charged to the item under way.
        }
    }

    void take_message(Child& child, const ordered_json& message) {
        if (message.contains("quit")) throw Quit(static_cast<Status>(message.at("quit").get<int>()), message.at("message"), message.at("lines"));
        if (message.contains("broken")) throw Quit(Status::kBackend, fmt::format("{}: {}", subject(), message.at("broken").get<std::string>()));
        if (message.contains("backend"))
            run_.found = {message.at("backend"), message.at("version"), message.at("device"), message.at("arch"), message.at("approximate")};
        if (message.contains("begin") && message.at("begin").is_number_unsigned()) child.begin(message.at("begin").get<std::size_t>());
        if (message.contains("as") && child.current) child.current_name = message.at("as");
        if (message.contains("end")) take(child, message);
        if (message.contains("done")) child.done = true, child.process.grant_time();  // to shut the backend down and to end
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

    void draw_conclusion(Child& child) {
        if (!child.done || child.process.expired() || child.process.ended_badly() || child.current) blame(child);
        if (child.next < child.piece.end) {
            waiting_.push_front({child.next, child.piece.end});
            spoilt_ += child.done ? 1 : 0;
        }
        if (spoilt_ >= kMostDeaths) run_.given_up = fmt::format("given up after {} failures that may have spoilt the device", spoilt_);
        if (hangs_ >= kMostHangs) run_.given_up = fmt::format("given up after {} that did not end", hangs_);
        if (deaths_ >= kMostDeaths) run_.given_up = fmt::format("given up after {} crashes", deaths_);
    }

    void blame(Child& child) {
        if (!child.current && run_.found.backend.empty())
            throw Quit(Status::kBackend, fmt::format("{} {} while it was loaded and opened", subject(), death_of(child)));
        ++(child.process.expired() ? hangs_ : deaths_);
        // Between two items, or after the last, the one before is blamed; a child that never began one is another's to repeat.
        const bool idle = !child.current;
        if (idle && child.next == child.piece.begin) return;
        const std::size_t index = idle ? child.next - 1 : *child.current;
        std::optional<Finding>& known = run_.findings[index];
        if (known && known->outcome == conformance::Outcome::failed) return;
        if (known) --done_;
        Finding finding{.name = known ? known->name : name_of(child, index), .outcome = conformance::Outcome::failed};
        finding.why = death_of(child) + (idle ? ", when the backend was shut down or the process ended" : "");
        keep(index, std::move(finding));
    }

    static std::string death_of(const Child& child) { return child.process.death(child.done && !child.process.ended_badly(), child.fault); }

    std::string subject() const { return flags_.target.empty() ? flags_.backend : flags_.target; }

    const VerifyFlags& flags_;
    const std::vector<conformance::Item>& items_;
    const TellProgress& tell_;
    Run run_;
    std::deque<Piece> waiting_;
    const Strays strays_;  // ends after the children
    std::vector<std::unique_ptr<Child>> children_;
    std::size_t done_ = 0, failed_ = 0;
    int hangs_ = 0, deaths_ = 0, spoilt_ = 0;
};

}  // namespace

Run run_verify_children(const VerifyFlags& flags, const std::vector<conformance::Item>& items, const TellProgress& tell) {
    ::signal(SIGCHLD, SIG_DFL);  // a parent that ignores it hands that on, and no child's status would ever be known
    return Parent(flags, items, tell).run();
}

}  // namespace rocforge::cli
