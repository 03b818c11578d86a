#include "waves.h"

#include <immintrin.h>
#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <initializer_list>

namespace {

constexpr std::size_t kExec = 126, kPcLow = 256, kPcHigh = 257;
constexpr std::uint32_t kPoison = 0xFFFFFFFF;        // NaN as f32 and as two f16 or bf16
constexpr std::uint64_t kEnded = ~std::uint64_t{0};  // the program counter after s_endpgm
constexpr unsigned kFlushDenormals = 0x8040;         // MXCSR: denormal results and operands are zero
using Function = void (*)(std::uint32_t*, std::uint32_t*, std::uint32_t*, std::uint32_t*, std::uint32_t*, std::uint32_t*);

// One launch at a time runs in a server, on one thread.
sigjmp_buf fault_exit;
volatile std::sig_atomic_t running = 0;
volatile std::uintptr_t fault_address = 0;
volatile int fault_signal = 0;

std::uint64_t pc_of(const waves_wave& wave) { return wave.buffers[0][kPcLow] | std::uint64_t{wave.buffers[0][kPcHigh]} << 32; }

void skip(std::uint32_t* scalars, std::uint32_t bytes) {
    const std::uint64_t pc = (scalars[kPcLow] | std::uint64_t{scalars[kPcHigh]} << 32) + bytes;
    scalars[kPcLow] = static_cast<std::uint32_t>(pc);
    scalars[kPcHigh] = static_cast<std::uint32_t>(pc >> 32);
}

extern "C" void on_fault(int signal, siginfo_t* information, void*) {
    if (running == 0) {  // not ours: the default action, by returning to the faulting instruction
        std::signal(signal, SIG_DFL);
        return;
    }
    fault_address = reinterpret_cast<std::uintptr_t>(information->si_addr);
    fault_signal = signal;
    siglongjmp(fault_exit, 1);
}

void catch_faults() {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE}) sigaction(signal, &action, nullptr);
}

// What lanes that are off would give to others is for no kernel to read.
void copy_register(const waves_wave& wave, std::uint32_t from, std::uint32_t lanes) {
    const std::uint64_t exec = wave.buffers[0][kExec] | std::uint64_t{wave.buffers[0][kExec + 1]} << 32;
    const std::uint32_t* const source = wave.buffers[1] + from * lanes;
    std::uint32_t* const copy = wave.buffers[1] + WAVES_COPY * lanes;
    for (std::uint32_t lane = 0; lane < lanes; ++lane) copy[lane] = (exec >> lane & 1) != 0 ? source[lane] : kPoison;
}

// Runs one wave until it waits at a barrier, ends, or needs the caller. WAVES_DONE: the former two.
int run_wave(const waves_code& code, waves_wave& wave, std::uint64_t instructions_at_most, waves_report& report) {
    for (;;) {
        const std::uint64_t pc = pc_of(wave);
        if (pc == kEnded) {
            wave.ended = 1;
            return WAVES_DONE;
        }
        report.pc = pc;
        const std::uint64_t word = (pc - code.address) / 4;
        if (pc < code.address || word >= code.words || pc % 4 != 0) return WAVES_OUTSIDE;
        const waves_instruction& instruction = code.instructions[word];
        if (instruction.function == nullptr) return WAVES_UNTRANSLATED;
        if (wave.instructions >= instructions_at_most) return WAVES_ENDLESS;
        ++wave.instructions;
        std::uint32_t* const* const from = wave.buffers;
        if (instruction.has_copy != 0) copy_register(wave, instruction.copied, code.lanes);
        const std::uint8_t* const order = instruction.buffers;
        reinterpret_cast<Function>(instruction.function)(from[order[0]], from[order[1]], from[order[2]], from[order[3]], from[order[4]],
                                                         from[order[5]]);
        if (instruction.is_barrier != 0) {
            wave.waiting = 1;
            return WAVES_DONE;
        }
    }
}

int run_group(const waves_code& code, waves_wave* waves, std::uint32_t count, std::uint32_t& reversed, std::uint64_t instructions_at_most,
              waves_report& report) {
    for (;;) {
        bool all_ended = true;
        for (std::uint32_t turn = 0; turn < count; ++turn) {
            report.wave = reversed != 0 ? count - 1 - turn : turn;
            waves_wave& wave = waves[report.wave];
            if (wave.ended == 0 && wave.waiting == 0) {
                const int result = run_wave(code, wave, instructions_at_most, report);
                if (result != WAVES_DONE) return result;
            }
            all_ended = all_ended && wave.ended != 0;
        }
        if (all_ended) return WAVES_DONE;
        for (std::uint32_t w = 0; w < count; ++w) waves[w].waiting = 0;
        reversed ^= 1u;
    }
}

int run_until_fault(const waves_code& code, waves_wave* waves, std::uint32_t count, std::uint32_t& reversed, std::uint64_t instructions_at_most,
                    waves_report& report) {
    if (sigsetjmp(fault_exit, 1) != 0) {
        report.fault_address = fault_address;
        report.signal = static_cast<std::uint32_t>(fault_signal);
        return WAVES_FAULT;
    }
    running = 1;
    return run_group(code, waves, count, reversed, instructions_at_most, report);
}

}  // namespace

int waves_run(const waves_code* code, waves_wave* waves, std::uint32_t count, std::uint32_t* reversed, int flush_denormals,
              std::uint64_t instructions_at_most, waves_report* report) {
    const unsigned before = _mm_getcsr();
    catch_faults();
    _mm_setcsr(flush_denormals != 0 ? before | kFlushDenormals : before & ~kFlushDenormals);
    const int result = run_until_fault(*code, waves, count, *reversed, instructions_at_most, *report);
    running = 0;
    _mm_setcsr(before);
    return result;
}

void waves_skip4(std::uint32_t* scalars) { skip(scalars, 4); }
void waves_skip8(std::uint32_t* scalars) { skip(scalars, 8); }
void waves_skip12(std::uint32_t* scalars) { skip(scalars, 12); }
