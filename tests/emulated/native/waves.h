/* The execution loop of the emulator's server: runs the waves of one workgroup over instructions that were translated to host functions.
 * It knows no instruction: what has no translation yet, and every fault, goes back to the caller (runner/machine.py), which declares the same
 * layouts with ctypes. */
#ifndef ROCFORGE_TESTS_EMULATED_WAVES_H
#define ROCFORGE_TESTS_EMULATED_WAVES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Registers behind the 256 that instructions name: eight that hold 0, and one for a copy. */
enum { WAVES_BUFFERS = 6, WAVES_ZEROS = 256, WAVES_COPY = 264, WAVES_REGISTERS = 265 };

/* A translated instruction. It takes pointers to a wave's buffers in an order of its own and moves the wave's program counter on. */
typedef struct waves_instruction {
    void* function; /* NULL: not translated yet */
    uint8_t buffers[WAVES_BUFFERS];
    uint8_t is_barrier; /* the wave then waits until each other wave of the group waits or has ended */
    uint8_t has_copy;   /* vector register `copied` is first copied to WAVES_COPY, but for lanes that EXEC turns off: those get a NaN */
    uint32_t copied, reserved;
} waves_instruction;

/* One wave: scalar registers (its program counter is words 256 and 257), vector registers, memory from address 0, LDS, scratch, accumulators. */
typedef struct waves_wave {
    uint32_t* buffers[WAVES_BUFFERS];
    uint32_t ended, waiting;
    uint64_t instructions; /* run so far */
} waves_wave;

typedef struct waves_code {
    uint64_t address, words;         /* where the kernel's code lies, and 32-bit words of it */
    waves_instruction* instructions; /* one a word; unused where no instruction starts */
    uint32_t lanes, reserved;        /* of a wave */
} waves_code;

enum { WAVES_DONE, WAVES_UNTRANSLATED, WAVES_OUTSIDE, WAVES_FAULT, WAVES_ENDLESS };

/* Why the loop came back: which wave, at which instruction, and for WAVES_FAULT the address that could not be reached. */
typedef struct waves_report {
    uint64_t pc, fault_address;
    uint32_t wave, signal;
} waves_report;

/* Runs `count` waves until all have ended or something needs the caller; calling again goes on where it stopped. Waves take turns in an order that
 * reverses at each barrier, starting from the last wave when `reversed`: what needs a barrier and has none gives wrong results in one of the orders.
 * flush_denormals: as the kernel's descriptor says for 32-bit floats. */
int waves_run(const waves_code* code, waves_wave* waves, uint32_t count, uint32_t* reversed, int flush_denormals, uint64_t instructions_at_most,
              waves_report* report);

/* Translations of instructions without an effect on results, of 4, 8 and 12 bytes. They take the scalar registers. */
void waves_skip4(uint32_t* scalars);
void waves_skip8(uint32_t* scalars);
void waves_skip12(uint32_t* scalars);

#ifdef __cplusplus
}
#endif
#endif
