"""The feature bits of plugin.h are distinct single bits, without a gap, and RF_F_ALL is exactly their union: a bit outside it would be refused by
no core, a shared one would let a backend claim what it does not implement."""
import pathlib
import re

import header
import rule


def check(root):
    code = rule.without_comments((pathlib.Path(root) / header.PLUGIN_H).read_text(encoding="utf-8"))
    violations = []
    owner = {}
    for name, shift in re.findall(r"#define (RF_F_(?!ALL\b)\w+) \(1ull << (\d+)\)", code):
        if shift in owner:
            violations.append(f"{header.PLUGIN_H}: {name} and {owner[shift]} are both bit {shift}")
        owner[shift] = name
    for name, value in re.findall(r"#define (RF_F_(?!ALL\b)\w+)\s+(.*)", code):
        if not re.fullmatch(r"\(1ull << \d+\)", value.strip()):
            violations.append(f"{header.PLUGIN_H}: {name} is '{value.strip()}', not (1ull << N)")
    union = re.search(r"#define RF_F_ALL \(\(1ull << (\d+)\) - 1\)", code)
    if not union:
        return violations + [f"{header.PLUGIN_H}: no '#define RF_F_ALL ((1ull << N) - 1)'"]
    missing = set(range(int(union.group(1)))) - {int(shift) for shift in owner}
    beyond = [name for shift, name in owner.items() if int(shift) >= int(union.group(1))]
    violations += [f"{header.PLUGIN_H}: RF_F_ALL holds bit {bit}, which no feature has" for bit in sorted(missing)]
    violations += [f"{header.PLUGIN_H}: {name} is not in RF_F_ALL" for name in beyond]
    return violations


def plugin_h(b, count=2):
    return {header.PLUGIN_H: f"#define RF_F_A (1ull << 0) /* a */\n#define RF_F_B {b} /* b */\n#define RF_F_ALL ((1ull << {count}) - 1)\n"}


CLEAN = plugin_h("(1ull << 1)")
PLANTS = [
    ("one bit twice", plugin_h("(1ull << 0)", 1), "are both bit 0"),
    ("two bits in one", plugin_h("(3ull << 1)"), "not (1ull << N)"),
    ("a gap", plugin_h("(1ull << 2)", 3), "bit 1, which no feature has"),
    ("a bit that RF_F_ALL misses", plugin_h("(1ull << 1)", 1), "RF_F_B is not in RF_F_ALL"),
    ("no RF_F_ALL", {header.PLUGIN_H: "#define RF_F_A (1ull << 0)\n"}, "no '#define RF_F_ALL"),
]

if __name__ == "__main__":
    rule.main(check, CLEAN, PLANTS)
