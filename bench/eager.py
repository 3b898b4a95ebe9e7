"""mnist_cnn and char_gpt in PyTorch's eager mode beside the same steps in Weft.

    python3 bench/eager.py build/bench_eager

Both start from the same weights and inputs; losses of the first steps must agree. Then the two
take turns, a few steps each, so that both see the same machine; the ratio is that of the medians.
Eager mode is given its best: one product for q, k and v, scaled_dot_product_attention where it
exists, the faster of both memory layouts and of both kinds of optimiser loop, flushed denormals,
gradients set to None.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("bench-eager: skipped, this Python has no torch (PYTHON=... names another)")
    sys.exit(0)

CHECKED, ROUNDS, STEPS, RATE = 5, 6, 5, 1e-3
SETTLE_S = 0.3
ROWS = []


def load(path):
    """A safetensors file as tensors."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = bytearray(f.read())
    out = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(data[begin:end], dtype=torch.float32)
        out[name] = values.reshape(entry["shape"]).clone().requires_grad_()
    return out


def at(n, a=1, b=0):
    i = torch.arange(n, dtype=torch.int64) * a + b
    return (i * 7919 % 1009).double() / 1009


class MnistCnn:
    layouts = (torch.contiguous_format, torch.channels_last)

    def __init__(self, weights, layout):
        self.w = weights
        for name in ("conv1.weight", "conv2.weight"):
            w = weights[name].detach().to(memory_format=layout)
            self.w[name] = w.clone(memory_format=torch.preserve_format).requires_grad_()
        self.x = at(100 * 784).float().reshape(100, 1, 28, 28).contiguous(memory_format=layout)
        self.y = (10 * at(100, 3, 1)).long()

    def loss(self):
        w = self.w
        h = F.max_pool2d(F.relu(F.conv2d(self.x, w["conv1.weight"], w["conv1.bias"])), 2)
        h = F.max_pool2d(F.relu(F.conv2d(h, w["conv2.weight"], w["conv2.bias"])), 2)
        h = h.permute(0, 2, 3, 1).flatten(1)
        h = F.relu(F.linear(h, w["fc1.weight"], w["fc1.bias"]))
        return F.cross_entropy(F.linear(h, w["fc2.weight"], w["fc2.bias"]), self.y)

    def optimizer(self, foreach):
        return torch.optim.Adam(self.w.values(), RATE, foreach=foreach)

    def clip(self):
        pass


class CharGpt:
    layouts = (None,)
    T, N, C, HEADS, LAYERS = 128, 16, 128, 4, 4

    def __init__(self, weights, layout):
        self.w = weights
        self.x = (54 * at(self.T * self.N)).long().reshape(self.T, self.N).t().contiguous()
        self.y = (54 * at(self.T * self.N, 3, 1)).long().reshape(self.T, self.N).t().contiguous()
        self.hidden = torch.ones(self.T, self.T, dtype=torch.bool).triu(1)

    def attention(self, h, name):
        w, heads = self.w, (self.N, self.T, self.HEADS, self.C // self.HEADS)
        qkv = F.linear(h, w[name + "in_proj_weight"], w[name + "in_proj_bias"])
        q, k, v = (t.view(heads).transpose(1, 2) for t in qkv.chunk(3, -1))
        if hasattr(F, "scaled_dot_product_attention"):
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            score = (q / math.sqrt(heads[-1])) @ k.transpose(2, 3)
            y = F.softmax(score.masked_fill(self.hidden, -math.inf), -1) @ v
        y = y.transpose(1, 2).reshape(self.N, self.T, self.C)
        return F.linear(y, w[name + "out_proj.weight"], w[name + "out_proj.bias"])

    def norm(self, h, name):
        return F.layer_norm(h, (self.C,), self.w[name + ".weight"], self.w[name + ".bias"])

    def loss(self):
        w = self.w
        h = F.embedding(self.x, w["character.weight"]) + w["position.weight"]
        for i in range(self.LAYERS):
            b = f"block{i}."
            h = h + self.attention(self.norm(h, b + "norm1"), b + "attention.")
            u = F.gelu(F.linear(self.norm(h, b + "norm2"), w[b + "up.weight"], w[b + "up.bias"]))
            h = h + F.linear(u, w[b + "down.weight"], w[b + "down.bias"])
        y = F.linear(self.norm(h, "norm"), w["head.weight"])
        return F.cross_entropy(y.flatten(0, 1), self.y.flatten())

    def optimizer(self, foreach):
        plain = [v for k, v in self.w.items() if k.endswith("bias") or "norm" in k]
        matrices = [v for k, v in self.w.items() if not (k.endswith("bias") or "norm" in k)]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0}]
        return torch.optim.AdamW(groups, RATE, betas=(0.9, 0.99), foreach=foreach)

    def clip(self):
        torch.nn.utils.clip_grad_norm_(self.w.values(), 1.0)


class Eager:
    def __init__(self, kind, path, layout, foreach):
        self.model = kind(load(path), layout)
        self.optimizer = self.model.optimizer(foreach)

    def steps(self, n):
        out = []
        for _ in range(n):
            start = time.perf_counter()
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.model.loss()
            loss.backward()
            self.model.clip()
            self.optimizer.step()
            out.append((loss.item(), time.perf_counter() - start))
        return out


class Ours:
    def __init__(self, binary, name, path):
        self.child = subprocess.Popen([binary, name, path], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        if self.child.stdout.readline().strip() != "ready":
            sys.exit(f"bench-eager: {binary} {name} failed")

    def steps(self, n):
        self.child.stdin.write(f"{n}\n")
        self.child.stdin.flush()
        return [tuple(map(float, self.child.stdout.readline().split())) for _ in range(n)]

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def settled(side):
    """Seconds of STEPS steps, after as many as it takes for the other side's threads to give up
    waiting for work, which they do on the same cores."""
    start = time.perf_counter()
    while time.perf_counter() - start < SETTLE_S:
        side.steps(STEPS)
    return [t for _, t in side.steps(STEPS)]


def compare(binary, name, kind, folder):
    path = os.path.join(folder, name + ".safetensors")
    ours = Ours(binary, name, path)
    runs = [Eager(kind, path, layout, foreach) for layout in kind.layouts
            for foreach in (False, True)]
    want = [loss for loss, _ in ours.steps(CHECKED)]
    worst = 0.0
    for run in runs:
        have = [loss for loss, _ in run.steps(CHECKED)]
        worst = max([worst] + [abs(a - b) / abs(b) for a, b in zip(have, want)])
    if not worst < 1e-3:
        print(f"{name}: losses differ by {worst:.1e}: WRONG")
        ours.close()
        return False
    best = min(runs, key=lambda r: statistics.median(t for _, t in r.steps(2 * STEPS)))
    a, b = [], []
    for _ in range(ROUNDS):
        a += settled(ours)
        b += settled(best)
    ours.close()
    x, y = statistics.median(a), statistics.median(b)
    print(f"{name:10}  ours {1e3 * x:8.3f} ms (least {1e3 * min(a):.3f})   eager {1e3 * y:8.3f} ms "
          f"(least {1e3 * min(b):.3f})   ratio {y / x:.2f} (least {min(b) / min(a):.2f})   "
          f"losses within {worst:.0e}  [ok]", flush=True)
    ROWS.append({"question": "training step", "shape": name, "mode": "f32", "unit": "step/s",
                 "threads": torch.get_num_threads(), "seconds": min(a), "median": x,
                 "rate": 1 / min(a), "error": worst, "ok": True,
                 "peer": f"PyTorch {torch.__version__} eager", "peer_seconds": min(b),
                 "peer_median": y, "peer_rate": 1 / min(b), "ratio": y / x})
    return True


def write_rows():
    """To WF_BENCH_JSON/eager.json, with the keys that bench/report.c writes."""
    folder = os.environ.get("WF_BENCH_JSON")
    if folder:
        with open(os.path.join(folder, "eager.json"), "w") as f:
            rows = ",\n  ".join(json.dumps(row) for row in ROWS)
            f.write(f'{{"bench": "eager", "rows": [\n  {rows}\n]}}\n')


def main():
    binary = sys.argv[1]
    threads = int(os.environ.get("OMP_NUM_THREADS", 0)) or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    print(f"torch {torch.__version__}, {threads} threads")
    with tempfile.TemporaryDirectory() as folder:
        ok = [compare(binary, "mnist_cnn", MnistCnn, folder),
              compare(binary, "char_gpt", CharGpt, folder)]
    write_rows()
    sys.exit(0 if all(ok) else 1)


main()
