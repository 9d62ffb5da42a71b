#!/usr/bin/env python3
"""What tern-bench times, in PyTorch: the same cases and models, eager, and the same JSON.

    benchmarks/peers/pytorch.py --tern-bench PATH [--filter TEXT,...] [--threads 2] [--device cpu] [--seconds 1] >FILE

The cases, their inputs and PyTorch's expressions come from `tern-bench list --json`; the models stand below, under the
names that tern-bench gives them. Optimizers are PyTorch's fused ones, its fastest. --serve answers open, run, memory and
close as tern-bench does, so that benchmarks/run can let both take turns; --memory NAME prints the peak of the tensors and the growth of the process
over three steps of a model, beyond what it was after one step of it at tiny sizes (tern-bench does the same)."""
import argparse
import datetime
import gc
import json
import os
import platform
import statistics
import subprocess
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

DTYPES = {"f32": torch.float32, "f64": torch.float64, "f16": torch.float16, "bf16": torch.bfloat16, "i64": torch.int64,
          "i32": torch.int32, "u8": torch.uint8, "bool": torch.bool}


# ---- models: each gives a function that makes one step ---------------------------------------------------------------

def step_of(net, optim, x, y):
    def step():
        optim.zero_grad(set_to_none=True)
        logits = net(x)
        F.cross_entropy(logits.flatten(0, -2), y).backward()
        optim.step()
    return step


def sgd(net, momentum=0.0):
    return torch.optim.SGD(net.parameters(), lr=0.01, momentum=momentum, fused=True)


def adam(net):
    return torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)


def batch(device, *shape):
    return torch.randn(*shape, device=device), torch.randint(0, 10, (shape[0],), device=device)


def mlp(sizes, n, make):
    def open_model(device, tiny):
        first = 16 if tiny else sizes[0]
        layers = []
        for i, o in zip([first, *sizes[1:]], sizes[1:]):
            layers += [nn.Linear(i, o), nn.ReLU()]
        net = nn.Sequential(*layers[:-1]).to(device)
        return step_of(net, make(net), *batch(device, n, first))
    return open_model


def mlp_epoch(device, tiny):
    """The samples in a new order, gathered batch by batch: quicker than a DataLoader over tensors."""
    samples, size = 128 if tiny else 60000, 64
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10)).to(device)
    optim = adam(net)
    x, y = batch(device, samples, 1, 28, 28)

    def epoch():
        order, total = torch.randperm(samples, device=device), torch.zeros((), device=device)
        for i in range(0, samples, size):
            at = order[i:i + size]
            optim.zero_grad(set_to_none=True)
            loss = F.cross_entropy(net(x.index_select(0, at)), y.index_select(0, at))
            loss.backward()
            optim.step()
            total += loss.detach()
        total.item()
    return epoch


def cnn(device, tiny):
    side, n = (8, 2) if tiny else (32, 64)
    net = nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1),
                        nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64 * (side // 4) ** 2, 10)).to(device)
    return step_of(net, sgd(net, 0.9), *batch(device, n, 3, side, side))


def kann(device, tiny):
    side, n = (8, 2) if tiny else (28, 64)
    net = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Dropout(0.2), nn.Flatten(), nn.Linear(32 * ((side - 4) // 2) ** 2, 128), nn.ReLU(),
                        nn.Dropout(0.2), nn.Linear(128, 10)).to(device)
    return step_of(net, adam(net), *batch(device, n, 1, side, side))


def mnist_epoch(device, tiny, wrap=lambda f: f):
    samples, size = (8, 2) if tiny else (60000, 64)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Dropout(0.3), nn.Linear(32 * 7 * 7, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 10)).to(device)
    optim = torch.optim.AdamW(net.parameters(), lr=1e-4, fused=True)
    x, y = batch(device, samples, 1, 28, 28)
    loss = wrap(lambda a, b: F.cross_entropy(net(a), b))

    def epoch():
        order = torch.randperm(samples, device=device)
        for i in range(samples // size):
            at = order[i * size:(i + 1) * size]
            optim.zero_grad(set_to_none=True)
            loss(x.index_select(0, at), y.index_select(0, at)).backward()
            optim.step()
    return epoch


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, t, w = x.shape
        q, k, v = (y.view(b, t, self.heads, w // self.heads).transpose(1, 2)
                   for y in self.c_attn(self.ln_1(x)).split(w, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, w)
        x = x + self.c_proj(y)
        return x + self.proj(F.gelu(self.fc(self.ln_2(x)), approximate="tanh"))


class GPT2(nn.Module):
    def __init__(self, vocabulary, context, layers, heads, width):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.h, self.ln_f = nn.Sequential(*[Block(width, heads) for _ in range(layers)]), nn.LayerNorm(width)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe.weight[:tokens.shape[1]]
        return F.linear(self.ln_f(self.h(x)), self.wte.weight)


def gpt2(device, tiny):
    sizes, n, t = ((50, 16, 2, 2, 8), 4, 8) if tiny else ((50257, 1024, 12, 12, 768), 4, 64)
    net = GPT2(*sizes).to(device)
    optim = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=0.01, fused=True)
    return step_of(net, optim, torch.randint(0, sizes[0], (n, t), device=device),
                   torch.randint(0, sizes[0], (n * t,), device=device))


def adamw(shapes):
    def open_model(device, tiny):
        params = []
        for s in shapes:
            s = [min(d, 16) for d in s] if tiny else s
            params.append(nn.Parameter(torch.randn(s, device=device) * 0.02))
            params[-1].grad = torch.randn(s, device=device) * 1e-3
        return torch.optim.AdamW(params, lr=1e-4, weight_decay=0.01, fused=True).step
    return open_model


W = 768
LAYER = [(W,), (W,), (3 * W, W), (3 * W,), (W, W), (W,), (W,), (W,), (4 * W, W), (4 * W,), (W, 4 * W), (W,)]
MODELS = {
    "mlp_784_128_10_b1": mlp((784, 128, 10), 1, sgd), "mlp_784_128_10_b8": mlp((784, 128, 10), 8, sgd),
    "mlp_784_128_10_b64": mlp((784, 128, 10), 64, sgd), "mlp_784_64_10_b64": mlp((784, 64, 10), 64, adam),
    "mlp_784_512_512_10_b64": mlp((784, 512, 512, 10), 64, sgd), "mlp_784_64_10_epoch": mlp_epoch,
    "cnn_32x32_b64": cnn, "kann_mnist_cnn_b64": kann, "gpt2_124m_b4_t64": gpt2, "mnist_epoch": mnist_epoch,
    "mnist_epoch_graph": mnist_epoch, "adamw_10m": adamw([(10000000,)]),
    "adamw_gpt2": adamw([(50257, W), (1024, W), *(LAYER * 12), (W,), (W,)]),
}


# ---- ops -------------------------------------------------------------------------------------------------------------

def chain(a, b):
    for _ in range(64):
        a = a * b
    return a


def first(y):
    return y[0] if isinstance(y, (tuple, list)) else y


def make(spec, device):
    shape, dtype = spec["shape"], DTYPES[spec["dtype"]]
    if spec["source"] == "none":
        return None
    if spec["source"] == "integers":
        return torch.randint(int(spec["lo"]), int(spec["hi"]) + 1, shape, device=device).to(dtype)
    if spec["source"] == "normal":
        return (torch.randn(shape, device=device) * spec["hi"]).to(dtype)
    return (torch.rand(shape, device=device) * (spec["hi"] - spec["lo"]) + spec["lo"]).to(dtype)


def op(case, device):
    inputs = [make(s, device) for s in case["inputs"]]
    code = compile(case["torch"], case["name"], "eval")
    space = {"torch": torch, "F": F, "chain": chain, **dict(zip("abcdefgh", inputs))}

    def forward():
        return first(eval(code, space))
    if case["pass"] == "forward":
        def no_grad():
            with torch.no_grad():
                eval(code, space)
        return no_grad
    wanted = {"input": [0], "weight": [1]}.get(case["pass"], range(len(inputs)))
    leaves = [inputs[i].requires_grad_(True) for i in wanted if inputs[i] is not None and case["inputs"][i]["grad"]]
    y = forward()
    if not leaves or not y.requires_grad:
        raise RuntimeError("no gradient")
    seed = torch.ones_like(y)
    if case["pass"] == "both":
        return lambda: torch.autograd.grad(forward(), leaves, seed, allow_unused=True)
    return lambda: torch.autograd.grad(y, leaves, seed, retain_graph=True)


# ---- measuring, as tern-bench's measure.c does -----------------------------------------------------------------------

class Job:
    def __init__(self, case, device, seconds):
        torch.manual_seed(1)
        tf32 = case["dtype"] == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
        self.device, self.ops, self.submit, self.calls = device, case["ops"], case["submit"], 1
        self.call = MODELS[case["torch"]](device, case["tiny"]) if case["pass"] == "step" else op(case, device)
        each = self.run()
        end = time.perf_counter() + 0.1
        for i in range(50000):
            if i >= 3 and time.perf_counter() > end or each > 1:
                break
            each = min(each, self.run())
        self.calls = min(int(seconds / (each * self.ops + 1e-9)) + 1, 500 if self.submit else 50000)

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def run(self):
        self.wait()
        start = time.perf_counter()
        for _ in range(self.calls):
            self.call()
        submitted = time.perf_counter() - start
        self.wait()
        return (submitted if self.submit else time.perf_counter() - start) / self.calls / self.ops


def measure(case, device, seconds):
    result = {k: case[k] for k in ("name", "group", "pass", "dtype", "torch", "flops", "bytes", "samples", "ops", "submit")}
    times = []
    try:
        job = Job(case, device, 2e-3)
        start = time.perf_counter()
        while len(times) < 9 or (len(times) < 400 and time.perf_counter() - start < seconds):
            times.append(job.run())
            late = times[len(times) // 2:]
            if len(times) >= 9 and abs(statistics.median(late) / statistics.median(times) - 1) < 0.01:
                break
            if len(times) >= 3 and time.perf_counter() - start > 6 * seconds:
                break
        result.update(min=min(times), median=statistics.median(times), max=max(times), calls=job.calls)
        if case["group"] == "models" and "epoch" not in case["name"]:  # of a step, that is
            result["tensors_peak"], result["resident"] = memory_of(case["torch"], device)
        result["error"] = ""
    except Exception as e:  # whatever PyTorch cannot do is its row's remark
        result["error"] = f"{type(e).__name__}: {(str(e).strip().splitlines() or [''])[0]}"
    result["rounds"] = len(times)
    return result


def status(name):
    with open("/proc/self/status", encoding="utf-8") as f:
        return next((int(line.split()[1]) * 1024 for line in f if line.startswith(name + ":")), 0)


def memory_print(name, device):
    MODELS[name](device, True)()
    gc.collect()
    before = status("VmRSS")
    step = MODELS[name](device, False)
    for _ in range(3):
        step()
    if device.type != "cpu":
        print(torch.cuda.max_memory_allocated(device), 0)
        return
    grown = status("VmHWM") - before
    step = None
    gc.collect()
    print(tensors_peak(name, device), grown)


def tensors_peak(name, device):
    """The most bytes that PyTorch's allocator had handed out at once, by its profiler."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step = MODELS[name](device, False)
        for _ in range(3):
            step()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    live = peak = 0
    for e in sorted(events, key=lambda e: e.start_ns()):
        live += e.nbytes()
        peak = max(peak, live)
    return peak


def memory_of(name, device):
    """(tensors, process) in bytes, of a process of its own; zeros where it failed."""
    out = subprocess.run([sys.executable, os.path.abspath(__file__), "--memory", name, "--device", str(device), "--threads",
                          str(torch.get_num_threads())], capture_output=True, text=True, check=False).stdout.split()
    return (int(out[-2]), int(out[-1])) if len(out) >= 2 and out[-1].isdigit() and out[-2].isdigit() else (0, 0)


# ---- the program -----------------------------------------------------------------------------------------------------

def cases_of(args):
    command = [args.tern_bench, "list", "--json", "--device", args.device]
    for option in ("filter", "dtype", "sizes"):
        if getattr(args, option):
            command += ["--" + option, getattr(args, option)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["cases"]


def serve(cases, device):
    known, job, case = {(c["name"], c["pass"], c["dtype"]): c for c in cases}, None, None
    for line in sys.stdin:
        words = line.split()
        try:
            if words and words[0] == "open":
                job, case = None, known[tuple(words[1:4])]
                gc.collect()
                job = Job(case, device, 0.02)
                print("ok", job.calls)
            elif words == ["run"]:
                print(f"ok {job.run():.9g}")
            elif words == ["memory"]:
                print("ok", *memory_of(case["torch"], device) if case["group"] == "models" else (0, 0))
            elif words == ["close"]:
                job = None
                gc.collect()
                if device.type == "cuda":
                    torch.cuda.empty_cache()
                print("ok closed")
            else:
                print("error not understood")
        except Exception as e:
            job = None
            print(f"error {type(e).__name__}: {(str(e).strip().splitlines() or [''])[0]}")
        sys.stdout.flush()


def head(args):
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        said = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in f.read().split("\n\n")[0].splitlines())}
    cpu = said.get("model name", "unknown")
    if "cpu family" in said and "model" in said:
        cpu += f" family {said['cpu family']} model {said['model']}"
    return {"tool": "pytorch.py", "library": torch.__version__, "commit": torch.version.git_version,
            "compiler": platform.python_compiler(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(),
            "processor": cpu, "system": platform.platform(), "libraries": torch.__config__.show(), "device": args.device,
            "threads": torch.get_num_threads(), "command": sys.argv}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tern-bench", default="tern-bench")
    p.add_argument("--filter", default="")
    p.add_argument("--dtype", default="")
    p.add_argument("--sizes", default="")
    p.add_argument("--device", default="cpu")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    p.add_argument("--seconds", type=float, default=1)
    p.add_argument("--serve", action="store_true")
    p.add_argument("--memory", metavar="NAME")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    device = torch.device(args.device)
    if args.memory:
        return memory_print(args.memory, device)
    if args.serve:
        return serve(cases_of(args), device)
    result = head(args)
    result["results"] = [measure(c, device, args.seconds) for c in cases_of(args)]
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    sys.exit(main())
