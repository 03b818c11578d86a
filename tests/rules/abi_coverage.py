"""Every struct, member and constant of plugin.h and rocforge.h is pinned in tests/abi/layout.cpp, and every struct and function is reached by
tests/abi/anchor.c: an unpinned field is one that can move unseen. Checks that the lines exist; the compiler checks their numbers."""
import pathlib
import re

import header
import rule

LAYOUT = "tests/abi/layout.cpp"
ANCHOR = "tests/abi/anchor.c"


def check(root):
    base = pathlib.Path(root)
    layout = rule.without_comments((base / LAYOUT).read_text(encoding="utf-8"))
    anchor = rule.without_comments((base / ANCHOR).read_text(encoding="utf-8"))
    violations = []
    for path in (header.PLUGIN_H, header.ROCFORGE_H):
        text = (base / path).read_text(encoding="utf-8")
        for struct, members in header.structs(text).items():
            if f"sizeof({struct})" not in layout:
                violations.append(f"{LAYOUT}: no sizeof({struct})")
            if not re.search(rf"\(const {struct} ?\*", anchor):
                violations.append(f"{ANCHOR}: no function takes {struct}")
            violations += [f"{LAYOUT}: no offsetof({struct}, {m})" for m in members if f"offsetof({struct}, {m})" not in layout]
        violations += [f"{ANCHOR}: no ANCHOR({f})" for f in header.functions(text) if not re.search(rf"\bANCHOR\({f}\)", anchor)]
        violations += [f"{LAYOUT}: {c} is not pinned" for c in header.constants(text) if not re.search(rf"static_assert\({c} ==", layout)]
    return violations


CLEAN = {
    header.PLUGIN_H: "typedef struct rf_t {\n    int a, *b; /* c */\n    int (*go)(void (*body)(void *, int), int n);\n} rf_t;\nenum { RF_X = 1 };\n",
    header.ROCFORGE_H: "ROCFORGE_API int rocforge_a(void);\n",
    LAYOUT: "static_assert(sizeof(rf_t) == 16);\nstatic_assert(offsetof(rf_t, a) == 0);\nstatic_assert(offsetof(rf_t, b) == 8);\n"
            "static_assert(offsetof(rf_t, go) == 16);\nstatic_assert(RF_X == 1);\n",
    ANCHOR: "RF_EXPORT void anchor_rf_t(const rf_t *p) { (void)p; }\nANCHOR(rocforge_a)\n",
}
PLANTS = [
    ("a new field", {header.PLUGIN_H: "typedef struct rf_t {\n    int a, *b;\n    int (*go)(int);\n    int late;\n} rf_t;\n"}, "no offsetof(rf_t, late)"),
    ("a new slot", {header.PLUGIN_H: "typedef struct rf_t {\n    int a, *b;\n    int (*go)(int);\n    int (*stop)(int);\n} rf_t;\n"}, "offsetof(rf_t, stop)"),
    ("a new struct", {header.ROCFORGE_H: "typedef struct rf_u {\n    int a;\n} rf_u;\n"}, "no sizeof(rf_u)"),
    ("an unreachable struct", {ANCHOR: ""}, "no function takes rf_t"),
    ("a new function", {header.ROCFORGE_H: "ROCFORGE_API int rocforge_a(void);\nROCFORGE_API int rocforge_b(int);\n"}, "no ANCHOR(rocforge_b)"),
    ("a new constant", {header.PLUGIN_H: "enum { RF_X = 1, RF_Y };\n"}, "RF_Y is not pinned"),
    ("a pin inside a comment", {ANCHOR: "/* (const rf_t *p) */\n"}, "no function takes rf_t"),
]

if __name__ == "__main__":
    rule.main(check, CLEAN, PLANTS)
