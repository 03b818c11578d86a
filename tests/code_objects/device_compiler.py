"""Compiles a small kernel for one AMD arch, as kernels/cmake/device_code.cmake compiles the real ones, for tests that need one of their own."""
import subprocess


def compile_device_code(clang, arch, source, output):
    subprocess.run([clang, "-x", "hip", "-std=c++20", "-O3", "-w", f"--offload-arch={arch}", "--offload-device-only", "--no-gpu-bundle-output",
                    "-nogpulib", "-nogpuinc", "-c", str(source), "-o", str(output)], check=True)
