"""One emulated GPU: loads code objects, checks what the hardware and the metadata ask of a launch, and runs it, workgroup after workgroup.

What memory-safety tools do on a GPU is done here: registers and shared memory hold a NaN pattern until they are written, every address outside the
allocations that the caller has made accessible is a fault, and waves take turns in both orders. Not seen: races inside one stretch between
barriers beyond those that either order of waves shows, and timing of any kind."""
import ctypes
import mmap
import pathlib
import struct
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "code_objects"))

import code_object as objects  # noqa: E402
import refuse  # noqa: E402
import translate  # noqa: E402

POISON = 0xFF  # every byte: NaN as f32, f16 and bf16
LDS_LIMIT_BYTES = 65536
BESIDE_SHARED_BYTES = 1 << 20  # never accessible
REGISTERS = 256
SCALARS = 260  # 0-105 registers, then special ones, 128-255 inline constants, 256 and 257 the program counter
ORDINARY_SCALARS = 106
TTMP7, TTMP9 = 108 + 7, 108 + 9
INSTRUCTIONS_AT_MOST = 200_000_000  # of one wave; some minutes
DONE, UNTRANSLATED, OUTSIDE, FAULT, ENDLESS = range(5)


class Refused(Exception):
    """A launch or code object that the hardware, the metadata or the emulator does not allow; the message says why."""


class Absent(Refused):
    """The code object does not hold a kernel of that name."""


class Instruction(ctypes.Structure):
    _fields_ = [("function", ctypes.c_void_p), ("buffers", ctypes.c_uint8 * 6), ("is_barrier", ctypes.c_uint8), ("has_copy", ctypes.c_uint8),
                ("copied", ctypes.c_uint32), ("reserved", ctypes.c_uint32)]


class Wave(ctypes.Structure):
    _fields_ = [("buffers", ctypes.c_void_p * 6), ("ended", ctypes.c_uint32), ("waiting", ctypes.c_uint32), ("instructions", ctypes.c_uint64)]


class Code(ctypes.Structure):
    _fields_ = [("address", ctypes.c_uint64), ("words", ctypes.c_uint64), ("instructions", ctypes.POINTER(Instruction)), ("lanes", ctypes.c_uint32),
                ("reserved", ctypes.c_uint32)]


class Report(ctypes.Structure):
    _fields_ = [("pc", ctypes.c_uint64), ("fault_address", ctypes.c_uint64), ("wave", ctypes.c_uint32), ("signal", ctypes.c_uint32)]


class Memory:
    """Zeroed pages of this process that nothing else owns."""

    def __init__(self, size_bytes):
        self.map = mmap.mmap(-1, max(size_bytes, 1))
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.size_bytes = size_bytes


class SharedMemory:
    """Memory that ends (but for alignment) where pages without access begin."""

    def __init__(self, size_bytes):
        pages_bytes = -(-size_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self.memory = Memory(pages_bytes + BESIDE_SHARED_BYTES)
        if ctypes.CDLL(None).mprotect(ctypes.c_void_p(self.memory.address + pages_bytes), BESIDE_SHARED_BYTES, 0) != 0:
            raise OSError("mprotect of the pages beside shared memory failed")
        self.size_bytes = -(-size_bytes // 64) * 64
        self.address = self.memory.address + pages_bytes - self.size_bytes


class Module:
    """A code object in memory, and the kernels of it that have been asked for."""

    def __init__(self, path, arch):
        data = pathlib.Path(path).read_bytes()
        self.path, self.object = str(path), objects.CodeObject(data)
        if self.object.arch != arch:
            raise Refused(f"the code object is for {self.object.arch}, the device is {arch}")
        self.memory = Memory(len(self.object.image) + 4096)
        self.memory.map[:len(self.object.image)] = bytes(self.object.image)
        for where, information, addend in self.object.relocations:
            if information & 0xFFFFFFFF != objects.RELATIVE64:
                raise Refused(f"relocation {information & 0xFFFFFFFF} needs a library that is not linked")
            struct.pack_into("<Q", self.memory.map, where, self.memory.address + addend)
        self.kernels = {}

    def kernel(self, name, machine):
        if name not in self.kernels:
            if name not in self.object.kernels:
                raise Absent(f"no kernel {name!r}; there are {', '.join(sorted(self.object.kernels)) or 'none'}")
            self.kernels[name] = LoadedKernel(self, self.object.kernels[name], machine)
        return self.kernels[name]


class LoadedKernel:
    """A kernel that may be launched, and the table of its translated instructions."""

    def __init__(self, module, kernel, machine):
        self.kernel, self.module = kernel, module
        arch = module.object.arch
        wave_size = 64 if arch.startswith("gfx9") else 32
        if kernel.scratch_bytes:
            raise Refused(f"{kernel.name} uses {kernel.scratch_bytes} bytes of scratch a work-item (spills?): "
                          "the emulator has one buffer for all waves")
        if kernel.metadata[".wavefront_size"] != wave_size:
            raise Refused(f"{kernel.name} runs {kernel.metadata['.wavefront_size']} lanes a wave; on {arch} the emulator knows {wave_size}")
        listing = objects.disassemble(module.path, arch, kernel)
        wrong = refuse.reasons(listing)
        if wrong:
            raise Refused(f"{kernel.name} holds what the emulator gets wrong: " + "; ".join(wrong))
        self.listing = {instruction.offset: instruction for instruction in listing}
        words = kernel.code_bytes // 4
        self.table = (Instruction * words)()
        self.code = Code(module.memory.address + kernel.code_offset, words, self.table, wave_size)
        for instruction in listing:
            text = str(instruction)
            barrier = refuse.BARRIER.match(text)
            if barrier or refuse.NO_EFFECT.match(text):
                entry = self.table[(instruction.offset - kernel.code_offset) // 4]
                entry.function, entry.is_barrier = machine.skips[instruction.size_bytes], bool(barrier)

    def at(self, pc):
        """The instruction at an address, as text."""
        return str(self.listing.get(pc - self.module.memory.address, f"address {pc:#x}, where no instruction of the kernel starts"))

    def translate(self, pc, translator):
        offset = pc - self.module.memory.address
        if offset not in self.listing:
            raise Refused(f"{self.kernel.name} jumps to {self.at(pc)}")
        code = bytes(self.module.memory.map[offset:offset + 16])
        found = translator.translate(code)
        if found.size_bytes != self.listing[offset].size_bytes:
            raise Refused(f"the emulator reads {found.size_bytes} bytes for {self.listing[offset]}, llvm-objdump {self.listing[offset].size_bytes}")
        entry = self.table[(offset - self.kernel.code_offset) // 4]
        entry.buffers[:len(found.buffers)] = found.buffers
        if found.copied is not None:
            entry.has_copy, entry.copied = True, found.copied
        entry.function = found.address

    def user_registers(self, kernarg_address):
        """The scalar registers that are set at the start, in the hardware's order."""
        kinds = (("private segment buffer", 4), ("dispatch packet", 2), ("queue", 2), ("kernel arguments", 2), ("dispatch id", 2),
                 ("flat scratch", 2), ("private segment size", 1))
        values = []
        for bit, (kind, count) in enumerate(kinds):
            if self.kernel.properties >> bit & 1:
                if kind in ("dispatch packet", "queue"):
                    raise Refused(f"{self.kernel.name} reads the {kind}, which the emulator does not have; pass sizes as arguments")
                values += [kernarg_address & 0xFFFFFFFF, kernarg_address >> 32] if kind == "kernel arguments" else [0] * count
        length, offset = self.kernel.preload & 0x7F, self.kernel.preload >> 7
        values += [ctypes.c_uint32.from_address(kernarg_address + 4 * (offset + word)).value for word in range(length)]
        return values + [0] * ((self.kernel.resources2 >> 1 & 31) - len(values))


class Group:
    """Registers and shared memory of the waves of one workgroup, set anew for each."""

    def __init__(self, machine, threads, lds_bytes):
        self.machine, self.threads = machine, threads
        self.wave_size = machine.translator.wave_size
        self.count = -(-threads // self.wave_size)
        self.vector_bytes = REGISTERS * self.wave_size * 4
        self.lds = SharedMemory(lds_bytes)
        self.waves = (Wave * self.count)()
        self.memories = []
        for wave in self.waves:
            scalars, vectors, accumulators = Memory(SCALARS * 4), Memory(translate.ALL_REGISTERS * self.wave_size * 4), Memory(self.vector_bytes)
            self.memories.append((scalars, vectors, accumulators))
            own_accumulators = accumulators if self.wave_size == 64 else vectors
            wave.buffers[:] = [scalars.address, vectors.address, 0, self.lds.address, 0, own_accumulators.address]

    def start(self, pc, user_registers, rsrc2, group_index, block):
        ctypes.memset(self.lds.address, POISON, self.lds.size_bytes)
        for index, (wave, (scalars, vectors, accumulators)) in enumerate(zip(self.waves, self.memories)):
            lanes = min(self.wave_size, self.threads - index * self.wave_size)
            ctypes.memset(vectors.address, POISON, self.vector_bytes)
            ctypes.memset(accumulators.address, POISON, self.vector_bytes)
            words = (ctypes.c_uint32 * SCALARS).from_address(scalars.address)
            ctypes.memmove(words, self.machine.scalar_template, SCALARS * 4)
            words[126], words[127] = (1 << min(lanes, 32)) - 1, (1 << max(lanes - 32, 0)) - 1  # EXEC
            words[256], words[257] = pc & 0xFFFFFFFF, pc >> 32
            self._set_start_registers(words, user_registers, rsrc2, group_index)
            first = (ctypes.c_uint32 * lanes).from_address(vectors.address)
            for lane in range(lanes):
                item = index * self.wave_size + lane
                first[lane] = item // (block[0] * block[1]) << 20 | item // block[0] % block[1] << 10 | item % block[0]
            wave.ended = wave.waiting = wave.instructions = 0

    def _set_start_registers(self, words, user_registers, rsrc2, group_index):
        for register, value in enumerate(user_registers):
            words[register] = value
        if self.machine.translator.family == "rdna4":
            words[TTMP9], words[TTMP7] = group_index[0], group_index[1] & 0xFFFF | group_index[2] << 16
            return
        register = len(user_registers)
        for axis in range(3):
            if rsrc2 >> 7 + axis & 1:
                words[register] = group_index[axis]
                register += 1


class Machine:
    def __init__(self, arch, loop_library, cache_folder):
        if arch not in translate.FAMILIES:
            raise Refused(f"no emulator for {arch!r}; there is one for {', '.join(translate.FAMILIES)}")
        self.arch = arch
        self.translator = translate.Translator(arch, cache_folder)
        self.loop = ctypes.CDLL(str(loop_library))
        self.loop.waves_run.argtypes = [ctypes.POINTER(Code), ctypes.POINTER(Wave), ctypes.c_uint32, ctypes.POINTER(ctypes.c_uint32), ctypes.c_int,
                                        ctypes.c_uint64, ctypes.POINTER(Report)]
        self.skips = {n: ctypes.cast(getattr(self.loop, f"waves_skip{n}"), ctypes.c_void_p).value for n in (4, 8, 12)}
        self.scalar_template = self._scalar_template()
        self.instructions = 0  # of all waves so far
        self.groups = {}

    def _scalar_template(self):
        """Poisoned registers and the inline constants: 128 + n is n up to 64, 192 + n is -n up to 16, then floats."""
        words = (ctypes.c_uint32 * SCALARS)()
        for register in range(ORDINARY_SCALARS):
            words[register] = 0xFFFFFFFF
        for n in range(65):
            words[128 + n] = n
        for n in range(1, 17):
            words[192 + n] = -n & 0xFFFFFFFF
        for register, value in zip(range(240, 249), (0.5, -0.5, 1.0, -1.0, 2.0, -2.0, 4.0, -4.0, 0.15915494309189535)):
            words[register], = struct.unpack("<I", struct.pack("<f", value))
        return words

    def load(self, path):
        return Module(path, self.arch)

    def launch(self, kernel, grid, block, kernarg, dynamic_lds_bytes=0):
        """Runs a LoadedKernel to its end. kernarg: the bytes of the explicit arguments."""
        threads = self._check(kernel.kernel, grid, block, kernarg, dynamic_lds_bytes)
        lds_bytes = kernel.kernel.lds_bytes + dynamic_lds_bytes
        memory = Memory(kernel.kernel.kernarg_bytes + 256)
        memory.map[:kernel.kernel.kernarg_bytes] = self._arguments(kernel.kernel, grid, block, kernarg, dynamic_lds_bytes)
        registers = kernel.user_registers(memory.address)
        group = self.groups.get((threads, lds_bytes)) or self.groups.setdefault((threads, lds_bytes), Group(self, threads, lds_bytes))
        report, reversed_turns = Report(), ctypes.c_uint32()
        flush = kernel.kernel.resources1 >> 16 & 3 == 0
        for z in range(grid[2]):
            for y in range(grid[1]):
                for x in range(grid[0]):
                    reversed_turns.value = x + y + z & 1
                    group.start(kernel.code.address, registers, kernel.kernel.resources2, (x, y, z), block)
                    self._run(kernel, group, (x, y, z), reversed_turns, flush, report)
                    self.instructions += sum(wave.instructions for wave in group.waves)

    def _run(self, kernel, group, index, reversed_turns, flush, report):
        where = f"{kernel.kernel.name}, workgroup {index}"
        while True:
            result = self.loop.waves_run(kernel.code, group.waves, group.count, reversed_turns, flush, INSTRUCTIONS_AT_MOST, report)
            if result == DONE:
                return
            if result == UNTRANSLATED:
                kernel.translate(report.pc, self.translator)
            elif result == FAULT:
                raise Refused(f"{where}, wave {report.wave}: {self._fault(kernel, group, report)}, in: {kernel.at(report.pc)}")
            elif result == ENDLESS:
                raise Refused(f"{where}, wave {report.wave}: no end after {INSTRUCTIONS_AT_MOST} instructions, at: {kernel.at(report.pc)}")
            else:
                raise Refused(f"{where}, wave {report.wave} runs on to {kernel.at(report.pc)}")

    @staticmethod
    def _fault(kernel, group, report):
        """Where the instruction wanted to go."""
        offset = report.fault_address - group.lds.address
        if kernel.at(report.pc).startswith("ds_"):
            return f"no memory at byte {offset} of the group's {group.lds.size_bytes} bytes of shared memory (signal {report.signal})"
        return f"no memory at {report.fault_address:#x} (signal {report.signal})"

    def _check(self, kernel, grid, block, kernarg, dynamic_lds_bytes):
        threads = block[0] * block[1] * block[2]
        limit = min(kernel.metadata[".max_flat_workgroup_size"], 1024)
        if not 1 <= threads <= limit:
            raise Refused(f"{kernel.name}: {threads} work-items a group, the kernel allows 1 to {limit}")
        if min(grid) < 1 or grid[0] > 2**31 - 1 or max(grid[1:]) > 65535:
            raise Refused(f"{kernel.name}: grid {grid}, allowed are 1 to 2147483647 x 65535 x 65535 groups")
        if kernel.lds_bytes + dynamic_lds_bytes > LDS_LIMIT_BYTES:
            raise Refused(f"{kernel.name}: {kernel.lds_bytes} + {dynamic_lds_bytes} bytes of shared memory, the hardware has {LDS_LIMIT_BYTES}")
        explicit = [a for a in kernel.metadata.get(".args", []) if not a[".value_kind"].startswith("hidden_")]
        expected = max((a[".offset"] + a[".size"] for a in explicit), default=0)
        if len(kernarg) != expected:
            raise Refused(f"{kernel.name} takes {expected} bytes of arguments, {len(kernarg)} given")
        return threads

    def _arguments(self, kernel, grid, block, kernarg, dynamic_lds_bytes):
        """The explicit arguments, then the hidden ones that the metadata lists."""
        data = bytearray([POISON]) * kernel.kernarg_bytes
        data[:len(kernarg)] = kernarg
        hidden = {"hidden_grid_dims": 3, "hidden_dynamic_lds_size": dynamic_lds_bytes}
        for axis, letter in enumerate("xyz"):
            hidden |= {f"hidden_block_count_{letter}": grid[axis], f"hidden_group_size_{letter}": block[axis], f"hidden_remainder_{letter}": 0}
        for argument in kernel.metadata.get(".args", []):
            if argument[".value_kind"] in hidden:
                at, count = argument[".offset"], argument[".size"]
                data[at:at + count] = hidden[argument[".value_kind"]].to_bytes(count, "little")
        return bytes(data)
