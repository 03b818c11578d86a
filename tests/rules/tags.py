"""Every function slot of plugin.h has a comment that closes with its tags: a plugin author must not have to guess on which thread a call
arrives or whether it may wait. Judges the words alone, never what a backend does."""
import pathlib
import re

import header
import rule

THREAD = {"init-thread", "any-thread"}
CLOSED_SET = THREAD | {"pure", "enqueues", "blocks"}


def check(root):
    text = (pathlib.Path(root) / header.PLUGIN_H).read_text(encoding="utf-8")
    violations = []
    for struct, slot, comment, line in header.slots(text):
        where = f"{header.PLUGIN_H}:{line}: {struct}.{slot}"
        closing = re.search(r"((?:\[[a-z-]+\]\s*)+)\*/$", comment)
        tags = re.findall(r"\[([a-z-]+)\]", closing.group(1)) if closing else []
        if not comment:
            violations.append(f"{where}: no comment before it")
        elif not tags:
            violations.append(f"{where}: its comment does not close with tags")
        for tag in tags:
            if tag not in CLOSED_SET:
                violations.append(f"{where}: [{tag}] is none of {sorted(CLOSED_SET)}")
        if tags and len(THREAD & set(tags)) != 1:
            violations.append(f"{where}: needs exactly one of {sorted(THREAD)}")
    return violations


def plugin_h(comment):
    return {header.PLUGIN_H: "typedef struct rf_t {\n    int x; /* a [shape] */\n" + comment + "    int (*go)(void *, int);\n} rf_t;\n"}


CLEAN = plugin_h("    /* Goes. [any-thread] [blocks] */\n")
PLANTS = [
    ("no comment", plugin_h(""), "no comment before it"),
    ("no tags", plugin_h("    /* Goes. */\n"), "does not close with tags"),
    ("tags not last", plugin_h("    /* [any-thread] Goes. */\n"), "does not close with tags"),
    ("unknown tag", plugin_h("    /* Goes. [any-thread] [fast] */\n"), "[fast] is none of"),
    ("no thread tag", plugin_h("    /* Goes. [pure] */\n"), "exactly one of"),
    ("both thread tags", plugin_h("    /* Goes. [any-thread] [init-thread] */\n"), "exactly one of"),
]

if __name__ == "__main__":
    rule.main(check, CLEAN, PLANTS)
