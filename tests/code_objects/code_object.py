"""Reads an AMD GPU code object (ELF): its kernels' metadata, descriptors and bytes, and its instructions as llvm-objdump prints them.
Changes nothing and runs nothing."""
import dataclasses
import re
import shutil
import struct
import subprocess

ELF_AMDGPU = 224  # e_machine
NOTE_METADATA = 32  # NT_AMDGPU_METADATA: MessagePack
PT_LOAD, PT_NOTE = 1, 4
SHT_RELA, SHT_DYNSYM = 4, 11
RELATIVE64 = 13  # R_AMDGPU_RELATIVE64, the one relocation that code without other libraries has
MACHINES = {0x3F: "gfx90a", 0x4C: "gfx942", 0x41: "gfx1100", 0x4E: "gfx1201"}  # EF_AMDGPU_MACH, the low byte of e_flags


class Unreadable(Exception):
    """The file is not what this reader takes; the message says why."""


def unpack_messages(data, at=0):
    """One MessagePack value of the kinds that kernel metadata has, and the offset after it."""
    kind = data[at]
    at += 1
    if kind < 0x80:
        return kind, at
    if kind >= 0xE0:
        return kind - 0x100, at
    if kind < 0xC0:
        count = kind & (0x0F if kind < 0xA0 else 0x1F)
        return _unpack_map(data, at, count) if kind < 0x90 else _unpack_list(data, at, count) if kind < 0xA0 else _unpack_text(data, at, count)
    if kind in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[kind], at
    numbers = {0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q", 0xD0: "b", 0xD1: "h", 0xD2: "i", 0xD3: "q"}
    lengths = {0xD9: ("B", _unpack_text), 0xDA: ("H", _unpack_text), 0xDB: ("I", _unpack_text), 0xDC: ("H", _unpack_list), 0xDD: ("I", _unpack_list),
               0xDE: ("H", _unpack_map), 0xDF: ("I", _unpack_map)}
    if kind in numbers:
        form = ">" + numbers[kind]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    if kind in lengths:
        form, unpack = ">" + lengths[kind][0], lengths[kind][1]
        return unpack(data, at + struct.calcsize(form), struct.unpack_from(form, data, at)[0])
    raise Unreadable(f"metadata holds a MessagePack value of kind {kind:#x}")


def _unpack_text(data, at, count):
    return bytes(data[at:at + count]).decode(), at + count


def _unpack_list(data, at, count):
    values = []
    for _ in range(count):
        value, at = unpack_messages(data, at)
        values.append(value)
    return values, at


def _unpack_map(data, at, count):
    values = {}
    for _ in range(count):
        key, at = unpack_messages(data, at)
        values[key], at = unpack_messages(data, at)
    return values, at


@dataclasses.dataclass(frozen=True)
class Kernel:
    """What the metadata and the kernel descriptor say of one kernel."""
    name: str
    metadata: dict
    code_offset: int  # of the first instruction, in the loaded image
    code_bytes: int
    lds_bytes: int  # static
    scratch_bytes: int  # of one work-item
    kernarg_bytes: int
    resources1: int  # COMPUTE_PGM_RSRC1
    resources2: int
    properties: int  # which user registers are set at the start
    preload: int  # arguments in registers


@dataclasses.dataclass(frozen=True)
class Instruction:
    offset: int  # in the loaded image
    size_bytes: int
    word: int  # the first 32 bits
    mnemonic: str
    operands: str

    def __str__(self):
        return f"{self.mnemonic} {self.operands}".strip()


class CodeObject:
    def __init__(self, data):
        self.data = data
        if data[:4] != b"\x7fELF" or len(data) < 64:
            raise Unreadable("not an ELF file (clang writes one with --offload-device-only --no-gpu-bundle-output)")
        machine, = struct.unpack_from("<H", data, 18)
        flags, = struct.unpack_from("<I", data, 48)
        if machine != ELF_AMDGPU:
            raise Unreadable(f"an ELF file for machine {machine}, not AMDGPU ({ELF_AMDGPU})")
        self.arch = MACHINES.get(flags & 0xFF)
        if self.arch is None:
            raise Unreadable(f"for AMDGPU machine {flags & 0xFF:#x}; known are {', '.join(sorted(MACHINES.values()))}")
        self._read_segments()
        self._read_sections()
        self.kernels = {k.name: k for k in map(self._kernel, self.metadata.get("amdhsa.kernels", []))}

    def _read_segments(self):
        start, = struct.unpack_from("<Q", self.data, 32)
        count, = struct.unpack_from("<H", self.data, 56)
        headers = [struct.unpack_from("<IIQQQQQQ", self.data, start + 56 * k) for k in range(count)]
        loads = [(offset, address, file_bytes, memory_bytes)
                 for kind, _, offset, address, _, file_bytes, memory_bytes, _ in headers if kind == PT_LOAD]
        self.image = bytearray(max(address + memory_bytes for _, address, _, memory_bytes in loads))
        for offset, address, file_bytes, _ in loads:
            self.image[address:address + file_bytes] = self.data[offset:offset + file_bytes]
        self.metadata = {}
        for kind, _, offset, _, _, _, _, _ in headers:
            if kind == PT_NOTE:
                name_bytes, _, note = struct.unpack_from("<III", self.data, offset)
                if note == NOTE_METADATA:
                    self.metadata, _ = unpack_messages(self.data, offset + 12 + (name_bytes + 3 & ~3))

    def _read_sections(self):
        start, = struct.unpack_from("<Q", self.data, 40)
        count, = struct.unpack_from("<H", self.data, 60)
        sections = [struct.unpack_from("<IIQQQQIIQQ", self.data, start + 64 * k) for k in range(count)]
        self.symbols, self.relocations = {}, []
        for _, kind, _, _, offset, section_bytes, link, _, _, _ in sections:
            if kind == SHT_DYNSYM:
                names = sections[link][4]
                for entry in range(offset, offset + section_bytes, 24):
                    name, _, _, _, value, symbol_bytes = struct.unpack_from("<IBBHQQ", self.data, entry)
                    self.symbols[bytes(self.data[names + name:self.data.index(0, names + name)]).decode()] = (value, symbol_bytes)
            elif kind == SHT_RELA:
                self.relocations += [struct.unpack_from("<QQq", self.data, entry) for entry in range(offset, offset + section_bytes, 24)]

    def _kernel(self, metadata):
        descriptor, _ = self.symbols[metadata[".symbol"]]
        lds, scratch, kernarg = struct.unpack_from("<III", self.image, descriptor)
        entry, = struct.unpack_from("<q", self.image, descriptor + 16)
        _, resources1, resources2 = struct.unpack_from("<III", self.image, descriptor + 44)
        properties, preload = struct.unpack_from("<HH", self.image, descriptor + 56)
        code_bytes = self.symbols[metadata[".name"]][1]
        return Kernel(metadata[".name"], metadata, descriptor + entry, code_bytes, lds, scratch, kernarg, resources1, resources2, properties, preload)


def tool(name):
    """The path of an LLVM program, or None. LLVM 19 first: the version that compiles the kernels."""
    return next((path for path in map(shutil.which, (f"{name}-19", name)) if path), None)


LINE = re.compile(r"^\t(?P<text>\S.*?)\s*// (?P<offset>[0-9A-F]{12}):(?P<words>(?: [0-9A-F]{8})+)")


def disassemble(path, arch, kernel):
    """The instructions of one kernel, in order; the padding after it left out."""
    objdump = tool("llvm-objdump")
    if objdump is None:
        raise Unreadable("llvm-objdump is not installed (Debian: llvm-19)")
    done = subprocess.run([objdump, "--disassemble", f"--mcpu={arch}", f"--disassemble-symbols={kernel.name}", path], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        raise Unreadable(f"llvm-objdump: {done.stderr.strip()}")
    found = []
    for line in done.stdout.splitlines():
        match = LINE.match(line)
        if match and int(match["offset"], 16) < kernel.code_offset + kernel.code_bytes:
            mnemonic, _, operands = match["text"].partition(" ")
            words = match["words"].split()
            found.append(Instruction(int(match["offset"], 16), 4 * len(words), int(words[0], 16), mnemonic, operands.strip()))
    if not found:
        raise Unreadable(f"llvm-objdump shows no instruction of {kernel.name}")
    return found
