"""Runs a command on an emulated AMD GPU.   launcher.py RUNTIME_FOLDER ARCH COMMAND...   (python3 as a command is the emulator's)

Exit status 77 and a line that says why, which CTest counts as skipped, where the emulator cannot run; else the command's."""
import os
import pathlib
import shutil
import subprocess
import sys

SKIPPED = 77


def missing():
    """What the emulator lacks here, or None."""
    folder = os.environ.get("TINYGRAD_DIR")
    if not folder:
        return "TINYGRAD_DIR is unset (a checkout of github.com/tinygrad/tinygrad, whose emulator runs AMD code objects on the CPU)"
    if not (pathlib.Path(folder) / "test/mockgpu/amd/emu.py").is_file():
        return f"TINYGRAD_DIR={folder} holds no test/mockgpu/amd/emu.py"
    python = os.environ.get("ROCFORGE_EMULATOR_PYTHON", "python3")
    version = subprocess.run([python, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False).stdout.split()
    if tuple(map(int, version)) < (3, 11):
        return f"{python} is not python 3.11 or later; name one in ROCFORGE_EMULATOR_PYTHON"
    for program, package in (("clang", "clang"), ("llvm-objdump-19", "llvm-19")):
        if shutil.which(program) is None:
            return f"{program} is not installed (Debian: {package})"
    return None


def main(runtime_folder, arch, *command):
    reason = missing()
    if reason:
        print(f"skipped: {reason}")
        return SKIPPED
    if command[0] == "python3":
        command = (os.environ.get("ROCFORGE_EMULATOR_PYTHON", "python3"), *command[1:])
    libraries = os.pathsep.join(filter(None, (runtime_folder, os.environ.get("LD_LIBRARY_PATH"))))
    return subprocess.run(command, env=os.environ | {"LD_LIBRARY_PATH": libraries, "ROCFORGE_EMULATED_ARCH": arch}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
