"""Reads the AMD code objects of a build and holds every kernel in them to what must be true of compiled device code, without running anything:
no spilled vector register, no scratch, no flat address, VGPRs and LDS within the limit beside the tile, and in the main loop no accumulator copies,
no scalar registers kept in lanes, and at most so many instructions a matrix instruction. Scalar registers may be spilled to lanes elsewhere.

    check.py LIMITS_PROGRAM CODE_OBJECT...            one line a violation; exit status 1 if there is one, 77 where llvm-objdump is missing
    check.py --table LIMITS_PROGRAM CODE_OBJECT...    what was counted, as a Markdown table
    check.py --self-test CLANG                        finds planted violations in kernels that it compiles"""
import dataclasses
import json
import pathlib
import subprocess
import sys

import code_object
import loops

SKIPPED = 77
REGISTERS, LDS_BYTES = 256, 65536  # where nothing stricter is stated


@dataclasses.dataclass(frozen=True)
class Limit:
    vgprs: int = REGISTERS
    lds_bytes: int = LDS_BYTES
    instructions_per_matrix: float = 0  # 0: none
    kept_in_lanes: int = 0


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a kernel's metadata and disassembly say."""
    kernel: str
    arch: str
    vgprs: int
    lds_bytes: int
    spilled_vgprs: int
    spilled_sgprs: int
    scratch_bytes: int
    instructions: list
    loop: list | None

    @property
    def counts(self):
        return loops.count(self.loop, self.arch) if self.loop else None


def read(path):
    """A Reading for each kernel of a file."""
    data = code_object.CodeObject(pathlib.Path(path).read_bytes())
    for kernel in data.kernels.values():
        metadata = kernel.metadata
        listing = code_object.disassemble(path, data.arch, kernel)
        yield Reading(kernel.name, data.arch, metadata[".vgpr_count"], kernel.lds_bytes, metadata[".vgpr_spill_count"],
                      metadata[".sgpr_spill_count"], kernel.scratch_bytes, listing, loops.main_loop(listing))


def first_of(instructions, start):
    """How many instructions start with this (or one of these), and the first of them."""
    found = [str(i) for i in instructions if i.mnemonic.startswith(start)]
    return (len(found), found[0]) if found else None


def violations(reading, limit):
    who = f"{reading.kernel} on {reading.arch}"
    if reading.spilled_vgprs:
        yield f"{who}: {reading.spilled_vgprs} spilled VGPRs"
    if reading.scratch_bytes:
        yield f"{who}: {reading.scratch_bytes} bytes of scratch a work-item"
    if reading.vgprs > limit.vgprs:
        yield f"{who}: {reading.vgprs} VGPRs, the limit is {limit.vgprs}"
    if reading.lds_bytes > limit.lds_bytes:
        yield f"{who}: {reading.lds_bytes} bytes of LDS, the limit is {limit.lds_bytes}"
    for start, what in (("flat_", "flat addresses: a pointer lost its address space"), ("scratch_", "scratch accesses")):
        found = first_of(reading.instructions, start)
        if found:
            yield f"{who}: {found[0]} {what}, first {found[1]}"
    yield from loop_violations(reading, limit, who)


def loop_violations(reading, limit, who):
    if reading.loop is None:
        if limit.instructions_per_matrix:
            yield f"{who}: no loop with a matrix instruction"
        return
    for start, what, most in (("v_accvgpr_", "accumulator copies", 0),
                              (("v_readlane_", "v_writelane_"), "accesses to scalar registers kept in lanes", limit.kept_in_lanes)):
        found = first_of(reading.loop, start)
        if found and found[0] > most:
            yield f"{who}: {found[0]} {what} in the main loop, first {found[1]}"
    counts = reading.counts
    if limit.instructions_per_matrix and counts.per_matrix > limit.instructions_per_matrix:
        yield (f"{who}: {counts.instructions} instructions for {counts.matrix} matrix instructions in the main loop, {counts.per_matrix:.2f} each; "
               f"the limit is {limit.instructions_per_matrix:g}")


def limits_from(program):
    """{(kernel, arch): Limit} as the program prints them."""
    lines = subprocess.run([program], capture_output=True, text=True, check=True).stdout.splitlines()
    stated = [json.loads(line) for line in lines]
    return {(s.pop("kernel"), s.pop("arch")): Limit(**s) for s in stated}


def check(limits, paths):
    """Every violation, and every limit whose kernel does not exist in its arch's code objects."""
    seen, archs = set(), set()
    for path in paths:
        for reading in read(path):
            seen.add((reading.kernel, reading.arch))
            archs.add(reading.arch)
            yield from violations(reading, limits.get((reading.kernel, reading.arch), Limit()))
    for kernel, arch in sorted(limits):
        if arch in archs and (kernel, arch) not in seen:
            yield f"{kernel} on {arch}: has a limit and is in no code object"


def table(paths):
    yield ("| kernel | arch | VGPRs | spilled SGPRs | LDS, bytes | matrix / all instructions in the main loop | all a matrix one "
           "| matrix share of issue cycles |")
    yield "|---|---|---|---|---|---|---|---|"
    readings = [reading for path in paths for reading in read(path)]
    for r in sorted(readings, key=lambda r: (r.kernel, list(loops.CYCLES).index(r.arch))):
        if r.counts:
            yield (f"| `{r.kernel}` | {r.arch} | {r.vgprs} | {r.spilled_sgprs} | {r.lds_bytes:,} | {r.counts.matrix} / {r.counts.instructions} "
                   f"| {r.counts.per_matrix:.1f} | {100 * r.counts.matrix_share:.0f} % |")


def main(arguments):
    if code_object.tool("llvm-objdump") is None:
        print("skipped: llvm-objdump is not installed (Debian: llvm-19)")
        return SKIPPED
    if arguments[:1] == ["--self-test"]:
        import self_test  # pylint: disable=import-outside-toplevel
        return self_test.main(*arguments[1:])
    if arguments[:1] == ["--table"]:
        print("\n".join(table(arguments[2:])))
        return 0
    found = list(check(limits_from(arguments[0]), arguments[1:]))
    print("\n".join(found) if found else f"{len(arguments) - 1} code objects keep every limit")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
