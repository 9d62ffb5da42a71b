#!/usr/bin/env python3
"""GPT-2 with random weights, written by PyTorch (Hugging Face's transformers), in Tern's example: the logits of a prompt,
greedy text, and the weights that the example writes again.

    tests/formats/gpt2.py --build BUILD          (needs PyTorch and transformers; says so and ends with 0 without them)"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--build", required=True)
    build = os.path.abspath(p.parse_args().build)
    try:
        import safetensors.torch
        import torch
        import transformers
    except ImportError as e:
        print(f"skipped: {e}")
        return 0
    program = os.path.join(build, "examples", "gpt2")
    torch.manual_seed(0)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: os.path.join(folder, name)  # noqa: E731
        characters = [chr(c) for c in list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256)) + list(range(256, 324))]
        with open(at("vocab.json"), "w", encoding="utf-8") as f:
            json.dump({c: i for i, c in enumerate(sorted(characters, key=ord))}, f)
        with open(at("merges.txt"), "w", encoding="utf-8") as f:
            f.write("#version: 0.2\n")
        config = transformers.GPT2Config(vocab_size=256, n_positions=64, n_embd=128, n_layer=3, n_head=2)
        model = transformers.GPT2LMHeadModel(config).eval()
        for q in model.parameters():  # far from the beginning, where all is small
            q.data.mul_(3).add_(torch.randn_like(q) * 0.05)
        model.save_pretrained(folder, safe_serialization=True)
        prompt = "Deep learning in C, to be or not to be: 1234?"
        ids = [sorted(characters, key=ord).index(c.replace(" ", "\u0120")) for c in prompt]
        with torch.no_grad():
            want = model(torch.tensor([ids])).logits[0].numpy()
            text = model.generate(torch.tensor([ids]), max_new_tokens=18, do_sample=False, pad_token_id=0)[0].tolist()
        common = [program, "--generate", "--vocab", at("vocab.json"), "--merges", at("merges.txt"), "--device", "cpu", "--prompt", prompt]
        subprocess.run(common + ["--weights", at("model.safetensors"), "--logits", at("y.npy")], check=True)
        got = np.load(at("y.npy"))
        worst = np.abs(got - want).max() / np.abs(want).max()
        wrong += not worst < 1e-5
        print(f"transformers {transformers.__version__}, torch {torch.__version__}: logits {got.shape} differ by {worst:.1e} of the largest")
        decode = {i: c for i, c in enumerate(sorted(characters, key=ord))}
        backwards = {c: b for b, c in enumerate(byte_characters())}
        expected = bytes(backwards[decode[i]] for i in text)
        for extra in ([], ["--no-cache"]):
            out = subprocess.run(common + ["--weights", at("model.safetensors"), "--temperature", "0", "--length", "18"] + extra,
                                 check=True, stdout=subprocess.PIPE).stdout
            same = out == expected + b"\n"
            wrong += not same
            print(f"greedy text {' '.join(extra)}: {'the same' if same else 'DIFFERENT'}")
        with open(at("text"), "w", encoding="utf-8") as f:
            f.write(prompt * 100)
        subprocess.run([program, "--weights", at("model.safetensors"), "--vocab", at("vocab.json"), "--merges", at("merges.txt"),
                        "--data", at("text"), "--steps", "0", "--out", at("c.h5"), "--save-weights", at("again.safetensors"),
                        "--device", "cpu", "--length", "1"], check=True, stdout=subprocess.DEVNULL)
        a, b = safetensors.torch.load_file(at("model.safetensors")), safetensors.torch.load_file(at("again.safetensors"))
        same = {k: v for k, v in a.items() if "lm_head" not in k}
        equal = same.keys() == b.keys() and all(torch.equal(same[k], b[k]) for k in b)
        wrong += not equal
        print(f"weights written again: {len(b)} tensors, {'the same' if equal else 'DIFFERENT'}")
        wrong += adapters(model, program, common, at, ids, prompt)
    return 1 if wrong else 0


def adapters(model, program, common, at, ids, prompt):
    """PEFT's adapters in Tern, and Tern's in PEFT."""
    try:
        import peft
    except ImportError as e:
        print(f"skipped: {e}")
        return 0
    import safetensors.torch
    import torch
    wrong = 0
    lora = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=12, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True,
                                                      task_type="CAUSAL_LM")).eval()
    for name, q in lora.named_parameters():
        if "lora_B" in name:
            q.data.normal_(0, 0.05)
    lora.save_pretrained(at("theirs"))
    with torch.no_grad():
        want = lora(torch.tensor([ids])).logits[0].numpy()
    subprocess.run(common + ["--weights", at("model.safetensors"), "--adapter", at("theirs"), "--logits", at("y.npy")], check=True)
    worst = np.abs(np.load(at("y.npy")) - want).max() / np.abs(want).max()
    wrong += not worst < 1e-5
    print(f"adapter of PEFT {peft.__version__}: logits differ by {worst:.1e} of the largest")
    lora.unload()
    train = [program, "--weights", at("model.safetensors"), "--vocab", at("vocab.json"), "--merges", at("merges.txt"), "--data",
             at("text"), "--steps", "5", "--lr", "0.01", "--context", "32", "--batch", "4", "--out", at("c.h5"), "--device", "cpu",
             "--length", "1", "--lora", "2", "--save-adapter", at("ours")]
    subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(common + ["--weights", at("model.safetensors"), "--adapter", at("ours"), "--logits", at("y.npy")], check=True)
    import transformers
    base = transformers.GPT2LMHeadModel.from_pretrained(os.path.dirname(at("x"))).eval()
    with torch.no_grad():
        before = base(torch.tensor([ids])).logits[0].numpy()
        theirs = peft.PeftModel.from_pretrained(base, at("ours")).eval()
        want = theirs(torch.tensor([ids])).logits[0].numpy()
    got = np.load(at("y.npy"))
    worst = np.abs(got - want).max() / np.abs(want).max()
    moved = np.abs(got - before).max() / np.abs(want).max()
    wrong += not worst < 1e-5 or not moved > 1e-3
    print(f"adapter of Tern in PEFT: logits differ by {worst:.1e}; training has moved them by {moved:.1e}")
    # Only the adapter has changed: merged weights differ in c_attn alone.
    subprocess.run(train + ["--save-weights", at("merged.safetensors")], check=True, stdout=subprocess.DEVNULL)
    a, b = safetensors.torch.load_file(at("model.safetensors")), safetensors.torch.load_file(at("merged.safetensors"))
    changed = {k for k in b if not torch.equal(a[k], b[k])}
    right = len(changed) == 3 and all(k.endswith("attn.c_attn.weight") for k in changed)
    wrong += not right
    print(f"changed by the fine-tune: {sorted(changed)}{'' if right else ' WRONG'}")
    return wrong


def byte_characters():
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    hidden = [b for b in range(256) if b not in plain]
    return [chr(b) if b in plain else chr(256 + hidden.index(b)) for b in range(256)]


if __name__ == "__main__":
    sys.exit(main())
