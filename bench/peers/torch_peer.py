"""PyTorch: eager, channels_last, compile."""
import numpy as np
import torch
import torch.nn.functional as F

from common import arguments, load, serve


class Cnn(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for k, (i, o) in enumerate([(1, 32), (32, 32), (32, 64), (64, 64)], 1):
            setattr(self, f"conv{k}", torch.nn.Conv2d(i, o, 3, padding=1, bias=False))
            setattr(self, f"bn{k}", torch.nn.BatchNorm2d(o))
        self.fc1 = torch.nn.Linear(3136, 128)
        self.fc2 = torch.nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.max_pool2d(F.relu(self.bn2(self.conv2(x))), 2)
        x = F.relu(self.bn3(self.conv3(x)))
        x = F.max_pool2d(F.relu(self.bn4(self.conv4(x))), 2)
        return self.fc2(F.relu(self.fc1(torch.flatten(x, 1))))


class Mlp(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = torch.nn.Linear(784, 1024)
        self.fc2 = torch.nn.Linear(1024, 1024)
        self.fc3 = torch.nn.Linear(1024, 10)

    def forward(self, x):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def encoder():
    return torch.nn.TransformerEncoderLayer(384, 12, 1536, dropout=0.0, activation="gelu", batch_first=True)


def with_weights(model, v):
    state = model.state_dict()
    model.load_state_dict({k: v.get(k, state[k]) for k in state})
    return model


def compiled(f):
    return torch.compile(f, mode="max-autotune-no-cudagraphs") if options.variant == "compile" else f


def prepare_inference(model, v):
    model.eval()
    x = v["x"]
    if options.variant == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    model = compiled(model)

    def run():
        with torch.inference_mode():
            return model(x)

    return run, lambda: {"y": run().numpy()}


def prepare_training(model, loss_of, x):
    model.train()
    if options.variant == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    model = compiled(model)
    adam = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def run():
        adam.zero_grad(set_to_none=True)
        loss = loss_of(model(x))
        loss.backward()
        adam.step()
        return loss

    return run, lambda: {"losses": np.array([run().item() for _ in range(3)], np.float32)}


def prepare_layernorm_grad(v):
    leaves = [v[k].requires_grad_() for k in ("x", "weight", "bias")]
    layer = compiled(lambda x, w, b: F.layer_norm(x, (768,), w, b))

    def run():
        for leaf in leaves:
            leaf.grad = None
        y = layer(*leaves)
        y.backward(v["dy"])
        return y

    def outputs():
        y = run()
        return {"y": y.detach().numpy(), **{f"d{k}": t.grad.numpy() for k, t in zip(("x", "weight", "bias"), leaves)}}

    return run, outputs


def chain8(x):
    b = torch.tanh(x) + torch.exp(x * -0.5)
    return (torch.sigmoid(b) * x + b) * 0.25


def prepare_function(row, v):
    x = v.get("x", v.get("a"))
    works = {
        "softmax": lambda: torch.softmax(x, -1),
        "layernorm": lambda: F.layer_norm(x, (768,), v["weight"], v["bias"]),
        "gelu": lambda: F.gelu(x),
        "chain8": lambda: chain8(x),
        "transpose": lambda: x.t().contiguous(),
        "sum0": lambda: x.sum(0),
        "gather": lambda: F.embedding(v["indices"], x),
    }
    if row in works:
        work = compiled(works[row])
    else:
        y = torch.matmul(v["a"], v["b"])
        work = lambda: torch.matmul(v["a"], v["b"], out=y)
    if row == "gather" and not options.variant:
        y = torch.empty_like(x)
        work = lambda: torch.index_select(x, 0, v["indices"], out=y)

    def run():
        with torch.inference_mode():
            return work()

    return run, lambda: {"y": run().numpy()}


def prepare(row, v):
    if row.startswith("cnn_infer"):
        return prepare_inference(with_weights(Cnn(), v), v)
    if row == "encoder_infer":
        return prepare_inference(with_weights(encoder(), v), v)
    if row in ("cnn_train", "train_memory"):
        return prepare_training(with_weights(Cnn(), v), lambda y: F.cross_entropy(y, v["labels"]), v["x"])
    if row == "mlp_train":
        return prepare_training(with_weights(Mlp(), v), lambda y: F.cross_entropy(y, v["labels"]), v["x"])
    if row == "encoder_train":
        return prepare_training(with_weights(encoder(), v), lambda y: F.mse_loss(y, v["target"]), v["x"])
    if row == "layernorm_grad":
        return prepare_layernorm_grad(v)
    return prepare_function(row, v)


options = arguments()
torch.set_num_threads(options.threads)
torch.set_num_interop_threads(1)
serve(options, *prepare(options.row, {k: torch.from_numpy(a) for k, a in load(options.inputs).items()}))
