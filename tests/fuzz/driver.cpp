// Runs a fuzz target without libFuzzer: every file of a corpus, then mutations of them from a fixed seed, so that each run is the same. It is guided
// by no coverage; it keeps the targets compiling and the parsers safe from the ordinary accidents.
//
// usage: TARGET MUTATIONS SEED FILE_OR_FOLDER...
// A crash leaves the input in ./crash-TARGET, to be run again as `TARGET 0 0 crash-TARGET`.
#include "fuzz.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kMostBytes = 64 * 1024;
constexpr unsigned kHangSeconds = 120;

// The input in flight, where the signal handler finds it.
const Bytes* g_input = nullptr;
std::string g_crash_file;

extern "C" void save_input(int signal) {
    const int file = open(g_crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const bool saved = file >= 0 && g_input && write(file, g_input->data(), g_input->size()) >= 0;
    static constexpr char kSaved[] = "the input is saved beside the driver's working directory\n";
    if (saved && write(STDERR_FILENO, kSaved, sizeof kSaved - 1) < 0) _exit(1);
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void run(const Bytes& input) {
    g_input = &input;
    LLVMFuzzerTestOneInput(input.data(), input.size());
}

Bytes read_file(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
}

std::vector<Bytes> read_corpus(char** first, char** last) {
    std::vector<fs::path> files;
    for (; first != last; ++first) {
        if (!fs::is_directory(*first))
            files.emplace_back(*first);
        else
            for (const auto& entry : fs::directory_iterator(*first)) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    std::vector<Bytes> corpus;
    for (const fs::path& file : files) corpus.push_back(read_file(file));
    return corpus;
}

class Mutator {
public:
    Mutator(const std::vector<Bytes>& corpus, std::uint64_t seed) : corpus_(corpus), random_(seed) {}

    Bytes next() {
        Bytes bytes = any_of_corpus();
        for (std::size_t steps = 1 + below(4); steps > 0; --steps) mutate(bytes);
        bytes.resize(std::min(bytes.size(), kMostBytes));
        return bytes;
    }

private:
    std::size_t below(std::size_t limit) { return limit ? random_() % limit : 0; }
    const Bytes& any_of_corpus() { return corpus_[below(corpus_.size())]; }

    void mutate(Bytes& bytes) {
        const std::size_t at = below(bytes.size() + 1);
        switch (below(6)) {
            case 0:
                flip(bytes, at);
                break;
            case 1:
                bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), static_cast<std::uint8_t>(random_()));
                break;
            case 2:
                bytes.resize(at);
                break;
            case 3:
                overwrite(bytes, at);
                break;
            case 4:
                remove(bytes, at);
                break;
            default:
                splice(bytes, at);
                break;
        }
    }

    void flip(Bytes& bytes, std::size_t at) {
        if (at < bytes.size()) bytes[at] ^= static_cast<std::uint8_t>(1u << below(8));
    }

    // Numbers that overflow sums and products, in the widths that headers have.
    void overwrite(Bytes& bytes, std::size_t at) {
        static constexpr std::array<std::uint64_t, 12> kNumbers{0,          1,          7,         UINT8_MAX,  UINT16_MAX,     INT32_MAX,
                                                                UINT32_MAX, 1ull << 40, INT64_MAX, 1ull << 63, UINT64_MAX - 7, UINT64_MAX};
        const std::uint64_t number = kNumbers[below(kNumbers.size())];
        const std::size_t width = std::size_t{1} << below(4);
        if (at + width <= bytes.size()) std::memcpy(bytes.data() + at, &number, width);
    }

    void remove(Bytes& bytes, std::size_t at) {
        const std::size_t count = std::min(bytes.size() - at, 1 + below(16));
        bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at), bytes.begin() + static_cast<std::ptrdiff_t>(at + count));
    }

    // A piece of another input, put in between.
    void splice(Bytes& bytes, std::size_t at) {
        const Bytes& other = any_of_corpus();
        const std::size_t from = below(other.size()), count = std::min(other.size() - from, 1 + below(64));
        const auto begin = other.begin() + static_cast<std::ptrdiff_t>(from);
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), begin, begin + static_cast<std::ptrdiff_t>(count));
    }

    const std::vector<Bytes>& corpus_;
    std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: %s MUTATIONS SEED FILE_OR_FOLDER...\n", argv[0]);
        return 2;
    }
    g_crash_file = "crash-" + fs::path(argv[0]).filename().string();
    for (const int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM}) std::signal(signal, save_input);
    alarm(kHangSeconds);
    const std::vector<Bytes> corpus = read_corpus(argv + 3, argv + argc);
    if (corpus.empty()) {
        std::fprintf(stderr, "%s: the corpus is empty: nothing was tested\n", argv[0]);
        return 2;
    }
    for (const Bytes& input : corpus) run(input);
    const std::uint64_t mutations = std::strtoull(argv[1], nullptr, 10);
    Mutator mutator(corpus, std::strtoull(argv[2], nullptr, 10));
    for (std::uint64_t i = 0; i < mutations; ++i) run(mutator.next());
    std::printf("%zu inputs and %llu mutations of them\n", corpus.size(), static_cast<unsigned long long>(mutations));
    return 0;
}
