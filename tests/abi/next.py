"""The headers of a simulated ABI 1.1: a field or slot at the end of every struct that may grow, a feature bit, a minor version. Made from today's.

    next.py ROOT OUT_INCLUDE
"""
import pathlib
import re
import sys

import check


def grown(text):
    def append(match):
        body, name = match.group(1), match.group(2)
        if "uint32_t struct_size" not in body or name == "rf_error":  # embedded or frozen
            return match.group(0)
        late = "int (*next_slot)(void);" if "(*" in body and name != "rf_sink" else "uint64_t next_field;"
        return f"{match.group(0)[:-len(name) - 3]}    {late}\n}} {name};"

    return re.sub(r"typedef struct \w+ \{(.*?)\n\} (\w+);", append, text, flags=re.S)


def next_version(text):
    text = re.sub(r"(#define RF_ABI_MINOR) (\d+)", lambda m: f"{m.group(1)} {int(m.group(2)) + 1}", text)
    bits = int(re.search(r"#define RF_F_ALL \(\(1ull << (\d+)\)", text).group(1))
    return re.sub(r"#define RF_F_ALL .*", f"#define RF_F_NEXT (1ull << {bits})\n#define RF_F_ALL ((1ull << {bits + 1}) - 1)", text)


if __name__ == "__main__":
    include = check.gather(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
    for name, change in (("plugin.h", lambda text: next_version(grown(text))), ("rocforge.h", grown)):
        path = include / "rocforge" / name
        before = path.read_text(encoding="utf-8")
        after = change(before)
        if after == before:
            sys.exit(f"{name}: nothing was appended")
        path.write_text(after, encoding="utf-8")
