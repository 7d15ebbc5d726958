"""The rows of the benchmark: what each computes, its inputs, its bar and goal, and what the machine allows at best.

Weights carry PyTorch's keys and layouts. A training row takes steps of Adam (learning rate 1e-3, betas 0.9 and 0.999,
epsilon 1e-8) on one batch; what is compared is the loss of its first three steps.
"""
import numpy as np

# peers: those who can run the row. unit ms: time of one run, and the bar is fastest peer / ours. Rows with a `figure`
# have a bar of that unit instead: ours must not exceed it.
ROWS = {}


def row(name, bar, goal, peers, flops=0.0, read=0.0, written=0.0, tolerance=1e-4, threads=(1, 2)):
    """flops: two for a multiply-add; read, written: bytes that must cross memory."""
    def add(inputs):
        ROWS[name] = dict(name=name, unit="ms", bar=bar, goal=goal, peers=peers.split(), flops=flops, read=read,
                          written=written, tolerance=tolerance, threads=threads, inputs=inputs, figure=False)
        return inputs
    return add


def figure(name, unit, bar, goal, threads=(1,), peers="", limit=None):
    ROWS[name] = dict(name=name, unit=unit, bar=bar, goal=goal, peers=peers.split(), threads=threads, figure=True,
                      flops=0.0, read=0.0, written=0.0, tolerance=0.0, inputs=lambda rng: {}, limit=limit)


def normal(rng, *shape, scale=1.0):
    return (rng.standard_normal(shape, dtype=np.float32) * np.float32(scale)).astype(np.float32)


def uniform(rng, bound, *shape):
    return rng.uniform(-bound, bound, shape).astype(np.float32)


# ---------------------------------------------------------------- the demo network

CONVS = [(1, 32, 28), (32, 32, 28), (32, 64, 14), (64, 64, 14)]  # in, out, rows
CNN_FLOPS = sum(2 * 9 * i * o * n * n for i, o, n in CONVS) + 2 * (3136 * 128 + 128 * 10)  # one picture, forward


def cnn_weights(rng, trained):
    w = {}
    for k, (i, o, _) in enumerate(CONVS, 1):
        w[f"conv{k}.weight"] = uniform(rng, (i * 9) ** -0.5, o, i, 3, 3)
        w[f"bn{k}.weight"] = np.ones(o, np.float32)
        w[f"bn{k}.bias"] = np.zeros(o, np.float32)
        w[f"bn{k}.running_mean"] = normal(rng, o, scale=0.1) if trained else np.zeros(o, np.float32)
        w[f"bn{k}.running_var"] = (1 + rng.random(o)).astype(np.float32) if trained else np.ones(o, np.float32)
    for k, (i, o) in enumerate([(3136, 128), (128, 10)], 1):
        w[f"fc{k}.weight"] = uniform(rng, i ** -0.5, o, i)
        w[f"fc{k}.bias"] = uniform(rng, i ** -0.5, o)
    return w


# The first convolution's input needs no gradient.
@row("cnn_train", 1.3, 2.2, "torch torch_channels_last torch_compile", tolerance=2e-3,
     flops=128 * (3 * CNN_FLOPS - 2 * 9 * 32 * 28 * 28))
def cnn_train(rng):
    """x f32[128, 1, 28, 28], labels i64[128], the network's weights -> losses f32[3]"""
    return {"x": rng.random((128, 1, 28, 28), np.float32), "labels": rng.integers(0, 10, 128), **cnn_weights(rng, False)}


@row("cnn_infer_64", 1.0, 1.6, "torch torch_channels_last torch_compile ort openvino", flops=64 * CNN_FLOPS)
def cnn_infer_64(rng):
    """x f32[64, 1, 28, 28], the network's weights -> y f32[64, 10]: batch norm by its running averages"""
    return {"x": rng.random((64, 1, 28, 28), np.float32), **cnn_weights(rng, True)}


@row("cnn_infer_1", 1.1, 1.8, "torch torch_channels_last torch_compile ort openvino", flops=CNN_FLOPS)
def cnn_infer_1(rng):
    """the same of one picture"""
    return {"x": rng.random((1, 1, 28, 28), np.float32), **cnn_weights(rng, True)}


MLP = [(784, 1024), (1024, 1024), (1024, 10)]
MLP_WEIGHTS = sum(i * o + o for i, o in MLP)


@row("mlp_train", 1.15, 1.3, "torch torch_compile jax", tolerance=2e-3,
     flops=128 * (6 * sum(i * o for i, o in MLP) - 2 * 784 * 1024), read=4 * 4 * MLP_WEIGHTS, written=4 * 3 * MLP_WEIGHTS)
def mlp_train(rng):
    """x f32[128, 784], labels i64[128], fc1..fc3 -> losses f32[3]; ReLU between the layers"""
    w = {}
    for k, (i, o) in enumerate(MLP, 1):
        w[f"fc{k}.weight"] = uniform(rng, i ** -0.5, o, i)
        w[f"fc{k}.bias"] = uniform(rng, i ** -0.5, o)
    return {"x": rng.random((128, 784), np.float32), "labels": rng.integers(0, 10, 128), **w}


# ---------------------------------------------------------------- rows and chains

def size(*shape):
    return 4.0 * np.prod(shape)


@row("softmax", 1.0, 1.2, "numpy torch torch_compile ort openvino jax", read=size(4096, 1024), written=size(4096, 1024))
def softmax(rng):
    """x f32[4096, 1024] -> y: softmax over the last axis"""
    return {"x": normal(rng, 4096, 1024)}


@row("layernorm", 1.0, 1.2, "torch torch_compile ort openvino jax", read=size(4096, 768), written=size(4096, 768))
def layernorm(rng):
    """x f32[4096, 768], weight f32[768], bias f32[768] -> y: over the last axis, epsilon 1e-5"""
    return {"x": normal(rng, 4096, 768), "weight": normal(rng, 768), "bias": normal(rng, 768)}


@row("layernorm_grad", 1.0, 1.2, "torch torch_compile jax", read=3 * size(4096, 768), written=2 * size(4096, 768),
     tolerance=1e-3)
def layernorm_grad(rng):
    """x, weight, bias, dy f32[4096, 768] -> y, dx, dweight, dbias: forward and backward"""
    return {**layernorm(rng), "dy": normal(rng, 4096, 768)}


@row("gelu", 1.0, 1.6, "torch torch_compile ort openvino jax", read=size(4096, 3072), written=size(4096, 3072))
def gelu(rng):
    """x f32[4096, 3072] -> y = x/2 (1 + erf(x/sqrt 2))"""
    return {"x": normal(rng, 4096, 3072)}


@row("chain8", 1.3, 1.8, "numpy torch torch_compile ort openvino jax", read=size(1 << 22), written=size(1 << 22))
def chain8(rng):
    """x f32[4194304] -> y: a = exp(-x/2), b = tanh(x) + a, y = (sigmoid(b) x + b) / 4, which is eight operations"""
    return {"x": normal(rng, 1 << 22)}


# ---------------------------------------------------------------- contractions

def square(n):
    @row(f"matmul_{n}", 0.97, 1.05, "numpy torch ort openvino jax", flops=2.0 * n ** 3, tolerance=1e-3)
    def matmul(rng):
        """a, b f32[n, n] -> y = a b"""
        return {"a": normal(rng, n, n), "b": normal(rng, n, n)}
    return matmul


for n in (512, 1024, 2048):
    square(n)


@row("bmm", 0.97, 1.05, "numpy torch ort openvino jax", flops=2.0 * 64 * 128 * 64 * 128, tolerance=1e-3)
def bmm(rng):
    """a f32[64, 128, 64], b f32[64, 64, 128] -> y f32[64, 128, 128]"""
    return {"a": normal(rng, 64, 128, 64), "b": normal(rng, 64, 64, 128)}


WIDTH, HIDDEN, HEADS = 384, 1536, 12
ENCODER_FLOPS = 2.0 * 8 * 128 * (4 * WIDTH * WIDTH + 2 * WIDTH * HIDDEN + 2 * 128 * WIDTH)


def encoder_weights(rng):
    w = {"self_attn.in_proj_weight": uniform(rng, (6 / (4 * WIDTH)) ** 0.5, 3 * WIDTH, WIDTH),
         "self_attn.in_proj_bias": np.zeros(3 * WIDTH, np.float32),
         "self_attn.out_proj.weight": uniform(rng, WIDTH ** -0.5, WIDTH, WIDTH),
         "self_attn.out_proj.bias": np.zeros(WIDTH, np.float32),
         "linear1.weight": uniform(rng, WIDTH ** -0.5, HIDDEN, WIDTH),
         "linear1.bias": uniform(rng, WIDTH ** -0.5, HIDDEN),
         "linear2.weight": uniform(rng, HIDDEN ** -0.5, WIDTH, HIDDEN),
         "linear2.bias": uniform(rng, HIDDEN ** -0.5, WIDTH)}
    for k in (1, 2):
        w[f"norm{k}.weight"] = np.ones(WIDTH, np.float32)
        w[f"norm{k}.bias"] = np.zeros(WIDTH, np.float32)
    return w


@row("encoder_infer", 1.0, 1.35, "torch torch_compile ort openvino", flops=ENCODER_FLOPS, tolerance=1e-3)
def encoder_infer(rng):
    """x f32[8, 128, 384], weights of torch.nn.TransformerEncoderLayer(384, 12, 1536, gelu, norm after) -> y"""
    return {"x": normal(rng, 8, 128, WIDTH), **encoder_weights(rng)}


@row("encoder_train", 1.0, 1.35, "torch torch_compile", flops=3 * ENCODER_FLOPS, tolerance=2e-3)
def encoder_train(rng):
    """the same and target f32[8, 128, 384] -> losses f32[3] of mean((y - target)^2); no dropout"""
    return {"x": normal(rng, 8, 128, WIDTH), "target": normal(rng, 8, 128, WIDTH), **encoder_weights(rng)}


# ---------------------------------------------------------------- movement

@row("transpose", 1.1, 1.6, "numpy torch torch_compile ort openvino jax", read=size(2048, 2048), written=size(2048, 2048))
def transpose(rng):
    """x f32[2048, 2048] -> y, its transpose, row-major in memory"""
    return {"x": normal(rng, 2048, 2048)}


@row("sum0", 1.1, 1.6, "numpy torch torch_compile ort openvino jax", read=size(4096, 4096), tolerance=1e-3)
def sum0(rng):
    """x f32[4096, 4096] -> y f32[4096], the sum over axis 0"""
    return {"x": normal(rng, 4096, 4096)}


@row("gather", 1.1, 1.6, "numpy torch torch_compile ort openvino jax", read=size(10 ** 6, 64) + 8e6,
     written=size(10 ** 6, 64))
def gather(rng):
    """x f32[1000000, 64], indices i64[1000000] -> y f32[1000000, 64], rows of x"""
    return {"x": normal(rng, 10 ** 6, 64), "indices": rng.integers(0, 10 ** 6, 10 ** 6)}


# ---------------------------------------------------------------- figures of our own

figure("eager_add", "us", 0.1, 0.05)           # an add of 16 numbers recorded
figure("eager_chain", "us", 0.35, 0.2)         # a chain of 20 operations on 1,024 numbers evaluated, each operation
figure("eager_grad", "times", 3.0, 2.5)        # the gradient of that chain over the chain
figure("compile_cold", "s", 2.0, 0.6, threads=(2,))      # the demo's train step, nothing in the cache
figure("compile_cached", "ms", 100.0, 30.0, threads=(2,))  # the same from the disk cache
figure("plan_build", "s", 0.7, 0.2, threads=(2,))        # the demo's inference plan
figure("plan_load", "ms", 6.0, 2.0, threads=(2,))
figure("start", "ms", 15.0, 8.0)               # the process `tenon version`
figure("train_memory", "of torch", 1.0, 0.5, threads=(2,), peers="torch")  # peak resident memory of training the demo
