"""Which instructions the emulator would run silently wrong, by their text as llvm-objdump prints it. A kernel that holds one is refused before it
runs. Also which instructions have no effect on results here, and are skipped. What the emulator does not know at all it says itself."""
import re

# (pattern of "mnemonic operands", what is wrong in the emulator and what to use instead)
WRONG = [(re.compile(pattern), why) for pattern, why in (
    (r"^(scratch_|s_scratch_|buffer_.*\bs\[0:3\], s32)", "scratch is one buffer for all waves"),
    (r"\bsrc_(shared|private)_base\b", "flat addresses of shared memory are taken for global ones; keep address spaces apart"),
    (r"^ds_swizzle_", "its pattern is not followed; use ds_bpermute or DPP"),
    (r"^ds_(read|load)_.*_tr_|^global_load_tr_", "transposing loads are not known"),
    (r"^(global|buffer)_load_lds_|^buffer_load_\S+ .*\blds$", "loads straight to shared memory are not followed"),
    (r"^buffer_(?!(load|store)_dword(x[24])?(\s|$))", "it is taken for a load or store of 4, 8 or 16 bytes"),
    (r"^v_permlanex?16_b32 .*0x[0-9a-f]", "a literal selector is read as 0; keep it in a register"),
    (r"^v_permlane\S+ .*\bop_sel:|\bfi:1", "what lanes give that are off is not known to be right; let every lane take part"),
    (r"^(ds_permute_b32|v_permlane64|v_permlanex?16_var|v_permlane_)", "it is not known to be right; use ds_bpermute or permlanex16"),
    (r"^v_movrel|^s_movrel|^s_set_gpr_idx", "indexed registers are not known"),
    (r"^v_mfma_\S*_32x32x", "the layout of 32x32 tiles differs; use 16x16"),
    (r"^v_mfma_\S+ .*\b(cbsz|abid|blgp|neg):", "modifiers of matrix instructions are not followed"),
    (r"^v_mfma_\S+ \S+ (a\[|v\[\d+:\d+\], a\[)", "A and B are read from vector registers, never from accumulators"),
    (r"^v_wmma_\S+ .*\b(neg_lo|neg_hi|op_sel):", "modifiers of matrix instructions are not followed"),
    (r"\brow_(bcast|newbcast|share|xmask):|\bwave_(shl|rol|shr|ror):|\bdpp8:", "this DPP control is not known to be right; use ds_bpermute"),
    (r"^(?!v_mov_b32)\S+ .*\brow_sh[lr]:(?!.*\bbound_ctrl:)", "lanes without a source must keep their value, and get a result; use bound_ctrl"),
    (r"\b(row_mask|bank_mask):0x(?!f\b)", "lanes that a DPP mask excludes must keep their value"),
    (r"_sdwa .*([ ,]-[vs]|\|)", "signs and magnitudes of SDWA operands are dropped"),
    (r"_sdwa .*UNUSED_SEXT", "SDWA never extends the sign of its result"),
    (r"^s_(swappc|call)_b64", "calls leave the kernel's own code; inline everything"),
    (r"^s_(trap|sethalt|sendmsg|setprio_inc|memtime|memrealtime|dcache_wb)", "it is ignored"),
)]

# Scheduling hints, waits and cache maintenance: memory is coherent and instructions are complete here.
NO_EFFECT = re.compile(r"^(s_nop|s_waitcnt\w*|s_wait_\w+|s_delay_alu|s_clause|s_setprio|s_sleep|s_inst_prefetch|s_set_inst_prefetch_distance"
                       r"|s_code_end|s_icache_inv|s_dcache_inv|s_barrier_signal|s_sendmsg .*DEALLOC_VGPRS.*|s_prefetch_\w+"
                       r"|buffer_(gl[01]_inv|inv|wbl2|invl2|wbinvl1\w*)|global_(inv|wb|wbinv|prefetch_\w+))(\s|$)")
BARRIER = re.compile(r"^(s_barrier|s_barrier_wait)(\s|$)")


def reasons(instructions):
    """What makes a kernel wrong on the emulator, one line a kind of instruction."""
    found = {}
    for instruction in instructions:
        text = str(instruction)
        if NO_EFFECT.match(text):
            continue
        for pattern, why in WRONG:
            if pattern.search(text):
                found.setdefault(why, f"{text}: {why}")
    return list(found.values())
