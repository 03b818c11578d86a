"""The main loop of a kernel, found in its disassembly, and what of it is counted. Pure: takes lists of instructions."""
import dataclasses
import re

MATRIX = re.compile(r"^v_s?(mfma|wmma)")
ENDS = ("s_endpgm", "s_branch", "s_setpc_b64", "s_endpgm_saved")

# Cycles in which one wave's instruction keeps its SIMD from issuing another of that wave, by machine.
#   vector: a wave64 passes CDNA's 16 lanes in 4 cycles, a wave32 RDNA's 32 lanes in 1. Every other instruction takes one such slot.
#   slow: transcendental and 32-bit integer multiplication, at a quarter of the rate.
#   matrix: 16x16x16 with 16-bit A and B, 8,192 operations; as many cycles as the vendor's peak rate says:
#     gfx90a  MI250X  383 TFLOP/s / (220 CU x 4 SIMD x 1.7 GHz) = 256 a cycle and SIMD -> 32
#     gfx942  MI300X 1307 TFLOP/s / (304 CU x 4 SIMD x 2.1 GHz) = 512 -> 16
#     gfx1100 7900 XTX 123 TFLOP/s / (96 CU x 2 SIMD x 2.5 GHz) = 256 -> 32
#     gfx1201 9070 XT  195 TFLOP/s / (64 CU x 2 SIMD x 2.97 GHz) = 512 -> 16
#   Waits, barriers and scheduling hints: 0, s_nop N: N + 1 slots. Memory latency and overlap between waves are not in these numbers.
CYCLES = {"gfx90a": (4, 16, 32), "gfx942": (4, 16, 16), "gfx1100": (1, 4, 32), "gfx1201": (1, 4, 16)}
SLOW = re.compile(r"^v_(s_)?(exp|log|rcp|rsq|sqrt|sin|cos)_|^v_mul_(lo|hi)_[ui]32|^v_mad_[ui]64_[ui]32")
FREE = re.compile(r"^s_(waitcnt|wait_|delay_alu|clause|barrier|sched|set_inst_prefetch|inst_prefetch|setprio|sleep|code_end)")


@dataclasses.dataclass(frozen=True)
class Block:
    first: int  # index of its first instruction
    end: int  # behind its last
    next: tuple  # indices of the first instructions of the blocks that may follow


def _target(instruction):
    """The offset that a branch goes to: a signed 16-bit count of words from behind it."""
    words = instruction.word & 0xFFFF
    return instruction.offset + 4 + 4 * (words - 0x10000 if words >= 0x8000 else words)


def _is_branch(instruction):
    return instruction.mnemonic == "s_branch" or instruction.mnemonic.startswith("s_cbranch_")


def blocks_of(instructions):
    """{index of the first instruction: basic block}"""
    at = {instruction.offset: index for index, instruction in enumerate(instructions)}
    starts = {0}
    for index, instruction in enumerate(instructions):
        if _is_branch(instruction):
            starts.add(at[_target(instruction)])
        if _is_branch(instruction) or instruction.mnemonic in ENDS:
            starts.add(index + 1)
    starts = sorted(start for start in starts if start < len(instructions))
    blocks = {}
    for start, end in zip(starts, starts[1:] + [len(instructions)]):
        last, follows = instructions[end - 1], []
        if _is_branch(last):
            follows.append(at[_target(last)])
        if last.mnemonic not in ENDS and end < len(instructions):
            follows.append(end)
        blocks[start] = Block(start, end, tuple(follows))
    return blocks


def _dominators(blocks):
    """{block: the blocks through which every way from the start to it leads}"""
    before = {start: [] for start in blocks}
    for block in blocks.values():
        for follower in block.next:
            before[follower].append(block.first)
    order, seen, open_blocks = [], {0}, [(0, iter(blocks[0].next))]
    while open_blocks:
        start, followers = open_blocks[-1]
        for follower in followers:
            if follower not in seen:
                seen.add(follower)
                open_blocks.append((follower, iter(blocks[follower].next)))
                break
        else:
            open_blocks.pop()
            order.append(start)
    order.reverse()
    dominators = {start: None for start in order}
    dominators[0] = frozenset([0])
    changed = True
    while changed:
        changed = False
        for start in order[1:]:
            known = [dominators[p] for p in before[start] if dominators.get(p) is not None]
            found = frozenset.intersection(*known) | {start}
            if found != dominators[start]:
                dominators[start], changed = found, True
    return dominators, before


def _is_matrix(instruction):
    return bool(MATRIX.match(instruction.mnemonic))


class Loop:
    """A natural loop: the blocks from which its head is reached again without passing the head."""

    def __init__(self, head, starts, blocks, dominators):
        self.head, self.starts = head, starts
        self.inside = {start: [n for n in blocks[start].next if n in starts and n not in dominators[start]] for start in starts}
        self.latches = [start for start in starts if head in blocks[start].next]


def loops_of(instructions):
    """(basic blocks, natural loops)"""
    blocks = blocks_of(instructions)
    dominators, before = _dominators(blocks)
    bodies = {}
    for start, own in dominators.items():
        for head in blocks[start].next:
            if head in own:
                body, todo = {head}, [start]
                while todo:
                    block = todo.pop()
                    if block not in body:
                        body.add(block)
                        todo += [p for p in before[block] if p in dominators]
                bodies.setdefault(head, set()).update(body)
    return blocks, [Loop(head, starts, blocks, dominators) for head, starts in bodies.items()]


def _cheapest_round(loop, blocks, instructions):
    """The blocks of the way once around a loop that has the most matrix instructions, and of such ways the fewest instructions: what a block of keys
    costs that needs no mask and no other exceptional step. Loops inside are passed once."""
    best = {}  # start of a block: ((matrix instructions, -instructions), way) from the head to its end

    def offer(start, score, way):
        body = instructions[blocks[start].first:blocks[start].end]
        total = score[0] + sum(map(_is_matrix, body)), score[1] - len(body)
        if start not in best or total > best[start][0]:
            best[start] = total, way + (start,)

    order, seen = [], set()

    def visit(start):
        todo = [(start, iter(loop.inside[start]))]
        seen.add(start)
        while todo:
            block, followers = todo[-1]
            follower = next((f for f in followers if f not in seen), None)
            if follower is None:
                order.append(block)
                todo.pop()
            else:
                seen.add(follower)
                todo.append((follower, iter(loop.inside[follower])))

    visit(loop.head)
    offer(loop.head, (0, 0), ())
    for block in reversed(order):
        for follower in loop.inside[block]:
            offer(follower, *best[block])
    return max((best[latch] for latch in loop.latches if latch in best), key=lambda found: found[0])


def main_loop(instructions):
    """The instructions of the cheapest round of the innermost loop with the most matrix instructions (of several: of the cheapest).
    None without matrix instructions in a loop."""
    blocks, loops = loops_of(instructions)
    working = [loop for loop in loops if any(_is_matrix(i) for s in loop.starts for i in instructions[s:blocks[s].end])]
    innermost = [loop for loop in working if not any(other.starts < loop.starts for other in working)]
    if not innermost:
        return None
    _, way = max((_cheapest_round(loop, blocks, instructions) for loop in innermost), key=lambda found: found[0])
    return [instruction for start in way for instruction in instructions[start:blocks[start].end]]


@dataclasses.dataclass(frozen=True)
class Counts:
    instructions: int
    matrix: int
    matrix_cycles: int
    cycles: int

    @property
    def per_matrix(self):
        return self.instructions / self.matrix

    @property
    def matrix_share(self):
        return self.matrix_cycles / self.cycles


def _cycles(instruction, slot, slow, matrix):
    if _is_matrix(instruction):
        return matrix
    if FREE.match(instruction.mnemonic):
        return 0
    if instruction.mnemonic == "s_nop":
        return slot * ((instruction.word & 0xF) + 1)
    return slow if SLOW.match(instruction.mnemonic) else slot


def count(body, arch):
    """What of a loop is matrix work. Every matrix instruction is taken for a 16x16x16 one, which the kernels' units use."""
    slot, slow, matrix = CYCLES[arch]
    found = sum(map(_is_matrix, body))
    return Counts(len(body), found, found * matrix, sum(_cycles(i, slot, slow, matrix) for i in body))
