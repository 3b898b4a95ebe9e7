"""The bundled ConvLSTM in PyTorch, as fast as it gets, for the benchmarks to run beside.

    torch_convlstm.py TASK DTYPE FORM FOLDER T N H W THREADS

TASK is train (forward, loss, backward, clip at 2, Adam) or infer (eval, no gradients); DTYPE fp32
or bf16. FOLDER has init.safetensors (a state_dict), x.f32 and target.f32, both (T, N, H, W). FORM
is a way to write the network (see FORMS), or auto: all are tried, the fastest serves. Prints
"ready VERSION FORM KIB", KIB the resident set before there is a network; then for each line "K" on
stdin runs K times, from the initial weights on, and prints "LOSS SECONDS" for each.
"""

import json
import os
import resource
import sys
import time
import warnings

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("absent: this Python has no torch")
    sys.exit(0)

LAYERS = (("convlstm0.0", "convlstm0.1"), ("convlstm1.0", "convlstm1.1"),
          ("convlstm2.0", "convlstm2.1"), ("final", None))
LAST = torch.channels_last
RATE, CLIP = 1e-3, 2.0
TRIED, SLOW = 2, 1.5  # runs of a form; a first one so much slower than the best is its last


def load(path):
    """A safetensors file as tensors."""
    with open(path, "rb") as f:
        header = json.loads(f.read(int.from_bytes(f.read(8), "little")))
        data = bytearray(f.read())
    out = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = entry["data_offsets"]
        values = torch.frombuffer(data[begin:end], dtype=torch.float32)
        out[name] = values.reshape(entry["shape"]).clone()
    return out


def floats(path, shape):
    """x (T, N, H, W) as (T, N, 1, H, W)."""
    with open(path, "rb") as f:
        return torch.frombuffer(bytearray(f.read()), dtype=torch.float32).view(shape).unsqueeze(2)


def pointwise(z, c):
    i, f, g, o = z.chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * F.relu(g)
    return torch.sigmoid(o) * F.relu(c), c


class Layer(torch.nn.Module):
    """Gates in one convolution, channels last. over_time: the input's convolutions of all steps at
    once; else one over input and state side by side."""

    def __init__(self, weights, name, over_time, cell):
        super().__init__()
        pack = lambda side, kind: torch.cat(
            [weights[f"{name}.conv_lstm_cell.conv_{side}{gate}.{kind}"] for gate in "ifgo"])
        param = torch.nn.Parameter
        self.wx = param(pack("i", "weight").contiguous(memory_format=LAST))
        self.wh = param(pack("h", "weight").contiguous(memory_format=LAST))
        self.bx, self.bh = param(pack("i", "bias")), param(pack("h", "bias"))
        self.over_time, self.cell = over_time, cell
        self.pad, self.hidden = self.wx.shape[-1] // 2, self.wh.shape[1]

    def forward(self, x):
        T, N, C, H, W = map(int, x.shape)
        k, hidden = self.pad, self.hidden
        h = torch.zeros(N, hidden, H, W, dtype=x.dtype).contiguous(memory_format=LAST)
        c, out = torch.zeros_like(h), []
        if self.over_time:
            flat = x.reshape(T * N, C, H, W).contiguous(memory_format=LAST)
            z = F.conv2d(flat, self.wx, self.bx, padding=k)
            for zt in z.view(T, N, 4 * hidden, H, W).unbind(0):
                h, c = self.cell(zt + F.conv2d(h, self.wh, self.bh, padding=k), c)
                out.append(h)
        else:
            w, b = torch.cat([self.wx, self.wh], 1), self.bx + self.bh
            w = w.contiguous(memory_format=LAST)
            for xt in x.unbind(0):
                xh = torch.cat([xt.to(h.dtype), h], 1).contiguous(memory_format=LAST)
                h, c = self.cell(F.conv2d(xh, w, b, padding=k), c)
                out.append(h)
        return torch.stack(out, 0)


class Network(torch.nn.Module):
    def __init__(self, weights, over_time, cell):
        super().__init__()
        self.cells = torch.nn.ModuleList(Layer(weights, n, over_time, cell) for n, _ in LAYERS)
        self.norms = torch.nn.ModuleList()
        for _, name in LAYERS[:-1]:
            norm = torch.nn.BatchNorm2d(weights[name + ".weight"].shape[0])
            norm.load_state_dict({k: weights[f"{name}.{k}"] for k in (
                "weight", "bias", "running_mean", "running_var")}, strict=False)
            self.norms.append(norm)

    def forward(self, x):
        for cell, norm in zip(self.cells, self.norms):
            x = cell(x)
            T, N, C, H, W = map(int, x.shape)
            x = norm(x.view(T * N, C, H, W)).view(T, N, C, H, W)
        return self.cells[-1](x)


FORMS = {
    "over_time": lambda w: Network(w, True, pointwise),
    "side_by_side": lambda w: Network(w, False, pointwise),
    "scripted": lambda w: Network(w, True, torch.jit.script(pointwise)),
}


class Train:
    def __init__(self, form, weights, x, target, dtype):
        self.net, self.x, self.target = FORMS[form](weights), x, target
        self.bf16 = dtype == "bf16"
        self.adam = torch.optim.Adam(self.net.parameters(), RATE)

    def step(self):
        start = time.perf_counter()
        self.adam.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=self.bf16):
            y = self.net(self.x)
        loss = F.mse_loss(y.float(), self.target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), CLIP)
        self.adam.step()
        return loss.item(), time.perf_counter() - start


class Infer:
    def __init__(self, form, weights, x, target, dtype):
        self.x, self.target = x, target
        net = FORMS[form.replace("frozen_", "")](weights).eval()
        if dtype == "bf16":
            net, self.x = net.bfloat16(), x.bfloat16()
        with torch.no_grad():
            if form.startswith("frozen_"):
                net = torch.jit.freeze(torch.jit.trace(net, self.x, check_trace=False))
                net = torch.jit.optimize_for_inference(net)
                net(self.x)
            self.net = net

    def step(self):
        start = time.perf_counter()
        with torch.no_grad():
            y = self.net(self.x)
        seconds = time.perf_counter() - start
        return F.mse_loss(y.float(), self.target).item(), seconds


def fastest(task, forms, *rest):
    best = None
    for form in forms:
        try:
            run = task(form, *rest)
            seconds = run.step()[1]
            if best is None or seconds < SLOW * best[0]:
                seconds = min(run.step()[1] for _ in range(TRIED))
        except RuntimeError as e:
            print(f"{form}: {e}", file=sys.stderr)
            continue
        if os.environ.get("WEFT_BENCH_FORMS"):
            print(f"{task.__name__} {rest[-1]} {form}: {seconds:.4f} s", file=sys.stderr)
        if best is None or seconds < best[0]:
            best = seconds, form
    return best[1]


def main():
    task, dtype, form, folder = sys.argv[1:5]
    T, N, H, W, threads = map(int, sys.argv[5:])
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    warnings.simplefilter("ignore")  # sizes become constants of a trace, as they should
    bare = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    weights = load(os.path.join(folder, "init.safetensors"))
    x = floats(os.path.join(folder, "x.f32"), (T, N, H, W))
    target = floats(os.path.join(folder, "target.f32"), (T, N, H, W))
    kind = Train if task == "train" else Infer
    forms = list(FORMS)
    if kind is Infer:
        forms += ["frozen_" + f for f in ("over_time", "side_by_side")]
    if form == "auto":
        form = fastest(kind, forms, weights, x, target, dtype)
    run = kind(form, weights, x, target, dtype)
    print("ready", torch.__version__.split("+")[0], form, bare, flush=True)
    for line in sys.stdin:
        for _ in range(int(line)):
            print("%.9g %.9g" % run.step(), flush=True)


main()
