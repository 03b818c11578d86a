"""The emulated GPU as a process: one per program under test, started by runtime/server.cpp and ended with it (when the socket closes).

    server.py ARCH SOCKET ARENA ADDRESS BYTES LOOP_LIBRARY CACHE_FOLDER

SOCKET and ARENA are inherited file descriptors: a stream socket, and the memory of the device, which lies at ADDRESS in both processes; here a page
is accessible only while it belongs to an allocation. Each request is {u32 kind, u32 bytes, payload}, each answer {u32 refused, u32 bytes, payload},
where a refusal's payload is its reason and 2 means that no kernel has the name. The kinds and payloads stand with the functions below;
runtime/server.cpp is the other side."""
import ctypes
import os
import socket
import struct
import sys
import tempfile

import machine as emulated
import translate

PROT_NONE, PROT_READ_WRITE = 0, 3
MAP_SHARED, MAP_NORESERVE, MAP_FIXED_NOREPLACE = 0x01, 0x4000, 0x100000
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


class Server:
    def __init__(self, arch, arena, address, arena_bytes, loop_library, cache_folder):
        self.address = address
        mapped = libc.mmap(address, arena_bytes, PROT_NONE, MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE, arena, 0)
        if mapped != address:
            raise emulated.Refused(f"device memory cannot lie at {address:#x} in the emulator's process: {os.strerror(ctypes.get_errno())}")
        self.machine = emulated.Machine(arch, loop_library, cache_folder)
        self.modules, self.kernels = [], []
        self.folder = tempfile.TemporaryDirectory(prefix="rocforge-emulator-")

    def load(self, payload):
        """A code object -> u32 module."""
        path = os.path.join(self.folder.name, f"{len(self.modules)}.co")
        with open(path, "wb") as file:
            file.write(payload)
        self.modules.append(self.machine.load(path))
        return struct.pack("<I", len(self.modules) - 1)

    def kernel(self, payload):
        """u32 module, the kernel's name -> u32 kernel, then {u32 offset, u32 bytes} of each argument."""
        module, = struct.unpack_from("<I", payload)
        loaded = self.modules[module].kernel(payload[4:].decode(), self.machine)
        self.kernels.append(loaded)
        arguments = [a for a in loaded.kernel.metadata.get(".args", []) if not a[".value_kind"].startswith("hidden_")]
        return struct.pack("<I", len(self.kernels) - 1) + b"".join(struct.pack("<II", a[".offset"], a[".size"]) for a in arguments)

    def launch(self, payload):
        """u32 kernel, u32 grid [3], u32 block [3], u32 bytes of dynamic shared memory, the arguments -> nothing, once it has run."""
        kernel, *numbers = struct.unpack_from("<8I", payload)
        self.machine.launch(self.kernels[kernel], numbers[0:3], numbers[3:6], payload[32:], numbers[6])
        return b""

    def allow(self, payload):
        """u64 offset, u64 bytes, u64 whether kernels may reach these pages -> nothing."""
        offset, count, allowed = struct.unpack("<3Q", payload)
        if libc.mprotect(self.address + offset, count, PROT_READ_WRITE if allowed else PROT_NONE) != 0:
            raise emulated.Refused(f"mprotect: {os.strerror(ctypes.get_errno())}")
        return b""


def receive(connection, count):
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            sys.exit(0)  # the program under test has ended
        data += part
    return bytes(data)


def answer(connection, refused, payload):
    connection.sendall(struct.pack("<II", refused, len(payload)) + payload)


REFUSALS = (emulated.Refused, translate.Untranslatable, emulated.objects.Unreadable)


def serve(connection, server):
    actions = [server.load, server.kernel, server.launch, server.allow]
    while True:
        kind, count = struct.unpack("<II", receive(connection, 8))
        payload = receive(connection, count)
        try:
            answer(connection, 0, actions[kind](payload))
        except REFUSALS as refusal:
            answer(connection, 2 if isinstance(refusal, emulated.Absent) else 1, str(refusal).encode())


def main(arch, connection, arena, address, arena_bytes, loop_library, cache_folder):
    connection = socket.socket(fileno=int(connection))
    try:
        server = Server(arch, int(arena), int(address, 0), int(arena_bytes), loop_library, cache_folder)
    except REFUSALS as refusal:
        answer(connection, 1, str(refusal).encode())
        return
    answer(connection, 0, b"")
    serve(connection, server)


if __name__ == "__main__":
    main(*sys.argv[1:])
