"""check.py tested: each planted violation is found and named, clean code is left alone, and the main loop is the one meant.
Kernels are compiled by the CLANG given to check.py --self-test; the loop finder is tested on lists of instructions alone."""
import pathlib
import sys
import tempfile
import unittest

import check
import code_object
import loops
from device_compiler import compile_device_code

CLANG = "clang++"
ARCHS = ("gfx90a", "gfx942", "gfx1100", "gfx1201")

SOURCE = r"""
#define KERNEL(threads) extern "C" __attribute__((global, amdgpu_flat_work_group_size(threads, threads))) void
typedef __attribute__((ext_vector_type(4))) short Short4;
typedef __attribute__((ext_vector_type(8))) short Short8;
typedef __attribute__((ext_vector_type(16))) short Short16;
typedef __attribute__((ext_vector_type(4))) float Float4;
typedef __attribute__((ext_vector_type(8))) float Float8;
#if defined(__GFX9__)
typedef Short4 Operand;
typedef Float4 Sum;
#define MULTIPLY(a, b, c) __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(a, b, c, 0, 0, 0)
#elif defined(__GFX11__)
typedef Short16 Operand;
typedef Float8 Sum;
#define MULTIPLY(a, b, c) __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32(a, b, c)
#else
typedef Short8 Operand;
typedef Float8 Sum;
#define MULTIPLY(a, b, c) __builtin_amdgcn_wmma_f32_16x16x16_bf16_w32_gfx12(a, b, c)
#endif
#define THREAD __builtin_amdgcn_workitem_id_x()

KERNEL(64) clean(const Operand* a, Sum* out, int rounds) {
    Sum sum = {};
    for (int i = 0; i < rounds; ++i) sum = MULTIPLY(a[i], a[i + 1], sum);
    out[THREAD] = sum;
}
KERNEL(64) with_scratch(const int* in, float* out) {
    volatile float kept[64];
    for (int i = 0; i < 64; ++i) kept[i] = (float)i;
    out[THREAD] = kept[in[THREAD]];
}
KERNEL(1024) with_spills(float* p, int rounds) {
    float x[300];
#pragma unroll
    for (int i = 0; i < 300; ++i) x[i] = p[i * 1024 + THREAD];
    for (int r = 0; r < rounds; ++r) {
#pragma unroll
        for (int i = 0; i < 300; ++i) asm volatile("v_add_f32 %0, 1.0, %0" : "+v"(x[i]));
    }
#pragma unroll
    for (int i = 0; i < 300; ++i) p[i * 1024 + THREAD] = x[i];
}
KERNEL(64) with_flat(float* out) {
    float* address = out + THREAD;
    asm volatile("" : "+v"(address));
    *address = 1;
}
KERNEL(64) with_much_lds(float* out) {
    __attribute__((shared)) static float kept[8192];
    for (int i = THREAD; i < 8192; i += 64) kept[i] = (float)i;
    out[THREAD] = kept[8191 - THREAD * 7];
}
KERNEL(64) with_lanes(const Operand* a, Sum* out, int rounds) {
    Sum sum = {};
    for (int i = 0; i < rounds; ++i) {
        sum = MULTIPLY(a[i], a[i + 1], sum);
        asm volatile("v_readlane_b32 s20, %0, 3" : : "v"(sum[0]) : "s20");
    }
    out[THREAD] = sum;
}
KERNEL(64) with_copies(const Operand* a, Sum* out, int rounds) {
    Sum sum = {};
    for (int i = 0; i < rounds; ++i) {
        sum = MULTIPLY(a[i], a[i + 1], sum);
#if defined(__GFX9__)
        asm volatile("v_accvgpr_write_b32 a0, %0\n v_accvgpr_read_b32 %0, a0" : "+v"(sum[0]) : : "a0");
#endif
    }
    out[THREAD] = sum;
}
"""


def instructions(*texts):
    """Instructions of 4 bytes from 'mnemonic' or 'branch mnemonic > index of its target'."""
    found = []
    for index, text in enumerate(texts):
        mnemonic, _, target = text.partition(" > ")
        word = (int(target) - index - 1) & 0xFFFF if target else 0
        found.append(code_object.Instruction(4 * index, 4, word, mnemonic, ""))
    return found


class MainLoop(unittest.TestCase):
    def loop(self, *texts):
        found = loops.main_loop(instructions(*texts))
        return None if found is None else [i.offset // 4 for i in found]

    def test_code_without_a_loop_around_a_matrix_instruction_has_none(self):
        self.assertIsNone(self.loop("v_mfma", "s_endpgm"))
        self.assertIsNone(self.loop("v_mfma", "v_add", "s_cbranch_scc1 > 1", "s_endpgm"))

    def test_a_single_loop_is_taken_from_its_head_to_its_branch(self):
        self.assertEqual(self.loop("v_mov", "v_mfma", "v_add", "s_cbranch_scc1 > 1", "s_endpgm"), [1, 2, 3])

    def test_the_innermost_loop_with_matrix_instructions_is_taken(self):
        self.assertEqual(self.loop("v_mfma", "v_wmma", "s_cbranch_scc1 > 1", "v_mov", "s_cbranch_scc0 > 0", "s_endpgm"), [1, 2])
        # ... and a loop inside without any is part of the round.
        self.assertEqual(self.loop("v_mfma", "v_add", "s_cbranch_scc1 > 1", "v_mov", "s_cbranch_scc0 > 0", "s_endpgm"), [0, 1, 2, 3, 4])

    def test_of_two_loops_the_one_with_more_matrix_instructions_is_taken_then_the_shorter(self):
        self.assertEqual(self.loop("v_mfma", "s_cbranch_scc1 > 0", "v_mfma", "v_mfma", "s_cbranch_scc1 > 2", "s_endpgm"), [2, 3, 4])
        self.assertEqual(self.loop("v_mfma", "v_add", "s_cbranch_scc1 > 0", "v_mfma", "s_cbranch_scc1 > 3", "s_endpgm"), [3, 4])

    def test_what_a_round_can_jump_over_is_not_counted_unless_it_is_matrix_work(self):
        self.assertEqual(self.loop("v_mfma", "s_cbranch_scc0 > 4", "v_add", "v_add", "s_cbranch_scc1 > 0", "s_endpgm"), [0, 1, 4])
        self.assertEqual(self.loop("v_mfma", "s_cbranch_scc0 > 4", "v_mfma", "v_add", "s_cbranch_scc1 > 0", "s_endpgm"), [0, 1, 2, 3, 4])

    def test_blocks_that_lie_behind_the_loop_belong_to_it(self):
        self.assertEqual(self.loop("v_mfma", "s_branch > 4", "s_cbranch_scc1 > 0", "s_endpgm", "v_mfma", "s_branch > 2"), [0, 1, 4, 5, 2])

    def test_cycles_are_counted_by_kind(self):
        body = instructions("v_mfma", "v_add_f32_e32", "v_exp_f32_e32", "s_add_i32", "s_waitcnt", "s_nop", "ds_read_b128")
        counts = loops.count(body, "gfx942")
        self.assertEqual((counts.instructions, counts.matrix, counts.matrix_cycles, counts.cycles), (7, 1, 16, 16 + 4 + 16 + 4 + 0 + 4 + 4))
        self.assertEqual(loops.count(body, "gfx1100").cycles, 32 + 1 + 4 + 1 + 0 + 1 + 1)
        self.assertAlmostEqual(counts.matrix_share, 16 / 48)


class Planted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        source = pathlib.Path(cls.folder.name) / "planted.hip"
        source.write_text(SOURCE, encoding="utf-8")
        cls.files, cls.readings = {}, {}
        for arch in ARCHS:
            cls.files[arch] = str(source.with_suffix(f".{arch}.co"))
            compile_device_code(CLANG, arch, source, cls.files[arch])
            cls.readings[arch] = {reading.kernel: reading for reading in check.read(cls.files[arch])}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def found(self, arch, kernel, limit=check.Limit()):
        return "\n".join(check.violations(self.readings[arch][kernel], limit))

    def test_clean_code_is_left_alone(self):
        for arch in ARCHS:
            self.assertEqual(self.found(arch, "clean", check.Limit(instructions_per_matrix=100)), "")
            self.assertEqual(self.readings[arch]["clean"].counts.matrix % 1, 0)
            self.assertGreater(self.readings[arch]["clean"].counts.matrix, 0)

    def test_each_planted_violation_is_named_on_every_arch(self):
        for arch in ARCHS:
            with self.subTest(arch):
                self.assertIn("bytes of scratch a work-item", self.found(arch, "with_scratch"))
                self.assertIn("spilled VGPRs", self.found(arch, "with_spills"))
                self.assertIn("scalar registers kept in lanes in the main loop, first v_readlane", self.found(arch, "with_lanes"))
                self.assertIn("flat addresses", self.found(arch, "with_flat"))
                self.assertIn("32768 bytes of LDS, the limit is 16384", self.found(arch, "with_much_lds", check.Limit(lds_bytes=16384)))
                self.assertRegex(self.found(arch, "clean", check.Limit(vgprs=3)), r"\d+ VGPRs, the limit is 3")
                self.assertRegex(self.found(arch, "clean", check.Limit(instructions_per_matrix=1.5)), r"each; the limit is 1.5")
                self.assertIn("no loop with a matrix instruction", self.found(arch, "with_flat", check.Limit(instructions_per_matrix=9)))

    def test_accumulator_copies_in_the_main_loop_are_named_where_there_are_accumulators(self):
        for arch in ("gfx90a", "gfx942"):
            self.assertIn("accumulator copies in the main loop, first v_accvgpr_", self.found(arch, "with_copies"))

    def test_a_limit_without_its_kernel_is_a_violation(self):
        limits = {("clean", "gfx942"): check.Limit(), ("gone", "gfx942"): check.Limit(), ("gone", "gfx1100"): check.Limit()}
        found = [v for v in check.check(limits, [self.files["gfx942"]]) if "has a limit" in v]
        self.assertEqual(found, ["gone on gfx942: has a limit and is in no code object"])

    def test_the_table_has_a_row_for_each_kernel_with_a_main_loop(self):
        rows = list(check.table([self.files["gfx942"]]))
        self.assertEqual(len(rows), 2 + 3)
        self.assertRegex(rows[2], r"^\| `clean` \| gfx942 \| \d+ \| 0 \| 0 \| \d+ / \d+ \| [\d.]+ \| \d+ % \|$")

    def test_what_is_no_amd_code_object_is_said(self):
        for data, word in ((b"text" * 40, "not an ELF file"), (pathlib.Path(sys.executable).read_bytes(), "not AMDGPU")):
            with self.assertRaisesRegex(code_object.Unreadable, word):
                code_object.CodeObject(data)


def main(clang):
    global CLANG  # pylint: disable=global-statement
    CLANG = clang
    suite = unittest.defaultTestLoader.loadTestsFromModule(sys.modules[__name__])
    return 0 if unittest.TextTestRunner().run(suite).wasSuccessful() else 1
