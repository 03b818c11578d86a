// What `rocforge verify` runs: every case of the tables and every law of the contract, by name, on one backend called through its table alone.
// In one process: whoever expects crashes runs it in a child (note() then says what was under way). Draws no conclusion from a list of verdicts.
#ifndef ROCFORGE_CONFORMANCE_SUITE_H
#define ROCFORGE_CONFORMANCE_SUITE_H

#include "backend.h"
#include "cases.h"
#include "device.h"
#include "run.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace rocforge::conformance {

enum class Level {
    quick,  // the table of cases, each in one manner
    full    // also the tiles' table; each case in every manner; more repetitions
};

// The backend has no such device here, and why.
class Unavailable : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// Which backend, where, and how thoroughly.
struct Setting {
    rf_plugin_entry entry = nullptr;
    const rf_backend_api* api = nullptr;  // one that the entry registered
    Options options{};
    std::int32_t ordinal = -1;  // of the device; -1: the first
    std::string arch{};  // instead: a device that is not here, as describe() knows it. Nothing is run on it; what it says of problems is judged
    Level level = Level::quick;
    std::uint64_t seed = 1;
    TakeLog log{};
};

// A backend under test: its instances and its device.
class Subject {
public:
    // Throws Broken or Unavailable.
    explicit Subject(const Setting&);
    const Setting& setting() const { return setting_; }
    bool full() const { return setting_.level == Level::full; }
    bool present() const { return setting_.arch.empty(); }
    bool on_host() const { return setting_.api->device_kind == RF_DEVICE_CPU; }
    const rf_device& device() const { return device_; }
    const Backend& backend() const { return *natural_; }
    // What each of its contexts lends.
    Lending lending(Order order = Order::as_they_come) const { return {.order = order, .options = setting_.options, .log = setting_.log}; }
    // The same backend in a context whose one thread plays all workers, the last slice first.
    const Backend& backwards();
    // Throws Unavailable where the backend lends no memory.
    const LentDevice& lent();

    // A few cases of different kernels that this backend runs: decode, prefill, pages, ragged, else what it runs first. None: it runs nothing.
    const std::vector<Case>& cases_that_run();

private:
    void find_device();
    Setting setting_;
    std::unique_ptr<Backend> natural_, backwards_;
    rf_device device_{};
    std::unique_ptr<LentDevice> lent_;
    std::unique_ptr<const std::vector<Case>> cases_that_run_;
};

class Law;
// A case or a law. Names of laws start "law/".
struct Item {
    std::string name;
    std::shared_ptr<const Case> the_case;  // or
    const Law* law = nullptr;
};

// Everything of a level, in the order in which it is run.
std::vector<Item> items(Level, std::uint64_t seed);
// Those of all items that the globs take. A case that the table has in f32 alone goes by the names of in_16_bits() too, where a glob writes "-as-".
std::vector<Item> chosen(std::vector<Item> all, const std::string& globs);

// Told before a case is run in 16 bits, under that name, because the backend refuses it for its f32 alone.
using TellName = std::function<void(const std::string& name)>;
Verdict examine(Subject&, const Item&, const TellName&);

// What is under way within an item, for the message of a crash: "problem 17 of seed 1". A signal handler may read it.
void note(const std::string&);
const char* noted();

// Results of one case on the subject in one manner, as examine() runs them: for laws.
Verdict run_on_host(Subject&, const Backend&, Prepared&, const rf_problem&);

}  // namespace rocforge::conformance
#endif
