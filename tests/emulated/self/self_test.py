"""The emulator's runner tested on small kernels with known results: what it corrects, what it checks, what it refuses, and that a wrong kernel is
seen as wrong.   self_test.py ARCH CLANG LOOP_LIBRARY CACHE_FOLDER"""
import ctypes
import math
import pathlib
import struct
import sys
import tempfile
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parent / "runner"))

import machine as emulated  # noqa: E402  first: it knows where device_compiler lies
from device_compiler import compile_device_code  # noqa: E402

ARCH, CLANG, LOOP_LIBRARY, CACHE = sys.argv[1:5]
CDNA = ARCH.startswith("gfx9")
NAN, INFINITY = math.nan, math.inf


def compile_kernels(source, folder):
    path = pathlib.Path(folder) / f"{pathlib.Path(source).stem}.co"
    compile_device_code(CLANG, ARCH, source, path)
    return path


class Array:
    """Numbers of one struct format in memory that a kernel may reach."""

    def __init__(self, kind, values):
        self.kind, self.count = kind, len(values)
        self.memory = emulated.Memory(struct.calcsize(kind) * self.count)
        self.memory.map[:] = struct.pack(f"<{self.count}{kind}", *values)

    def values(self):
        return list(struct.unpack(f"<{self.count}{self.kind}", self.memory.map[:]))


def f32(x):
    return struct.unpack("<f", struct.pack("<f", x))[0]


def bf16_bits(x):
    """Truncated: the tests use values that are bf16 already."""
    return struct.unpack("<I", struct.pack("<f", x))[0] >> 16


def f16_bits(x):
    return struct.unpack("<H", struct.pack("<e", x))[0]


def same(a, b, tolerance=0.0):
    """NaN equals NaN here: it is what some tests look for."""
    return math.isnan(a) and math.isnan(b) or a == b or abs(a - b) <= tolerance * max(1.0, abs(b))


def product(a, b, c):
    """The textbook matrix product in float64 of 16x16 tiles given as rows."""
    return [[sum(a[m][k] * b[k][n] for k in range(16)) + c[m][n] for n in range(16)] for m in range(16)]


class Runner(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.machine = emulated.Machine(ARCH, LOOP_LIBRARY, CACHE)
        cls.module = cls.machine.load(compile_kernels(FOLDER / "kernels.hip", cls.folder.name))

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_kernel(self, name, threads, *arguments, grid=(1, 1, 1)):
        """Arrays are passed by address, integers as they are."""
        packed = b"".join(struct.pack("<Q", a.memory.address) if isinstance(a, Array) else struct.pack("<i", a) for a in arguments)
        self.machine.launch(self.module.kernel(name, self.machine), grid, (threads, 1, 1), packed)

    def refusal(self, action):
        with self.assertRaises(emulated.Refused) as caught:
            action()
        return str(caught.exception)

    def check(self, found, expected, tolerance=0.0):
        for i, (a, b) in enumerate(zip(found, expected, strict=True)):
            self.assertTrue(same(a, b, tolerance), f"element {i}: {a}, expected {b}")

    def test_half_empty_waves_and_several_groups_give_each_element_once(self):
        numbers = [i / 8 for i in range(250)]
        out = Array("f", [0.0] * 250)
        self.run_kernel("twice_plus_one", 96, Array("f", numbers), out, 250, grid=(3, 1, 1))
        self.check(out.values(), [2 * x + 1 for x in numbers])

    def test_a_group_knows_its_place_in_all_three_axes(self):
        out = Array("I", [0] * 24)
        self.run_kernel("group_indices", 64, out, grid=(2, 3, 4))
        self.assertEqual(out.values(), [x + 10 * y + 100 * z for z in range(4) for y in range(3) for x in range(2)])

    def test_waves_see_each_others_shared_memory_after_a_barrier(self):
        out = Array("f", [0.0] * 128)
        self.run_kernel("reversed", 128, Array("f", list(range(128))), out)
        self.check(out.values(), list(range(127, -1, -1)))

    def test_flat_addresses_of_global_memory_are_followed(self):
        out = Array("f", [0.0] * 64)
        self.run_kernel("stores_through_flat_address", 64, out)
        self.check(out.values(), [i + 0.5 for i in range(64)])

    def test_a_missing_barrier_shows(self):
        out = Array("f", [0.0] * 128)
        self.run_kernel("reversed_without_barrier", 128, Array("f", list(range(128))), out)
        self.assertTrue(any(math.isnan(x) for x in out.values()))

    def test_shared_memory_and_registers_are_nan_until_they_are_written(self):
        out = Array("f", [0.0] * 64)
        self.run_kernel("reads_unwritten_shared_memory", 64, out)
        self.check(out.values(), [1.0] * 32 + [NAN] * 32)
        self.run_kernel("reads_unwritten_register", 64, out)
        self.check(out.values(), [NAN] * 64)

    def test_atomics_give_back_what_was_there_before(self):
        total, before = Array("I", [5]), Array("I", [0] * 64)
        self.run_kernel("counts_atomically", 64, total, before)
        self.assertEqual(total.values(), [69])
        self.assertEqual(sorted(before.values()), list(range(5, 69)))

    def test_lanes_that_are_switched_off_take_no_part_in_atomics(self):
        total = Array("I", [5])
        self.run_kernel("adds_atomically", 64, total)
        self.assertEqual(total.values(), [5 + sum(range(0, 64, 3))])

    def test_lanes_that_are_switched_off_need_no_address(self):
        out, counts = Array("f", [0.0] * 64), Array("I", [1] * 128)
        self.run_kernel("addresses_in_few_lanes", 64, Array("f", list(range(64))), out, counts)
        self.check(out.values(), [float(i) if i % 3 == 0 else 0.0 for i in range(64)])
        self.assertEqual(counts.values(), [8 if i % 6 == 0 else 1 for i in range(128)])

    def test_loads_need_no_alignment_and_stores_that_lack_it_are_faults(self):
        numbers = [(37 * i + 11) % 256 for i in range(80)]
        out = Array("Q", [0] * 320)
        self.run_kernel("loads_unaligned", 64, Array("B", numbers), out)

        def read(count):
            return [int.from_bytes(bytes(numbers[i:i + count]), "little") for i in range(64)]

        self.assertEqual(out.values(), read(2) + read(4) + read(8) + read(2) + read(4))
        said = self.refusal(lambda: self.run_kernel("stores_unaligned", 64, Array("B", [0] * 400)))
        self.assertIn("no memory at", said)
        self.assertIn("store", said)

    def test_shared_memory_ends_where_the_kernel_says(self):
        said = self.refusal(lambda: self.run_kernel("writes_past_shared_memory", 64, Array("f", [0.0] * 64)))
        self.assertIn("of the group's 256 bytes of shared memory", said)

    def test_denormals_survive_as_the_kernel_asks(self):
        smallest = 2.0**-126
        out = Array("f", [0.0] * 64)
        self.run_kernel("halves_denormals", 64, Array("f", [smallest] * 64), out)
        self.check(out.values(), [smallest / 2] * 64)

    def test_instructions_without_effect_are_skipped(self):
        out = Array("f", [0.0] * 64)
        self.run_kernel("has_no_effect", 64, out)
        self.check(out.values(), [1.0] * 64)

    def test_lanes_exchange_through_bpermute(self):
        out = Array("f", [0.0] * 64)
        self.run_kernel("from_other_lane", 64, Array("f", [float(i) for i in range(64)]), out)
        self.check(out.values(), [float(i ^ 5) for i in range(64)])
        self.run_kernel("from_other_lane_in_place", 64, out)
        self.check(out.values(), [4.0 * (i % self.machine.translator.wave_size) for i in range(64)])

    def test_exp2_log2_and_reciprocal_are_within_two_units_in_the_last_place(self):
        numbers = [f32(0.37 * (i + 1)) for i in range(64)]
        out = Array("f", [0.0] * 192)
        self.run_kernel("functions", 64, Array("f", numbers), out)
        self.check(out.values(), [2**x for x in numbers] + [math.log2(x) for x in numbers] + [1 / x for x in numbers], 2.0**-22)

    def test_exp2_and_log2_know_their_limits(self):
        numbers = [-INFINITY, INFINITY, NAN, 0.0] * 16
        out = Array("f", [1.0] * 192)
        self.run_kernel("functions", 64, Array("f", numbers), out)
        found = out.values()
        self.check(found[0:4], [0.0, INFINITY, NAN, 1.0])
        self.check(found[64:68], [NAN, INFINITY, NAN, -INFINITY])

    def test_lanes_move_within_rows_as_dpp_says(self):
        out = Array("i", [-1] * 384)
        self.run_kernel("moves_lanes", 64, Array("i", list(range(100, 164))), out)

        def from_row(source):
            return [100 + (i & ~15) + source(i & 15) if 0 <= source(i & 15) < 16 else 0 for i in range(64)]

        expected = [100 + (i & ~3) + 3 - (i & 3) for i in range(64)]
        for source in (lambda r: r - 2, lambda r: r + 3, lambda r: (r - 4) % 16, lambda r: 15 - r, lambda r: r & 8 | 7 - (r & 7)):
            expected += from_row(source)
        self.assertEqual(out.values(), expected)

    def test_dpp_reads_every_lane_before_it_writes_one(self):
        out = Array("f", [0.0] * 64)
        numbers = [float(37 * i % 64) for i in range(64)]
        self.run_kernel("row_maximum", 64, Array("f", numbers), out)
        self.check(out.values(), [max(numbers[i & ~15:(i & ~15) + 16]) for i in range(64)])

    def test_lanes_that_are_switched_off_give_nothing(self):
        out = Array("f", [0.0] * 64)
        self.run_kernel("exchanges_with_lanes_that_are_off", 64, Array("f", [float(i) for i in range(64)]), out)
        found = out.values()
        for row in range(0, 64, 16):
            self.check(found[row:row + 4], [NAN, NAN, row + 0.0, row + 1.0])
            self.check(found[row + 4:row + 16], [0.0] * 12)

    def multiply(self, name, bits, a, b, c):
        flat_a = [bits(a[m][k]) for m in range(16) for k in range(16)]
        flat_bt = [bits(b[k][n]) for n in range(16) for k in range(16)]
        out = Array("f", [NAN] * 256)
        wave = self.machine.translator.wave_size
        self.run_kernel(name, wave, Array("H", flat_a), Array("H", flat_bt), Array("f", [x for row in c for x in row]), out)
        found = out.values()
        return [found[16 * m:16 * m + 16] for m in range(16)]

    # Whole numbers whose products and sums f32 holds exactly: no tolerance.
    A = [[(3 * m + 5 * k) % 13 - 6 for k in range(16)] for m in range(16)]
    B = [[(7 * k + 2 * n) % 11 - 5 for n in range(16)] for k in range(16)]
    C = [[m - 2 * n for n in range(16)] for m in range(16)]
    ZERO = [[0] * 16 for _ in range(16)]

    def test_matrix_instructions_equal_the_textbook_product(self):
        for kind, bits in (("bf16", bf16_bits), ("f16", f16_bits)):
            with self.subTest(kind):
                self.assertEqual(self.multiply(f"multiplies_{kind}", bits, self.A, self.B, self.C), product(self.A, self.B, self.C))

    def test_matrix_instructions_with_the_constant_zero_as_c_add_nothing(self):
        for kind, bits in (("bf16", bf16_bits), ("f16", f16_bits)):
            with self.subTest(kind):
                self.assertEqual(self.multiply(f"multiplies_{kind}_zero_c", bits, self.A, self.B, self.C), product(self.A, self.B, self.ZERO))

    def test_matrix_instructions_carry_nan_and_infinity_on(self):
        a = [row[:] for row in self.A]
        a[3][5], a[7][2] = NAN, INFINITY
        expected = product(a, self.B, self.C)
        for kind, bits in (("bf16", bf16_bits), ("f16", f16_bits)):
            with self.subTest(kind):
                found = self.multiply(f"multiplies_{kind}", bits, a, self.B, self.C)
                for m in range(16):
                    self.check(found[m], expected[m])

    def test_f16_denormals_count_in_matrix_instructions_but_on_gfx90a(self):
        small = [[x * 2.0**-20 for x in row] for row in self.A]  # below 2^-14: denormal, and exact in f16
        expected = product(self.ZERO if ARCH == "gfx90a" else small, self.B, self.ZERO)
        self.assertEqual(self.multiply("multiplies_f16", f16_bits, small, self.B, self.ZERO), expected)

    def test_a_wrong_kernel_is_seen_as_wrong(self):
        self.assertNotEqual(self.multiply("multiplies_swapped", bf16_bits, self.A, self.B, self.C), product(self.A, self.B, self.C))

    @unittest.skipUnless(CDNA, "CDNA alone")
    def test_registers_from_128_on_are_whole_in_16_bit_instructions(self):
        out = Array("f", [0.0] * 320)
        numbers = [i / 4 for i in range(64)]
        self.run_kernel("high_registers", 64, Array("f", numbers), out)
        self.check(out.values(), numbers + [2 * x + 1 for x in numbers] + [1.0] * 192)

    @unittest.skipIf(CDNA, "RDNA alone")
    def test_permlanex16_crosses_with_selectors_in_registers(self):
        out = Array("i", [0] * 80)
        self.run_kernel("crosses_halves", 32, Array("i", list(range(32))), out)
        self.assertEqual(out.values(), [(i ^ 16) & 16 | 15 - (i & 15) for i in range(32)] * 2 + [-1] * 16)  # -1: all bits, the poison

    def test_scratch_is_refused(self):
        self.assertIn("bytes of scratch a work-item", self.refusal(lambda: self.module.kernel("with_scratch", self.machine)))

    def test_an_endless_kernel_is_ended(self):
        limit, emulated.INSTRUCTIONS_AT_MOST = emulated.INSTRUCTIONS_AT_MOST, 10_000
        try:
            self.assertIn("no end after 10000 instructions", self.refusal(lambda: self.run_kernel("never_ends", 64, Array("I", [0]))))
        finally:
            emulated.INSTRUCTIONS_AT_MOST = limit

    def test_an_address_without_memory_is_named_with_its_instruction(self):
        packed = struct.pack("<QQi", 0x1000, 0x1000, 96)
        said = self.refusal(lambda: self.machine.launch(self.module.kernel("twice_plus_one", self.machine), (1, 1, 1), (96, 1, 1), packed))
        self.assertIn("no memory at 0x1000", said)
        self.assertIn("global_load", said)

    def test_launches_that_the_metadata_forbids_are_refused(self):
        kernel = self.module.kernel("twice_plus_one", self.machine)
        for words, grid, block, count, lds in (("97 work-items a group, the kernel allows 1 to 96", (1, 1, 1), (97, 1, 1), 20, 0),
                                               ("grid (0, 1, 1)", (0, 1, 1), (96, 1, 1), 20, 0),
                                               ("takes 20 bytes of arguments, 16 given", (1, 1, 1), (96, 1, 1), 16, 0),
                                               ("the hardware has 65536", (1, 1, 1), (96, 1, 1), 20, 65537)):
            with self.subTest(words):
                self.assertIn(words, self.refusal(lambda: self.machine.launch(kernel, grid, block, bytes(count), lds)))

    def test_an_unknown_kernel_and_a_foreign_code_object_are_refused(self):
        self.assertIn("there are addresses_in_few_lanes,", self.refusal(lambda: self.module.kernel("absent", self.machine)))
        other = "gfx942" if ARCH != "gfx942" else "gfx90a"
        self.assertIn(f"the device is {other}", self.refusal(lambda: emulated.Module(self.module.path, other)))
        with self.assertRaises(emulated.objects.Unreadable):
            emulated.objects.CodeObject(b"not an ELF file" * 10)


# (instruction in inline assembly, on which machines, a word of the reason)
WRONG_ON = (
    ("ds_swizzle_b32 v0, v0 offset:0x1f", "gfx90a gfx942 gfx1100 gfx1201", "ds_bpermute"),
    ("s_mov_b64 s[0:1], src_shared_base", "gfx90a gfx942 gfx1100 gfx1201", "flat addresses"),
    ("v_permlanex16_b32 v0, v0, 0x12345678, s0", "gfx1100 gfx1201", "selector"),
    ("v_permlanex16_b32 v0, v0, s0, s1 op_sel:[1,0]", "gfx1100 gfx1201", "every lane take part"),
    ("v_mov_b32_dpp v0, v1 row_ror:1 row_mask:0xf bank_mask:0xf fi:1", "gfx1100 gfx1201", "every lane take part"),
    ("ds_permute_b32 v0, v1, v2", "gfx90a gfx942 gfx1100 gfx1201", "ds_bpermute"),
    ("v_permlane64_b32 v0, v1", "gfx1100 gfx1201", "permlanex16"),
    ("v_mfma_f32_32x32x8f16 v[0:15], v[0:1], v[2:3], 0", "gfx90a gfx942", "32x32"),
    ("v_mfma_f32_16x16x16f16 v[0:3], v[0:1], v[2:3], 0 cbsz:1", "gfx90a gfx942", "modifiers"),
    ("v_mfma_f32_16x16x16f16 v[0:3], a[0:1], v[2:3], 0", "gfx90a gfx942", "accumulators"),
    ("v_mfma_f32_16x16x16f16 v[0:3], v[0:1], a[2:3], 0", "gfx90a gfx942", "accumulators"),
    ("v_wmma_f32_16x16x16_f16 v[0:7], v[8:15], v[16:23], v[0:7] neg_lo:[1,0,0]", "gfx1100", "modifiers"),
    ("v_mov_b32_dpp v0, v1 row_bcast:15 row_mask:0xf bank_mask:0xf", "gfx90a gfx942", "DPP control"),
    ("v_mov_b32_dpp v0, v1 row_share:3 row_mask:0xf bank_mask:0xf", "gfx1100 gfx1201", "DPP control"),
    ("v_mov_b32_dpp v0, v1 dpp8:[7,6,5,4,3,2,1,0]", "gfx1100 gfx1201", "DPP control"),
    ("v_add_f32_dpp v0, v1, v2 row_shr:1 row_mask:0xf bank_mask:0xf", "gfx90a gfx942 gfx1100 gfx1201", "bound_ctrl"),
    ("v_mov_b32_dpp v0, v1 row_ror:1 row_mask:0x5 bank_mask:0xf", "gfx90a gfx942 gfx1100 gfx1201", "mask"),
    ("v_mul_f32_sdwa v0, -v1, v2 dst_sel:DWORD dst_unused:UNUSED_PAD src0_sel:DWORD src1_sel:DWORD", "gfx90a gfx942", "SDWA"),
    ("global_load_lds_dword v0, s[0:1]", "gfx942", "straight to shared memory"),
    ("buffer_load_dword v0, s[8:11], 0 offen lds", "gfx90a gfx942", "straight to shared memory"),
    ("buffer_load_ubyte v0, off, s[8:11], 0", "gfx90a gfx942", "4, 8 or 16 bytes"),
    ("s_set_gpr_idx_on s0, gpr_idx(SRC0)", "gfx90a gfx942", "indexed registers"),
    ("v_movrels_b32 v0, v1", "gfx1100 gfx1201", "indexed registers"),
    ("s_swappc_b64 s[30:31], s[0:1]", "gfx90a gfx942 gfx1100 gfx1201", "calls"),
    ("global_load_tr_b64 v[0:1], v[0:1], off", "gfx1201", "transposing"),
)


class Refusals(unittest.TestCase):
    def test_each_instruction_that_would_go_wrong_silently_is_refused_by_name(self):
        with tempfile.TemporaryDirectory() as folder:
            machine = emulated.Machine(ARCH, LOOP_LIBRARY, CACHE)
            here = [case for case in WRONG_ON if ARCH in case[1].split()]
            source = pathlib.Path(folder) / "wrong.hip"
            kernels = (f'extern "C" __attribute__((global)) void wrong{i}() {{ asm volatile("{text}"); }}\n' for i, (text, _, _) in enumerate(here))
            source.write_text("".join(kernels), encoding="utf-8")
            module = machine.load(compile_kernels(source, folder))
            for i, (text, _, word) in enumerate(here):
                with self.subTest(text):
                    with self.assertRaises(emulated.Refused) as caught:
                        module.kernel(f"wrong{i}", machine)
                    self.assertIn(word, str(caught.exception))
                    self.assertIn(text.split()[0].removesuffix("_dpp").replace("_", ""), str(caught.exception).replace("_", ""))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
