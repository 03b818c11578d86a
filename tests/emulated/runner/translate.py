"""Turns AMD instructions into host functions with tinygrad's emulator (github.com/tinygrad/tinygrad, folder test/mockgpu/amd), whose checkout is
named by TINYGRAD_DIR. Nothing of it is kept here: its modules are imported, and where its results differ from the hardware they are corrected as they
are loaded. Each correction has a self-test (tests/emulated/self). Written against the version whose digest is KNOWN_EMULATOR; with another one it
says so and goes on, since the self-tests decide.

Translating takes about 50 ms an instruction, so translations are kept on disk, under a key that holds all that they depend on."""
import ast
import ctypes
import dataclasses
import functools
import hashlib
import importlib
import os
import pathlib
import pickle
import re
import sys
import tempfile
import types

KNOWN_EMULATOR = "b16551e8c6dbe901"
FAMILIES = {"gfx90a": "cdna", "gfx942": "cdna", "gfx1100": "rdna3", "gfx1201": "rdna4"}
CONSTANT_ZERO, FIRST_VECTOR_REGISTER = 128, 256  # as operands are encoded
ZERO_REGISTER = 256  # behind the last vector register, eight that always hold 0: the C of a WMMA whose C is the constant 0
ALL_REGISTERS = 265
NO_SCALAR_BASE = 0x7F
FAULT_LDS = 0x20000  # an LDS address that is always a fault: machine.BESIDE_SHARED_BYTES
FLAT_RDNA4, GLOBAL_RDNA4 = 0xEC, 0xEE  # the highest byte of such instructions
COPY_REGISTER = 264  # holds the source of an instruction that exchanges lanes as it was before the instruction wrote anything
GFX90A_BF16 = {0xD3E60000: 0xD3E00000, 0xD3E70000: 0xD3E10000}  # v_mfma_f32_{32x32x8,16x16x16}bf16_1k: opcode word of gfx90a -> of gfx942


class Untranslatable(Exception):
    """The emulator does not know an instruction, or is not the program expected."""


class _HalvesOnlyOnRdna(ast.NodeTransformer):
    """Registers 128 and above name the upper halves of registers in 16-bit instructions of RDNA, and whole registers on CDNA. The emulator takes
    them as halves everywhere: each `bits[...] == 16` that decides so gets `and` the instruction is not CDNA's."""
    functions, expected = ("_compile_vop12", "_load_vsrc0", "_compile_vopc"), 7

    def __init__(self):
        self.found = 0

    def visit_Compare(self, node):
        self.generic_visit(node)
        is_width = isinstance(node.left, ast.Subscript) and isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value == 16
        if not is_width:
            return node
        self.found += 1
        return ast.BoolOp(ast.And(), [ast.parse("type(inst).__module__ != irc.__name__", mode="eval").body, node])


class _HalvesOfMatrices(ast.NodeTransformer):
    """f16 operands of MFMA become f32 by adding 112 to the exponent, and 0 where it is 0. Exponent 31, infinity and NaN, must become 255; denormals
    are 0 on gfx90a alone (its bf16 ones too, which are kept here)."""
    functions, expected = ("_compile_mfma",), 2

    def __init__(self, flush_denormals):
        self.found, self.flush_denormals = 0, flush_denormals

    def visit_Call(self, node):
        self.generic_visit(node)
        text = ast.unparse(node)
        if text == "_c(112)":
            self.found += 1
            return ast.parse("exp.eq(_c(31)).where(_c(224), _c(112))", mode="eval").body
        if text == "exp.eq(_c(0)).where(_c(0), f32_bits)":
            self.found += 1
            if not self.flush_denormals:
                denormal = "(mant.cast(dtypes.float32) * UOp.const(2.0**-24, dtypes.float32)).bitcast(dtypes.uint32) | sign << _c(31)"
                return ast.parse(f"exp.eq(_c(0)).where({denormal}, f32_bits)", mode="eval").body
        return node


class _SafeAddresses(ast.NodeTransformer):
    """Memory instructions form addresses for the lanes that are switched off as well, and atomics and LDS instructions go there; and a store that is
    not aligned goes to the words around it. The operands of each lane pass through _safe_addresses."""
    functions, expected = ("_compile_mem_op",), 1

    def __init__(self):
        self.found = 0

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        if node.name == "make_srcs":
            self.found += 1
            node.decorator_list.append(ast.parse("_safe_addresses(ctx, exec_mask, is_lds, op_name)", mode="eval").body)
        return node


class _AtomicsGiveWhatWasThere(ast.NodeTransformer):
    """An atomic gives back the old value where its bit says so: glc on RDNA 3, which is the only one that the emulator knows, sc0 on CDNA, the lowest
    bit of th on RDNA 4."""
    functions, expected = ("_compile_mem_op",), 1

    def __init__(self):
        self.found = 0

    def visit_Call(self, node):
        self.generic_visit(node)
        if ast.unparse(node) == "_iattr(inst, 'glc')":
            self.found += 1
            return ast.parse("_iattr(inst, 'glc') | _iattr(inst, 'sc0') | _iattr(inst, 'th') & 1", mode="eval").body
        return node


def _alignment_bits(is_lds, name):
    """The low bits of an address that must be 0 for the emulator to store right."""
    if not re.search("STORE|WRITE", name):
        return 0
    narrow = re.search("BYTE|SHORT|_B8|_B16", name)
    return 3 if not narrow else 1 if is_lds and not re.search("BYTE|_B8", name) else 0


def _safe_addresses(emulator):
    """Gives lanes that are switched off an address where reading and writing back is harmless: 0 in LDS, else the instruction itself. Gives stores
    that the emulator would misplace an address that is a fault."""

    def decorate(ctx, exec_mask, is_lds, name):
        fault, alignment = FAULT_LDS if is_lds else 0, _alignment_bits(is_lds, name)

        def wrap(make_operands):
            def make_safe_operands(lane):
                given = make_operands(lane)
                operands = dict(given)
                active = emulator._lane_active(exec_mask, lane)
                for operand in ("ADDR", "ADDR_BASE", "vgpr_a", "v_addr", "s_saddr", "SADDR"):
                    value = given.get(operand)
                    if value is None:
                        continue
                    is_base = "saddr" in operand.lower()
                    constant = functools.partial(emulator.UOp.const, dtype=value.dtype)
                    if alignment:
                        whole = value if is_lds else given["ADDR"]
                        low_bits = whole & emulator.UOp.const(alignment, whole.dtype)
                        is_misplaced = low_bits.ne(emulator.UOp.const(0, whole.dtype))
                        value = is_misplaced.where(constant(fault), value)
                    operands[operand] = active.where(value, constant(0) if is_lds or is_base else ctx.rpc())
                return operands
            return make_safe_operands
        return wrap

    return decorate


def _correct_narrow_loads(emulator):
    """Loads of 16 and 64 bits are made of loads of 8 and 32, which are right at every address; the emulator's own need aligned ones."""
    parser = next(kind for kind in vars(sys.modules["test.mockgpu.amd.pcode"]).values() if hasattr(kind, "_handle_mem_load"))
    load, types = parser._handle_mem_load, emulator.dtypes

    def load_in_parts(self, address, kind):
        if kind.itemsize not in (2, 8):
            return load(self, address, kind)
        part, whole = (types.uint8, types.uint16) if kind.itemsize == 2 else (types.uint32, types.uint64)
        low = load(self, address, part).cast(whole)
        high = load(self, address + emulator.UOp.const(part.itemsize, address.dtype), part).cast(whole)
        return (low | high << emulator.UOp.const(8 * part.itemsize, whole)).bitcast(kind)

    parser._handle_mem_load = load_in_parts


def _corrected(text, path, arch):
    """The emulator's module with the corrections of its source, compiled."""
    tree = ast.parse(text)
    for correction in (_HalvesOnlyOnRdna(), _HalvesOfMatrices(arch == "gfx90a"), _SafeAddresses(), _AtomicsGiveWhatWasThere()):
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name in correction.functions:
                correction.visit(node)
        if correction.found != correction.expected:
            raise Untranslatable(f"{path}: {type(correction).__name__} finds {correction.found} places to correct, {correction.expected} are known; "
                                 "use a checkout of 2026-08 or correct tests/emulated/runner/translate.py")
    return compile(ast.fix_missing_locations(tree), str(path), "exec")


def load_emulator(arch):
    """The emulator's module, corrected."""
    folder = os.environ.get("TINYGRAD_DIR")
    if not folder:
        raise Untranslatable("TINYGRAD_DIR is unset: name a checkout of tinygrad (its wheel lacks the emulator)")
    path = pathlib.Path(folder) / "test/mockgpu/amd/emu.py"
    if not path.is_file():
        raise Untranslatable(f"TINYGRAD_DIR={folder} holds no test/mockgpu/amd/emu.py")
    text = path.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    if digest != KNOWN_EMULATOR:
        print(f"emulator: {path} is {digest}, not the known {KNOWN_EMULATOR}: trust it only as far as the self-tests pass", file=sys.stderr)
    os.environ["DEV"] = "CPU"
    sys.path.insert(0, folder)
    importlib.import_module("test.mockgpu.amd")
    module = types.ModuleType("test.mockgpu.amd.emu")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    exec(_corrected(text, path, arch), module.__dict__)  # pylint: disable=exec-used
    module._safe_addresses = _safe_addresses(module)
    _correct_narrow_loads(module)
    return module, digest


def _with_replaced_operand(emulator, context_type):
    """A translation context in which one operand's field reads as a register behind those that instructions can name."""

    class Context(context_type):
        __slots__ = ("replaced", "register")

        def __init__(self, size_bytes, wave_size):
            super().__init__(size_bytes, wave_size)
            self.vgpr = emulator.UOp.param(1, emulator.dtypes.uint32, (ALL_REGISTERS * wave_size,))

        def inst_field(self, field):
            if (field.lo, field.hi) == self.replaced:
                return emulator.UOp.const(self.register, emulator.dtypes.uint32)
            return super().inst_field(field)

    return Context


@dataclasses.dataclass(frozen=True)
class Translation:
    """A host function that does what one instruction does."""
    address: int
    buffers: tuple  # of a wave, in the order in which the function takes them
    size_bytes: int
    copied: int | None  # the vector register to be copied to COPY_REGISTER first


class Translator:
    """Instructions of one family of machines as host functions."""

    def __init__(self, arch, cache_folder):
        self.arch, self.family = arch, FAMILIES[arch]
        self.wave_size = 64 if self.family == "cdna" else 32
        self.emulator, emulator_digest = load_emulator(arch)
        self.replacing_context = _with_replaced_operand(self.emulator, self.emulator._Ctx)
        self.renderer = self.emulator.Device["CPU"].renderer
        processor = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
        flags = next((line for line in processor.splitlines() if line.startswith("flags")), "")
        own = pathlib.Path(__file__).read_bytes()
        version = hashlib.sha256(f"{emulator_digest} {self.renderer.target} {flags}".encode() + own).hexdigest()[:16]
        self.folder = pathlib.Path(cache_folder) / version / arch
        self.folder.mkdir(parents=True, exist_ok=True)
        self.translated = 0  # anew, in this process
        self.known = {}  # (type, size, mask) -> {base: (function address, buffers)}
        self.kept_alive = []
        for file in sorted(self.folder.iterdir()):
            if file.suffix == ".translation":
                self._remember(*pickle.loads(file.read_bytes()))

    def _remember(self, key, base, elf):
        program = self.emulator.Device["CPU"].runtime(elf["object"])
        self.kept_alive.append(program)
        entry = ctypes.cast(program.fxn, ctypes.c_void_p).value, elf["buffers"]
        self.known.setdefault(key, {})[base] = entry
        return entry

    def translate(self, code):
        """The instruction that `code`, 16 bytes, starts with."""
        code = self._as_known(int.from_bytes(code[:4], "little")).to_bytes(4, "little") + code[4:]
        instruction = self.emulator.decode_inst(code, self.family)
        size_bytes = instruction.size()
        bits = int.from_bytes(code[:size_bytes], "little")
        field, register, copied = self._replacement(instruction)
        kind = f"{type(instruction).__name__} {register}"
        for (known_kind, known_size, mask), by_base in self.known.items():
            if known_kind == kind and known_size == size_bytes and bits & mask in by_base:
                return Translation(*by_base[bits & mask], size_bytes, copied)
        return Translation(*self._translate_anew(instruction, kind, code, size_bytes, field, register), size_bytes, copied)

    def _as_known(self, word):
        """The first word of an instruction, or of one that does the same and that the emulator knows."""
        if self.arch == "gfx90a":
            return word & 0xFFFF | GFX90A_BF16.get(word & 0xFFFF0000, word & 0xFFFF0000)
        if self.family == "rdna4" and word >> 24 == FLAT_RDNA4:
            return word & 0xFFFFFF | GLOBAL_RDNA4 << 24
        return word

    def _replacement(self, instruction):
        """(field, the register that it shall name, the register to copy there first), or three times None.
        WMMA: the emulator takes a constant C for a register. DPP: it writes one lane before it reads the next one's source, which is wrong where the
        destination is the source. DPP and permlane: it reads lanes that are off, which the copy replaces by NaN. FLAT of CDNA: the scalar base, which
        it does not have, is encoded as 0 and taken for s[0:1]."""
        name = self.emulator._op_name(instruction)
        if "WMMA" in name and instruction.src2.offset < FIRST_VECTOR_REGISTER:
            if instruction.src2.offset != CONSTANT_ZERO:
                raise Untranslatable(f"{instruction!r}: C is a constant other than 0")
            return type(instruction).src2, FIRST_VECTOR_REGISTER + ZERO_REGISTER, None
        if hasattr(type(instruction), "dpp") and hasattr(type(instruction), "vsrc0"):
            return type(instruction).vsrc0, COPY_REGISTER, instruction.vsrc0.offset - FIRST_VECTOR_REGISTER
        if name.startswith("V_PERMLANE"):
            return type(instruction).src0, FIRST_VECTOR_REGISTER + COPY_REGISTER, instruction.src0.offset - FIRST_VECTOR_REGISTER
        if name.startswith("FLAT_") and self.family == "cdna":
            return type(instruction).saddr, NO_SCALAR_BASE, None
        return None, None, None

    def _translate_anew(self, instruction, kind, code, size_bytes, field, register):
        emulator = self.emulator
        handler = next((emulator._INST_HANDLERS[base] for base in type(instruction).__mro__ if base in emulator._INST_HANDLERS), None)
        if handler is None:
            raise Untranslatable(f"the emulator does not know {instruction!r}")
        context = (emulator._Ctx if field is None else self.replacing_context)(size_bytes, self.wave_size)
        if field is not None:
            context.replaced, context.register = (field.lo, field.hi), register
        try:
            sink = handler(instruction, context)
            if field is not None:
                context.dyn_fields.append((field.lo, field.hi))
            base, mask, _ = context.canonical_mask(code)
            sink = sink.replace(arg=emulator.KernelInfo(name=f"{emulator._op_name(instruction).lower()}_{base:x}")).rtag(1)
            with emulator.Context(NOOPT=1, CHECK_OOB=0, TUPLE_ORDER=0, EMULATED_DTYPES="", CAPTURE_PROCESS_REPLAY=0, PROFILE=0):
                program = emulator.to_program(sink, self.renderer)
        except Exception as error:
            raise Untranslatable(f"the emulator cannot translate {instruction!r}: {type(error).__name__}: {error}") from error
        self.translated += 1
        record = (kind, size_bytes, mask), base, {"object": program.to_elf(), "buffers": tuple(program.arg.globals)}
        self._keep(record)
        return self._remember(*record)

    def _keep(self, record):
        """Writes a file of its own, whole: other processes read and write the folder at the same time."""
        name = hashlib.sha256(repr(record[:2]).encode()).hexdigest()[:32]
        with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as file:
            file.write(pickle.dumps(record))
        os.replace(file.name, self.folder / f"{name}.translation")
