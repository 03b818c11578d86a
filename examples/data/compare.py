#!/usr/bin/env python3
"""Holds what `rocforge run` wrote against the output that the model itself computed. Needs Python's standard library alone.

    compare.py CAPTURE.safetensors OUT.safetensors [RUN.json]

CAPTURE has `expected`, `v` and the metadata `model_error`; OUT has `out`; RUN.json is what `rocforge run --json` printed. Prints one line: storage type,
backend, kernel and time (where RUN.json is given), largest error, tolerance, verdict. Exit status: 0 within the tolerance, 1 over it, 2 not readable.
"""
import array
import json
import math
import struct
import sys

EPSILON = {"F32": 2.0**-23, "F16": 2.0**-10, "BF16": 2.0**-7}


def read_tensor(path, name):
    """Returns the type, the shape and the values of one floating-point tensor of a safetensors file, and the file's metadata."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        if name not in header:
            raise ValueError(f"{path}: no tensor named {name}")
        begin, end = header[name]["data_offsets"]
        file.seek(begin, 1)
        data = file.read(end - begin)
    dtype = header[name]["dtype"]
    if dtype == "BF16":  # the upper half of an F32
        data = b"".join(b"\0\0" + data[i:i + 2] for i in range(0, len(data), 2))
    code = {"F32": "f", "F16": "e", "BF16": "f"}[dtype]
    values = struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data)
    return dtype, header[name]["shape"], array.array("f", values), header.get("__metadata__", {})


def compare(capture, result):
    """Returns out's type, the largest |out - expected| (inf where out is not finite) and the tolerance, whose origin stands in README.md."""
    _, shape, expected, metadata = read_tensor(capture, "expected")
    dtype, out_shape, out, _ = read_tensor(result, "out")
    if out_shape != shape:
        raise ValueError(f"{result}: out {out_shape} is not expected's shape {shape}")
    values = read_tensor(capture, "v")[2]
    error = max(abs(a - b) if math.isfinite(a) else math.inf for a, b in zip(out, expected))
    return dtype, error, 3 * float(metadata["model_error"]) + 4 * EPSILON[dtype] * max(1.0, max(map(abs, values)))


def main():
    if len(sys.argv) not in (3, 4):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        dtype, error, tolerance = compare(*sys.argv[1:3])
        run = ""
        if len(sys.argv) == 4:
            with open(sys.argv[3]) as file:
                report = json.load(file)
            run = f"  {report['backend']} ({report['kernel']})  {report['forward_us'] / 1000:.3f} ms"
    except (OSError, ValueError, KeyError, struct.error) as problem:
        print(f"compare.py: {problem}", file=sys.stderr)
        return 2
    within = error <= tolerance
    print(f"{dtype}{run}  max error {error:.2e}  tolerance {tolerance:.2e}  {'within' if within else 'OVER THE TOLERANCE'}")
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
