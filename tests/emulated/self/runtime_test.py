"""The stand-in for AMD's runtime library tested through its own calls, as a host program uses them. What ends the device (a fault) runs in a process
of its own.   runtime_test.py ARCH CLANG   with the library's folder in LD_LIBRARY_PATH (launcher.py)"""
import ctypes
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER.parents[1] / "code_objects"))

from device_compiler import compile_device_code  # noqa: E402

ARCH, CLANG = sys.argv[1:3]
INVALID_VALUE, OUT_OF_MEMORY, INVALID_HANDLE, NOT_FOUND, LAUNCH_FAILURE, CAPTURE_UNSUPPORTED = 1, 2, 400, 500, 719, 900


class Failure(Exception):
    """A call's result that is not hipSuccess."""

    def __init__(self, name, number):
        super().__init__(f"{name}: {number}")
        self.number = number


class Hip:
    """The library, with an exception for each result that is not 0. Handles and addresses are integers."""

    def __init__(self):
        self.library = ctypes.CDLL("libamdhip64.so.7")

    def __getattr__(self, name):
        def call(*arguments):
            converted = [ctypes.c_void_p(a) if isinstance(a, int) and a > 0xFFFFFFFF else a for a in arguments]
            number = getattr(self.library, "hip" + name)(*converted)
            if number != 0:
                raise Failure(name, number)
        return call

    def made(self, name, *arguments):
        """Calls what writes a handle through its first argument."""
        handle = ctypes.c_void_p()
        getattr(self, name)(ctypes.byref(handle), *arguments)
        return handle.value

    def upload(self, values, stream=None):
        data = struct.pack(f"<{len(values)}f", *values)
        address = self.made("Malloc", ctypes.c_size_t(len(data)))
        self.MemcpyHtoDAsync(address, data, ctypes.c_size_t(len(data)), stream)
        return address

    def download(self, address, count, stream=None):
        data = ctypes.create_string_buffer(4 * count)
        self.MemcpyDtoHAsync(data, address, ctypes.c_size_t(4 * count), stream)
        self.StreamSynchronize(stream)
        return list(struct.unpack(f"<{count}f", data.raw))

    def launch(self, function, groups, threads, *arguments, stream=None):
        kept = [ctypes.c_uint64(a) if a > 0xFFFFFFFF else ctypes.c_int32(a) for a in arguments]
        pointers = (ctypes.c_void_p * len(kept))(*map(ctypes.addressof, kept))
        self.ModuleLaunchKernel(function, groups, 1, 1, threads, 1, 1, 0, stream, pointers, None)


def function(hip, folder, name):
    path = pathlib.Path(folder) / "kernels.co"
    if not path.exists():
        compile_device_code(CLANG, ARCH, FOLDER / "kernels.hip", path)
    return hip.made("ModuleGetFunction", hip.made("ModuleLoadData", path.read_bytes()), name.encode())


NUMBERS = [i / 4 for i in range(250)]
EXPECTED = [2 * x + 1 for x in NUMBERS]


def reads_past_an_allocation(hip, folder):
    kernel = function(hip, folder, "twice_plus_one")
    source, out = hip.upload(NUMBERS[:100]), hip.made("Malloc", ctypes.c_size_t(4096))
    hip.launch(kernel, 3, 96, source, out, 250)
    hip.StreamSynchronize(None)


def writes_beside_an_allocation(hip, folder):
    kernel = function(hip, folder, "twice_plus_one")
    source, out = hip.upload(NUMBERS), hip.made("Malloc", ctypes.c_size_t(4 * 249))  # one number behind it, within its last page
    hip.launch(kernel, 3, 96, source, out, 250)
    hip.StreamSynchronize(None)


def reads_freed_memory(hip, folder):
    kernel = function(hip, folder, "twice_plus_one")
    source, out = hip.upload(NUMBERS), hip.made("Malloc", ctypes.c_size_t(4096))
    hip.Free(source)
    hip.launch(kernel, 3, 96, source, out, 250)
    hip.StreamSynchronize(None)


def host_reads_device_memory(hip, _):
    ctypes.string_at(hip.upload(NUMBERS), 4)


FAULTS = {f.__name__: f for f in (reads_past_an_allocation, writes_beside_an_allocation, reads_freed_memory, host_reads_device_memory)}


class Runtime(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.hip = Hip()
        cls.kernel = function(cls.hip, cls.folder.name, "twice_plus_one")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def number_of(self, action):
        with self.assertRaises(Failure) as caught:
            action()
        return caught.exception.number

    def run_fault(self, name):
        return subprocess.run([sys.executable, "-B", __file__, ARCH, CLANG, name, self.folder.name], capture_output=True, text=True, check=False)

    def test_the_device_says_that_it_is_emulated(self):
        name, properties = ctypes.create_string_buffer(256), ctypes.create_string_buffer(4096)
        self.hip.DeviceGetName(name, 256, 0)
        self.assertEqual(name.value.decode(), f"emulated {ARCH} (tinygrad)")
        self.hip.GetDevicePropertiesR0600(properties, 0)
        self.assertEqual(properties.raw[1160:].split(b"\0")[0].decode().split(":")[0], ARCH)

    def test_a_kernel_computes_what_it_should_and_memory_is_nan_before(self):
        source, out = self.hip.upload(NUMBERS), self.hip.made("Malloc", ctypes.c_size_t(1000))
        self.assertTrue(all(x != x for x in self.hip.download(out, 250)))
        self.hip.launch(self.kernel, 3, 96, source, out, 250)
        self.assertEqual(self.hip.download(out, 250), EXPECTED)

    def test_nothing_runs_before_somebody_waits(self):
        stream = self.hip.made("StreamCreateWithFlags", 1)
        source, out = self.hip.upload(NUMBERS, stream), self.hip.made("Malloc", ctypes.c_size_t(1000))
        self.hip.launch(self.kernel, 3, 96, source, out, 250, stream=stream)
        self.assertTrue(all(x != x for x in self.hip.download(out, 250)), "another stream's work ran")
        self.hip.StreamSynchronize(stream)
        self.assertEqual(self.hip.download(out, 250), EXPECTED)
        self.hip.StreamDestroy(stream)
        self.assertEqual(self.number_of(lambda: self.hip.StreamSynchronize(stream)), INVALID_HANDLE)

    def test_events_mark_a_place_in_a_stream(self):
        first, last = self.hip.made("EventCreateWithFlags", 0), self.hip.made("EventCreateWithFlags", 0)
        source, out = self.hip.upload(NUMBERS), self.hip.made("Malloc", ctypes.c_size_t(1000))
        self.hip.EventRecord(first, None)
        self.hip.launch(self.kernel, 3, 96, source, out, 250)
        self.hip.EventRecord(last, None)
        self.hip.EventSynchronize(last)
        between = ctypes.c_float()
        self.hip.EventElapsedTime(ctypes.byref(between), first, last)
        self.assertGreater(between.value, 0)
        self.hip.EventDestroy(first)
        self.assertEqual(self.number_of(lambda: self.hip.EventRecord(first, None)), INVALID_HANDLE)

    def test_a_captured_graph_runs_at_each_launch_and_not_before(self):
        stream = self.hip.made("StreamCreateWithFlags", 1)
        numbers, out = self.hip.upload(NUMBERS), self.hip.made("Malloc", ctypes.c_size_t(1000))
        self.hip.StreamBeginCapture(stream, 2)
        self.hip.launch(self.kernel, 3, 96, numbers, out, 250, stream=stream)
        self.assertEqual(self.number_of(lambda: self.hip.StreamSynchronize(stream)), CAPTURE_UNSUPPORTED)
        graph = ctypes.c_void_p()
        self.hip.StreamEndCapture(stream, ctypes.byref(graph))
        executable = self.hip.made("GraphInstantiateWithFlags", graph.value, ctypes.c_uint64(0))
        self.hip.GraphDestroy(graph.value)
        self.assertTrue(all(x != x for x in self.hip.download(out, 250, stream)))
        for offset in (0, 7):
            data = struct.pack("<250f", *[x + offset for x in NUMBERS])
            self.hip.MemcpyHtoDAsync(numbers, data, ctypes.c_size_t(1000), stream)
            self.hip.GraphLaunch(executable, stream)
            self.assertEqual(self.hip.download(out, 250, stream), [2 * (x + offset) + 1 for x in NUMBERS])
        self.hip.GraphExecDestroy(executable)
        self.assertEqual(self.number_of(lambda: self.hip.GraphLaunch(executable, stream)), INVALID_HANDLE)

    def test_wrong_calls_have_the_runtime_s_errors(self):
        module = self.hip.made("ModuleLoadData", (pathlib.Path(self.folder.name) / "kernels.co").read_bytes())
        out = ctypes.c_void_p()
        self.assertEqual(self.number_of(lambda: self.hip.ModuleGetFunction(ctypes.byref(out), module, b"absent")), NOT_FOUND)
        self.assertEqual(self.number_of(lambda: self.hip.Malloc(ctypes.byref(out), ctypes.c_size_t(1 << 40))), OUT_OF_MEMORY)
        address = self.hip.upload(NUMBERS)
        larger = ctypes.create_string_buffer(2000)
        self.assertEqual(self.number_of(lambda: self.hip.MemcpyDtoHAsync(larger, address, ctypes.c_size_t(1001), None)), INVALID_VALUE)
        self.hip.Free(address)
        self.assertEqual(self.number_of(lambda: self.hip.Free(address)), INVALID_VALUE)
        self.assertEqual(self.number_of(lambda: self.hip.launch(self.kernel, 1 << 27, 96, address, address, 1)), INVALID_VALUE)

    def test_a_kernel_that_leaves_its_allocations_fails_and_is_named(self):
        for name, word in (("reads_past_an_allocation", "no memory at"), ("reads_freed_memory", "no memory at"),
                           ("writes_beside_an_allocation", "memory beside the allocation of 996 bytes was written")):
            with self.subTest(name):
                done = self.run_fault(name)
                self.assertEqual(done.returncode, LAUNCH_FAILURE % 256, done.stderr)
                self.assertIn(word, done.stderr)
        self.assertIn("global_load", self.run_fault("reads_freed_memory").stderr)

    def test_a_host_that_reads_device_memory_dies(self):
        self.assertEqual(self.run_fault("host_reads_device_memory").returncode, -signal.SIGSEGV)

    def test_without_an_arch_or_an_emulator_there_is_no_device(self):
        for variable, value, word in (("ROCFORGE_EMULATED_ARCH", "gfx1", "is none of gfx90a"), ("TINYGRAD_DIR", None, "TINYGRAD_DIR is unset")):
            environment = {k: v for k, v in os.environ.items() if k != variable} | ({variable: value} if value else {})
            code = "import ctypes, sys; sys.exit(ctypes.CDLL('libamdhip64.so.7').hipGetDeviceCount(ctypes.byref(ctypes.c_int())))"
            done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 100)
            self.assertIn(word, done.stderr)


if __name__ == "__main__":
    if len(sys.argv) == 5:
        try:
            FAULTS[sys.argv[3]](Hip(), sys.argv[4])
        except Failure as failure:
            sys.exit(failure.number % 256)
        sys.exit(0)
    unittest.main(argv=sys.argv[:1])
