"""What torch gives for layers, losses, optimisers and schedules, as .npz files for torch_test to compare with.

usage: torch_cases.py FOLDER

A case holds inputs "in.N", tensors of the layer "param.NAME", the result "out", a cotangent "ct" and the gradients of
sum(out * ct): "grad.in.N", "grad.param.NAME"; "after.NAME" are the layer's tensors after the call.
"""
import os
import sys

import numpy as np
import torch
from torch import nn

OUT = sys.argv[1]
torch.manual_seed(0)
torch.set_num_threads(1)


def save(name, arrays):
    np.savez(os.path.join(OUT, name + ".npz"), **{k: np.array(v, order="C") for k, v in arrays.items()})


def array(t):
    return t.detach().numpy().copy()


def layer_case(name, layer, inputs, call=None):
    call = call or (lambda m, x: m(*x))
    for dtype in (torch.float32, torch.float64):
        m = layer.to(dtype)
        x = [t.to(dtype) if t.is_floating_point() else t for t in inputs]
        x = [t.clone().requires_grad_() if t.is_floating_point() else t for t in x]
        arrays = {f"param.{k}": array(v) for k, v in m.state_dict().items()}
        out = call(m, x)
        ct = torch.randn_like(out)
        m.zero_grad()
        (out * ct).sum().backward()
        arrays |= {f"in.{i}": array(t) for i, t in enumerate(x)} | {"out": array(out), "ct": array(ct)}
        arrays |= {f"grad.in.{i}": array(t.grad) for i, t in enumerate(x) if t.grad is not None}
        arrays |= {f"grad.param.{k}": array(p.grad) for k, p in m.named_parameters()}
        arrays |= {f"after.{k}": array(v) for k, v in m.state_dict().items()}
        save(f"{name}.{'f32' if dtype == torch.float32 else 'f64'}", arrays)


class Function(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, *x):
        return self.f(*x)


def layers():
    x = torch.randn(4, 6, 9, 8)
    layer_case("linear", nn.Linear(7, 5), [torch.randn(3, 4, 7)])
    layer_case("linear_no_bias", nn.Linear(7, 5, bias=False), [torch.randn(3, 7)])
    layer_case("conv2d", nn.Conv2d(6, 8, 3, padding=1), [x])
    layer_case("conv2d_options", nn.Conv2d(6, 8, 3, stride=2, padding=2, dilation=2, groups=2, bias=False), [x])
    norm = nn.BatchNorm2d(6)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(6) + 0.5), norm.bias.copy_(torch.randn(6))
        norm.running_mean.copy_(torch.randn(6)), norm.running_var.copy_(torch.rand(6) + 0.5)
    layer_case("batch_norm2d_eval", norm.eval(), [x])
    layer_case("batch_norm2d_train", norm.train(), [x])
    norm = nn.LayerNorm(10)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(10) + 0.5), norm.bias.copy_(torch.randn(10))
    layer_case("layer_norm", norm, [torch.randn(3, 4, 10)])
    layer_case("embedding", nn.Embedding(11, 5), [torch.randint(0, 11, (3, 4))])
    layer_case("max_pool2d", nn.MaxPool2d(2), [torch.randn(2, 3, 8, 6)])
    layer_case("max_pool2d_options", nn.MaxPool2d(3, stride=2, padding=1), [x])
    layer_case("avg_pool2d", nn.AvgPool2d(2), [torch.randn(2, 3, 8, 6)])
    layer_case("avg_pool2d_options", nn.AvgPool2d(3, stride=2, padding=1), [x])
    for name, f in {"relu": nn.ReLU(), "gelu": nn.GELU(), "silu": nn.SiLU(), "tanh": nn.Tanh(), "sigmoid": nn.Sigmoid()}.items():
        layer_case(name, f, [3 * torch.randn(5, 33)])
    layer_case("flatten", nn.Flatten(), [torch.randn(2, 3, 4)])
    layer_case("sequential", nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 4), nn.Tanh()), [torch.randn(5, 6)])


def transformers():
    a, b = torch.randn(2, 7, 12), torch.randn(2, 5, 12)
    attention = nn.MultiheadAttention(12, 3, batch_first=True)
    with torch.no_grad():
        attention.in_proj_bias.normal_(), attention.out_proj.bias.normal_()
    mask = nn.Transformer.generate_square_subsequent_mask(7)
    layer_case("attention", attention, [a], lambda m, x: m(x[0], x[0], x[0], need_weights=False)[0])
    layer_case("attention_causal", attention, [a], lambda m, x: m(x[0], x[0], x[0], need_weights=False, attn_mask=mask.to(x[0].dtype))[0])
    layer_case("attention_cross", attention, [a, b, b + 1], lambda m, x: m(*x, need_weights=False)[0])
    for name, options in {"post_relu": {}, "pre_gelu": {"norm_first": True, "activation": "gelu"}}.items():
        layer_case("encoder_" + name, nn.TransformerEncoderLayer(12, 3, 20, dropout=0, batch_first=True, **options), [a])


def losses():
    logits, labels = torch.randn(9, 5), torch.randint(0, 5, (9,))
    layer_case("cross_entropy", Function(nn.functional.cross_entropy), [logits, labels])
    layer_case("mse", Function(nn.functional.mse_loss), [torch.randn(4, 3), torch.randn(4, 3)])
    layer_case("l1", Function(nn.functional.l1_loss), [torch.randn(4, 3), torch.randn(4, 3)])
    layer_case("bce_with_logits", Function(nn.functional.binary_cross_entropy_with_logits), [9 * torch.randn(4, 3), torch.rand(4, 3)])


def optimisers():
    """100 steps on a small network, in f64, by numbers that f32 rounds."""
    rate = 0.015
    o = torch.optim
    makers = {
        "sgd": lambda p: o.SGD(p, lr=rate),
        "sgd_decay": lambda p: o.SGD(p, lr=rate, weight_decay=0.1),
        "sgd_momentum": lambda p: o.SGD(p, lr=rate, momentum=0.9, dampening=0.1),
        "sgd_nesterov": lambda p: o.SGD(p, lr=rate, momentum=0.9, nesterov=True, weight_decay=0.01),
        "adam": lambda p: o.Adam(p, lr=rate),
        "adam_decay": lambda p: o.Adam(p, lr=rate, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1),
        "adamw": lambda p: o.AdamW(p, lr=rate),
        "sgd_clip_norm": lambda p: o.SGD(p, lr=rate),
        "sgd_clip_value": lambda p: o.SGD(p, lr=rate),
    }
    x, y = torch.randn(16, 6, dtype=torch.float64), torch.randn(16, 2, dtype=torch.float64)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    start = {k: v.clone() for k, v in net.state_dict().items()}
    for name, make in makers.items():
        net.load_state_dict(start)
        optimiser = make(net.parameters())
        arrays = {f"param.{k}": array(v) for k, v in start.items()} | {"in.0": array(x), "in.1": array(y)}
        losses_, norms = [], []
        for _ in range(100):
            optimiser.zero_grad()
            loss = nn.functional.mse_loss(net(x), y)
            loss.backward()
            if name == "sgd_clip_norm":
                norms.append(nn.utils.clip_grad_norm_(net.parameters(), 0.5).item())
            if name == "sgd_clip_value":
                nn.utils.clip_grad_value_(net.parameters(), 0.05)
            optimiser.step()
            losses_.append(loss.item())
        arrays |= {f"after.{k}": array(v) for k, v in net.state_dict().items()} | {"losses": np.array(losses_)}
        save("optimiser." + name, arrays | {"norms": np.array(norms)})


def schedules():
    s = torch.optim.lr_scheduler
    steps = 60
    makers = {
        "step": lambda o: s.StepLR(o, 7, gamma=0.5),
        "cosine": lambda o: s.CosineAnnealingLR(o, 50, eta_min=0.01),
        "one_cycle": lambda o: s.OneCycleLR(o, 0.3, total_steps=steps),
        "one_cycle_options": lambda o: s.OneCycleLR(o, 0.3, total_steps=steps, pct_start=0.1, div_factor=10, final_div_factor=100),
    }
    arrays = {}
    for name, make in makers.items():
        optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.25)
        schedule, rates = make(optimiser), []
        for i in range(steps):
            rates.append(optimiser.param_groups[0]["lr"])
            optimiser.step()
            if i + 1 < steps:
                schedule.step()
        arrays[name] = np.array(rates[:51] if name == "cosine" else rates)
    save("schedules", arrays)


def initialisations():
    """Least, greatest and standard deviation of each tensor as torch makes it by default."""
    made = {
        "linear": nn.Linear(500, 400),
        "conv2d": nn.Conv2d(32, 64, 5, groups=2),
        "embedding": nn.Embedding(400, 300),
        "attention": nn.MultiheadAttention(240, 4),
        "batch_norm2d": nn.BatchNorm2d(8),
        "layer_norm": nn.LayerNorm(8),
    }
    save("initialisations", {f"{layer}.{k}": np.array([v.min(), v.max(), v.std(unbiased=False)])
                             for layer, m in made.items() for k, v in m.state_dict().items() if v.is_floating_point()})


layers(), transformers(), losses(), optimisers(), schedules(), initialisations()
