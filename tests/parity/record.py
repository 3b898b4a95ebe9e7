"""Records what PyTorch computes for the parity tests, in f64, into recorded.safetensors beside this
file. Run it with PyTorch 1.13 or later: python record.py. Weights and inputs are closed forms that
the tests compute too (tests/parity/parity.h), so that only results are stored. Arrays are in Weft's
layouts (channels last, filters (O, K.., I), time first); those of the small network are in
PyTorch's, under its state_dict names."""
import json
import math
import os
import struct
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)
recorded = {}


def record(name, value):
    recorded[name] = np.ascontiguousarray(
        value.detach().numpy().copy() if torch.is_tensor(value) else np.array(value, np.float64))


def closed(name, *shape):
    """0.5 sin(0.7 i + phase of the name); 1 + half of that for names that end in running_var."""
    n = math.prod(shape)
    v = 0.5 * np.sin(0.7 * np.arange(n) + sum(name.encode()) % 97)
    if name.endswith("running_var"):
        v = 1 + 0.5 * v
    return torch.tensor(v.reshape(shape))


def to_file(w):
    """(O, K.., I) -> (O, I, K..)"""
    return w.movedim(-1, 1)


# --- layers: y, and the gradients of sum(y * cotangent) -------------------------------------------


def layer(name, x_shape, params, f):
    x = closed(name + ".x", *x_shape).requires_grad_()
    p = {k: closed(name + "." + k, *s).requires_grad_() for k, s in params.items()}
    y = f(x, **p)
    (y * closed(name + ".cotangent", *y.shape)).sum().backward()
    record(name + ".y", y)
    record(name + ".dx", x.grad)
    for k, v in p.items():
        record("%s.d.%s" % (name, k), v.grad)


def conv(f, **options):
    def run(x, weight, bias=None):
        return f(to_file(x), to_file(weight), bias, **options).movedim(1, -1)
    return run


def lstm(x, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0):
    hidden = weight_hh_l0.shape[1]
    zero = torch.zeros(1, x.shape[1], hidden)
    y, _, _ = torch._VF.lstm(x, (zero, zero), [weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0],
                             True, 1, 0.0, False, False, False)
    return y


def cell(activation, gate, peephole):
    def run(x, weight_x, bias_x, weight_h, bias_h, weight_c=None):
        pad = weight_x.shape[1] // 2
        hidden = weight_h.shape[-1]
        h = c = torch.zeros(*x.shape[1:4], hidden)
        out = []
        for xt in x:
            z = F.conv2d(to_file(xt), to_file(weight_x), bias_x, padding=pad)
            z = (z + F.conv2d(to_file(h), to_file(weight_h), bias_h, padding=pad)).movedim(1, -1)
            i, f, g, o = z.chunk(4, -1)
            if peephole:
                i, f = i + weight_c[0] * c, f + weight_c[1] * c
            c = gate(f) * c + gate(i) * activation(g)
            if peephole:
                o = o + weight_c[2] * c
            h = gate(o) * activation(c)
            out.append(h)
        return torch.stack(out)
    return run


def layers():
    layer("linear", (2, 5, 3), {"weight": (4, 3), "bias": (4,)}, F.linear)
    layer("linear_plain", (3,), {"weight": (4, 3)}, F.linear)
    layer("conv1d", (2, 9, 4), {"weight": (6, 3, 2), "bias": (6,)},
          conv(F.conv1d, stride=2, padding=1, groups=2))
    layer("conv2d", (2, 6, 7, 3), {"weight": (4, 3, 1, 3), "bias": (4,)},
          conv(F.conv2d, padding=(2, 0), dilation=2))
    layer("conv3d", (1, 4, 5, 3, 2), {"weight": (3, 3, 3, 3, 2)}, conv(F.conv3d, padding=1))
    layer("lstm", (5, 2, 3), {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "bias_ih_l0": (16,),
                              "bias_hh_l0": (16,)}, lstm)
    sizes = {"weight_x": (12, 3, 3, 2), "bias_x": (12,), "weight_h": (12, 3, 3, 3), "bias_h": (12,)}
    layer("convlstm", (3, 2, 4, 5, 2), sizes, cell(F.relu, torch.sigmoid, False))
    layer("convlstm_peephole", (3, 2, 4, 5, 2), dict(sizes, weight_c=(3, 4, 5, 3)),
          cell(torch.tanh, torch.sigmoid, True))
    layer("layer_norm", (2, 3, 8), {"weight": (8,), "bias": (8,)},
          lambda x, weight, bias: F.layer_norm(x, (8,), weight, bias))
    layer("layer_norm_2", (2, 3, 8), {"weight": (3, 8), "bias": (3, 8)},
          lambda x, weight, bias: F.layer_norm(x, (3, 8), weight, bias, eps=1e-3))
    batch_norm("batch_norm", 0.1)
    batch_norm("batch_norm_cumulative", None)


# --- recurrent layers, attention, the other norms -------------------------------------------------


def bind(module, p):
    """module with the tensors p, by name, as its parameters"""
    for name, v in p.items():
        path, _, last = name.rpartition(".")
        owner = module.get_submodule(path)
        owner._parameters.pop(last, None)
        setattr(owner, last, v)
    return module


def sizes_of(module):
    return {k: tuple(v.shape) for k, v in module.named_parameters()}


def module_layer(name, x_shape, module):
    layer(name, x_shape, sizes_of(module), lambda x, **p: bind(module, p)(x)[0])


def packed(module, lengths):
    def run(x, **p):
        x = nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths))
        return nn.utils.rnn.pad_packed_sequence(bind(module, p)(x)[0])[0]
    return run


def lstm_variant(gates, activation=torch.tanh):
    """Peepholes where weight_c is given; no forget gate with three gates."""
    def run(x, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_c_l0=None):
        h = c = torch.zeros(x.shape[1], weight_hh_l0.shape[1])
        pi, pf, po = weight_c_l0 if weight_c_l0 is not None else (0, 0, 0)
        out = []
        for xt in x:
            z = (xt @ weight_ih_l0.T + bias_ih_l0 + h @ weight_hh_l0.T + bias_hh_l0).chunk(gates, 1)
            keep = torch.sigmoid(z[1] + pf * c) if gates == 4 else 1
            c = keep * c + torch.sigmoid(z[0] + pi * c) * activation(z[-2])
            h = torch.sigmoid(z[-1] + po * c) * activation(c)
            out.append(h)
        return torch.stack(out)
    return run


def convgru(x, weight_x, bias_x, weight_h, bias_h):
    pad, hidden = weight_x.shape[1] // 2, weight_h.shape[-1]
    h = torch.zeros(*x.shape[1:4], hidden)
    out = []
    for xt in x:
        zx = F.conv2d(to_file(xt), to_file(weight_x), bias_x, padding=pad).movedim(1, -1)
        wh, bh = weight_h[:2 * hidden], bias_h[:2 * hidden]
        zh = F.conv2d(to_file(h), to_file(wh), bh, padding=pad).movedim(1, -1)
        r, z = torch.sigmoid(zx[..., :2 * hidden] + zh).chunk(2, -1)
        n = F.conv2d(to_file(r * h), to_file(weight_h[2 * hidden:]), bias_h[2 * hidden:],
                     padding=pad).movedim(1, -1)
        n = torch.tanh(zx[..., 2 * hidden:] + n)
        h = (1 - z) * n + z * h
        out.append(h)
    return torch.stack(out)


def recurrent():
    x = (5, 2, 3)
    module_layer("rnn", x, nn.RNN(3, 4))
    module_layer("rnn_relu", x, nn.RNN(3, 4, nonlinearity="relu", bias=False))
    module_layer("gru", x, nn.GRU(3, 4))
    module_layer("gru_plain", x, nn.GRU(3, 4, bias=False))
    module_layer("gru_deep", x, nn.GRU(3, 2, 2, bidirectional=True))
    module_layer("lstm_projected", x, nn.LSTM(3, 4, 2, proj_size=2))
    module_layer("lstm_deep", x, nn.LSTM(3, 2, 2, bidirectional=True))
    masked = nn.LSTM(3, 2, 2, bidirectional=True)
    layer("lstm_masked", x, sizes_of(masked), packed(masked, [5, 3]))
    one = {"weight_ih_l0": (16, 3), "weight_hh_l0": (16, 4), "bias_ih_l0": (16,),
           "bias_hh_l0": (16,)}
    layer("lstm_peephole", x, dict(one, weight_c_l0=(3, 4)), lstm_variant(4))
    layer("lstm_1997", x, {k: (12,) + v[1:] for k, v in one.items()},
          lstm_variant(3, lambda v: 2 * torch.sigmoid(v) - 1))
    sizes = {"weight_x": (9, 3, 3, 2), "bias_x": (9,), "weight_h": (9, 3, 3, 3), "bias_h": (9,)}
    layer("convgru", (3, 2, 4, 5, 2), sizes, convgru)
    sizes = {"weight_x": (8, 3, 3, 2), "bias_x": (8,), "weight_h": (8, 3, 3, 2), "bias_h": (8,)}
    step = cell(torch.tanh, torch.sigmoid, False)

    def both(x, **p):
        there, back = ({k[len(d):]: v for k, v in p.items() if k.startswith(d)}
                       for d in ("l0.", "l0_reverse."))
        return torch.cat((step(x, **there), step(x.flip(0), **back).flip(0)), -1)
    layer("convlstm_both", (3, 1, 4, 3, 2), {d + k: v for d in ("l0.", "l0_reverse.")
                                             for k, v in sizes.items()}, both)


def others():
    hidden = torch.ones(4, 4).triu(1).bool()
    sizes = sizes_of(nn.MultiheadAttention(6, 2))
    layer("attention", (4, 2, 6), sizes, lambda x, **p: bind(
        nn.MultiheadAttention(6, 2), p)(x, x, x, attn_mask=hidden)[0])
    padding = torch.arange(4) >= torch.tensor([[4], [3]])
    layer("attention_masked", (4, 2, 6), sizes, lambda x, **p: bind(
        nn.MultiheadAttention(6, 2), p)(x, x, x, key_padding_mask=padding)[0])
    crossed = nn.MultiheadAttention(6, 3, kdim=4, vdim=4)
    memory = closed("attention_memory.memory", 5, 2, 4)
    layer("attention_memory", (3, 2, 6), sizes_of(crossed),
          lambda x, **p: bind(crossed, p)(x, memory, memory)[0])

    def first(f, **options):
        return lambda x, **p: f(to_file(x), **p, **options).movedim(1, -1)
    affine = {"weight": (6,), "bias": (6,)}
    layer("group_norm", (2, 3, 2, 6), affine, first(F.group_norm, num_groups=3))
    layer("instance_norm", (2, 3, 2, 6), affine, first(F.instance_norm))
    layer("instance_norm_plain", (2, 5, 3), {}, first(F.instance_norm))
    layer("rms_norm", (2, 3, 6), {"weight": (6,)}, lambda x, weight:
          x / torch.sqrt((x * x).mean(-1, keepdim=True) + 1e-3) * weight)

    def transpose(f, **options):
        return lambda x, weight, bias=None: f(to_file(x), to_file(weight), bias,
                                              **options).movedim(1, -1)
    layer("conv_transpose1d", (2, 5, 4), {"weight": (4, 3, 3), "bias": (6,)},
          transpose(F.conv_transpose1d, stride=2, groups=2, padding=1, output_padding=1))
    layer("conv_transpose2d", (2, 3, 4, 3), {"weight": (3, 3, 2, 4), "bias": (4,)},
          transpose(F.conv_transpose2d, stride=2))
    layer("conv_transpose3d", (1, 2, 3, 2, 2), {"weight": (2, 2, 2, 2, 3)},
          transpose(F.conv_transpose3d, dilation=2))
    layer("max_pool", (2, 5, 6, 3), {}, first(F.max_pool2d, kernel_size=3, stride=2, padding=1))
    layer("avg_pool", (2, 5, 6, 3), {}, first(F.avg_pool2d, kernel_size=3, stride=2, padding=1))
    layer("global_avg_pool", (2, 3, 4, 5), {}, lambda x: x.mean((1, 2)))


def batch_norm(name, momentum):
    mean, var = closed(name + ".running_mean", 4), closed(name + ".running_var", 4)
    module = nn.BatchNorm3d(4, momentum=momentum)
    module.running_mean.copy_(mean)
    module.running_var.copy_(var)
    module.num_batches_tracked.fill_(2)

    def run(x, weight, bias):
        module.num_batches_tracked += 1
        rate = momentum if momentum is not None else 1 / float(module.num_batches_tracked)
        return F.batch_norm(x.movedim(-1, 1), module.running_mean, module.running_var, weight, bias,
                            True, rate).movedim(1, -1)
    layer(name, (3, 2, 5, 4), {"weight": (4,), "bias": (4,)}, run)
    record(name + ".after.running_mean", module.running_mean)
    record(name + ".after.running_var", module.running_var)
    layer(name + "_eval", (3, 2, 5, 4), {"weight": (4,), "bias": (4,)},
          lambda x, weight, bias: F.batch_norm(
              x.movedim(-1, 1), closed(name + "_eval.running_mean", 4),
              closed(name + "_eval.running_var", 4), weight, bias).movedim(1, -1))


# --- losses ---------------------------------------------------------------------------------------


def losses():
    def loss(name, f, y_of=lambda y: y, t_of=lambda t: t):
        y = closed(name + ".y", 3, 4).requires_grad_()
        v = f(y_of(y), t_of(closed(name + ".target", 3, 4)))
        v.backward()
        record(name, v)
        record(name + ".dy", y.grad)
    unit = lambda v: v + 0.5
    inner = lambda v: 0.9 * v + 0.5
    loss("mse", F.mse_loss)
    loss("l1", F.l1_loss)
    loss("huber", lambda y, t: F.huber_loss(y, t, delta=0.3))
    loss("bce", F.binary_cross_entropy, inner, unit)
    loss("bce_with_logits", lambda y, t: F.binary_cross_entropy_with_logits(30 * y, t), t_of=unit)
    label = torch.tensor([2, 0, 3])
    loss("cross_entropy", lambda y, t: F.cross_entropy(30 * y, label))
    loss("cross_entropy_smooth", lambda y, t: F.cross_entropy(3 * y, label, label_smoothing=0.1))
    loss("cross_entropy_ignore", lambda y, t: F.cross_entropy(3 * y, label, ignore_index=0,
                                                              label_smoothing=0.1))
    loss("nll", lambda y, t: F.nll_loss(y, label))
    loss("kl", lambda y, t: F.kl_div(y, t, reduction="batchmean"), t_of=lambda t: t.clamp(min=0))
    loss("smooth_l1", lambda y, t: F.smooth_l1_loss(y, t, beta=0.3))
    y = closed("ssim_loss.y", 2, 12, 13, 2).requires_grad_()
    v = ssim_value(*((v + 0.5).movedim(-1, 1) for v in (y, closed("ssim_loss.target", *y.shape))))
    v.backward()
    record("ssim_loss", v)
    record("ssim_loss.dy", y.grad)


# --- optimisers: three steps on mean(a^2 s) + mean(sin(b)) ----------------------------------------


def optimizer(name, make, clip_norm=0, clip_value=0):
    a = closed(name + ".a", 3, 4).requires_grad_()
    b = closed(name + ".b", 5).requires_grad_()
    scale = closed(name + ".scale", 3, 4)
    o = make([a, b])
    norms = []
    for _ in range(3):
        o.zero_grad()
        ((a * a * scale).mean() + torch.sin(b).mean()).backward()
        norms.append(math.sqrt(sum(float((w.grad ** 2).sum()) for w in (a, b))))
        if clip_value:
            nn.utils.clip_grad_value_([a, b], clip_value)
        if clip_norm:
            nn.utils.clip_grad_norm_([a, b], clip_norm)
        o.step()
    record(name + ".norm", norms)
    record(name + ".after.a", a)
    record(name + ".after.b", b)


def optimizers():
    t = torch.optim
    optimizer("sgd", lambda w: t.SGD(w, 0.1))
    optimizer("sgd_momentum", lambda w: t.SGD(w, 0.1, momentum=0.9, weight_decay=0.01))
    optimizer("sgd_nesterov", lambda w: t.SGD(w, 0.1, momentum=0.9, nesterov=True), 0, 0.1)
    optimizer("adam", lambda w: t.Adam(w, 0.01))
    optimizer("adam_clip", lambda w: t.Adam(w, 0.01, (0.8, 0.99), 1e-3, 0.02), 0.2, 0.1)
    optimizer("adamw", lambda w: t.AdamW(w, 0.01, weight_decay=0.1))
    optimizer("rmsprop", lambda w: t.RMSprop(w, 0.01))
    optimizer("rmsprop_centered", lambda w: t.RMSprop(w, 0.01, 0.9, 1e-5, 0.01, 0.5, True))


class Lion(torch.optim.Optimizer):
    """Chen et al., arXiv:2302.06675, algorithm 2"""

    def __init__(self, w, lr, b1, b2, decay):
        super().__init__(w, dict(lr=lr))
        self.b1, self.b2, self.decay = b1, b2, decay
        self.m = {}

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for w in g["params"]:
                m = self.m.get(w, torch.zeros_like(w))
                direction = torch.sign(self.b1 * m + (1 - self.b1) * w.grad) + self.decay * w
                w -= g["lr"] * direction
                self.m[w] = self.b2 * m + (1 - self.b2) * w.grad


def more_optimizers():
    t = torch.optim
    optimizer("adagrad", lambda w: t.Adagrad(w, 0.1))
    optimizer("adagrad_decay", lambda w: t.Adagrad(w, 0.1, weight_decay=0.02, eps=1e-3))
    optimizer("lion", lambda w: Lion(w, 0.01, 0.9, 0.99, 0.1))
    optimizer("groups", lambda w: t.AdamW([dict(params=w[:1], lr=0.005, weight_decay=0.3),
                                           dict(params=w[1:], weight_decay=0)], 0.01))
    a, b = closed("frozen.a", 3, 4), closed("frozen.b", 5).requires_grad_()
    o = t.SGD([b], 0.1)
    for _ in range(3):
        o.zero_grad()
        torch.sin(b).mean().backward()
        o.step()
    record("frozen.after.a", a)
    record("frozen.after.b", b)


# --- schedules ------------------------------------------------------------------------------------


def schedules():
    def rates(make, n, metric=None):
        o = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.1)
        s = make(o)
        out = []
        for k in range(n):
            out.append(o.param_groups[0]["lr"])
            o.step()
            s.step(metric[k]) if metric else s.step()
        return out
    from torch.optim import lr_scheduler as m
    record("schedule.step", rates(lambda o: m.StepLR(o, 3, 0.5), 10))
    record("schedule.cosine", rates(lambda o: m.CosineAnnealingLR(o, 10, 0.001), 11))
    record("schedule.linear", rates(lambda o: m.LinearLR(o, 1.0, 0.1, 8), 10))
    record("schedule.one_cycle", rates(lambda o: m.OneCycleLR(o, 0.1, 20), 20))
    record("schedule.one_cycle_steep", rates(lambda o: m.OneCycleLR(
        o, 0.1, 15, pct_start=0.5, div_factor=10, final_div_factor=100), 15))
    metric = [1.0, 0.9, 0.95, 0.89995, 0.91, 0.8, 0.81, 0.82, 0.83, 0.84, 0.85, 0.86, 0.7, 0.71]
    record("schedule.metric", metric)
    record("schedule.plateau", rates(
        lambda o: m.ReduceLROnPlateau(o, factor=0.5, patience=1, min_lr=0.02), len(metric), metric))


# --- a small network of the notebook's kind, three training steps ---------------------------------


class Cell(nn.Module):
    def __init__(self, channels, hidden, kernel):
        super().__init__()
        for gate in "ifgo":
            for source, n in (("i", channels), ("h", hidden)):
                setattr(self, "conv_%s%s" % (source, gate),
                        nn.Conv2d(n, hidden, kernel, padding=kernel // 2))
        self.hidden = hidden

    def forward(self, x):
        """x (N, C, T, H, W)"""
        h = c = torch.zeros(x.shape[0], self.hidden, *x.shape[3:])
        out = []
        for t in range(x.shape[2]):
            xt = x[:, :, t]
            i = torch.sigmoid(self.conv_ii(xt) + self.conv_hi(h))
            f = torch.sigmoid(self.conv_if(xt) + self.conv_hf(h))
            g = F.relu(self.conv_ig(xt) + self.conv_hg(h))
            o = torch.sigmoid(self.conv_io(xt) + self.conv_ho(h))
            c = f * c + i * g
            h = o * F.relu(c)
            out.append(h)
        return torch.stack(out, 2)


class Layer(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        self.conv_lstm_cell = Cell(*sizes)

    def forward(self, x):
        return self.conv_lstm_cell(x)


class Network(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.convlstm0 = nn.Sequential(Layer(1, hidden, 5), nn.BatchNorm3d(hidden))
        self.convlstm1 = nn.Sequential(Layer(hidden, hidden, 3), nn.BatchNorm3d(hidden))
        self.final = Layer(hidden, 1, 1)

    def forward(self, x):
        return self.final(self.convlstm1(self.convlstm0(x)))


def network():
    frames, batch, size = 7, 2, 12
    t, n, y, x = np.meshgrid(*map(np.arange, (frames, batch, size, size)), indexing="ij")
    video = 0.5 + 0.5 * np.sin(0.9 * x + 0.5 * y - 0.8 * t + 1.3 * n)
    video = torch.tensor(video).permute(1, 0, 2, 3)[:, None]
    x, target = video[:, :, :-1], video[:, :, 1:]
    net = Network(4)
    with torch.no_grad():
        for name, w in net.state_dict().items():
            if w.is_floating_point():
                w.copy_(closed(name, *w.shape))
    adam = torch.optim.Adam(net.parameters(), 0.001)
    out = {"loss": [], "norm": [], "mae": []}
    for step in range(3):
        y = net(x)
        loss = F.mse_loss(y, target)
        adam.zero_grad()
        loss.backward()
        if step == 0:
            for name, w in net.named_parameters():
                record("network.grad." + name, w.grad)
        out["loss"].append(loss.item())
        out["mae"].append((y - target).abs().mean().item())
        out["norm"].append(nn.utils.clip_grad_norm_(net.parameters(), 0.05).item())
        adam.step()
    for k, v in out.items():
        record("network." + k, v)
    for name, w in net.state_dict().items():
        record("network.after." + name, w.double())
    net.eval()
    y = net(x)
    record("network.eval.y", y.permute(2, 0, 3, 4, 1))
    record("network.eval", [F.mse_loss(y, target).item(), (y - target).abs().mean().item(),
                            -10 * math.log10(F.mse_loss(y.clamp(0, 1), target).item()),
                            ssim(y, target), ssim(y.clamp(0, 1), target)])


def metrics():
    """Images that leave [0, 1], of a size that needs several tiles."""
    y, t = 3 * closed("metrics.y", 2, 1, 20, 40) + 0.5, closed("metrics.target", 2, 1, 20, 40) + 0.5
    record("metrics", [F.mse_loss(y, t).item(), (y - t).abs().mean().item(),
                       -10 * math.log10(F.mse_loss(y.clamp(0, 1), t).item()),
                       ssim(y, t), ssim(y.clamp(0, 1), t)])


def ssim(y, target):
    return ssim_value(y, target).item()


def ssim_value(y, target):
    """Mean over the windows wholly inside, 11 taps, sigma 1.5, as torchmetrics 1.3.0."""
    tap = torch.exp(-torch.arange(-5.0, 6.0) ** 2 / (2 * 1.5 ** 2))
    tap = tap / tap.sum()
    window = (tap[:, None] * tap)[None, None]
    a, b = (v.reshape(-1, 1, *v.shape[-2:]) for v in (y, target))
    m1, m2, e11, e22, e12 = (F.conv2d(v, window) for v in (a, b, a * a, b * b, a * b))
    s11, s22, s12 = e11 - m1 ** 2, e22 - m2 ** 2, e12 - m1 * m2
    return (((2 * m1 * m2 + 1e-4) * (2 * s12 + 9e-4)) /
            ((m1 ** 2 + m2 ** 2 + 1e-4) * (s11 + s22 + 9e-4))).mean()


def write(path):
    header, offset = {}, 0
    for name, v in recorded.items():
        header[name] = {"dtype": "F64", "shape": list(v.shape),
                        "data_offsets": [offset, offset + v.nbytes]}
        offset += v.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for v in recorded.values():
            f.write(v.astype("<f8").tobytes())


if __name__ == "__main__":
    for part in (layers, recurrent, others, losses, optimizers, more_optimizers, schedules, metrics,
                 network):
        part()
    write(os.path.join(os.path.dirname(os.path.abspath(__file__)), "recorded.safetensors"))
    print(len(recorded), "arrays; losses of the network", recorded["network.loss"])
