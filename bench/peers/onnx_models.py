"""The rows as ONNX models, for ONNX Runtime and OpenVINO. Weights are initialisers; inputs are x, or a and b."""
import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

TYPES = {np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.int64): TensorProto.INT64}


class Writer:
    def __init__(self, weights):
        self.nodes, self.weights = [], dict(weights)

    def __call__(self, op, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.weights)}"
        self.weights[name] = np.array(value, dtype)
        return name

    def model(self, result, inputs, shape):
        self.nodes.append(helper.make_node("Identity", [result], ["y"]))
        graph = helper.make_graph(
            self.nodes, "row",
            [helper.make_tensor_value_info(k, TYPES[a.dtype], a.shape) for k, a in inputs.items()],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
            [numpy_helper.from_array(a, k) for k, a in self.weights.items()])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        checker.check_model(model)
        return model.SerializeToString()


def cnn(w, x):
    for k in (1, 2, 3, 4):
        x = w("Conv", x, f"conv{k}.weight", pads=[1, 1, 1, 1])
        x = w("BatchNormalization", x, f"bn{k}.weight", f"bn{k}.bias", f"bn{k}.running_mean", f"bn{k}.running_var",
              epsilon=1e-5)
        x = w("Relu", x)
        if k in (2, 4):
            x = w("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = w("Relu", w("Gemm", w("Flatten", x, axis=1), "fc1.weight", "fc1.bias", transB=1))
    return w("Gemm", x, "fc2.weight", "fc2.bias", transB=1)


def linear(w, x, name, suffix=".weight", bias=".bias"):
    w.weights[name + suffix] = np.ascontiguousarray(w.weights[name + suffix].T)
    return w("Add", w("MatMul", x, name + suffix), name + bias)


def encoder(w, x):
    split = w.weights["self_attn.in_proj_weight"], w.weights["self_attn.in_proj_bias"]
    heads = w.constant([8, 128, 12, 32], np.int64)

    def project(k, perm):
        w.weights[f"p{k}.weight"], w.weights[f"p{k}.bias"] = (a[k * 384:(k + 1) * 384] for a in split)
        return w("Transpose", w("Reshape", linear(w, x, f"p{k}"), heads), perm=perm)

    q, k, v = project(0, [0, 2, 1, 3]), project(1, [0, 2, 3, 1]), project(2, [0, 2, 1, 3])
    scores = w("Softmax", w("Mul", w("MatMul", q, k), w.constant(32 ** -0.5)), axis=-1)
    mixed = w("Transpose", w("MatMul", scores, v), perm=[0, 2, 1, 3])
    mixed = linear(w, w("Reshape", mixed, w.constant([8, 128, 384], np.int64)), "self_attn.out_proj")
    x = w("LayerNormalization", w("Add", x, mixed), "norm1.weight", "norm1.bias", axis=-1, epsilon=1e-5)
    y = linear(w, w("Gelu", linear(w, x, "linear1")), "linear2")
    for name in ("self_attn.in_proj_weight", "self_attn.in_proj_bias"):
        del w.weights[name]
    return w("LayerNormalization", w("Add", x, y), "norm2.weight", "norm2.bias", axis=-1, epsilon=1e-5)


def chain8(w, x):
    b = w("Add", w("Tanh", x), w("Exp", w("Mul", x, w.constant(-0.5))))
    return w("Mul", w("Add", w("Mul", w("Sigmoid", b), x), b), w.constant(0.25))


BUILD = {
    "softmax": lambda w: w("Softmax", "x", axis=-1),
    "layernorm": lambda w: w("LayerNormalization", "x", "weight", "bias", axis=-1, epsilon=1e-5),
    "gelu": lambda w: w("Gelu", "x"),
    "chain8": lambda w: chain8(w, "x"),
    "transpose": lambda w: w("Transpose", "x", perm=[1, 0]),
    "sum0": lambda w: w("ReduceSum", "x", w.constant([0], np.int64), keepdims=0),
    "gather": lambda w: w("Gather", "x", "indices", axis=0),
    "cnn_infer_64": lambda w: cnn(w, "x"),
    "cnn_infer_1": lambda w: cnn(w, "x"),
    "encoder_infer": lambda w: encoder(w, "x"),
}


def build(row, values):
    """(model bytes, inputs, shape of y)"""
    names = ["a", "b"] if "a" in values else ["x"] + ["indices"] * ("indices" in values)
    inputs = {k: values[k] for k in names}
    w = Writer({k: a for k, a in values.items() if k not in names})
    result = BUILD.get(row, lambda w: w("MatMul", "a", "b"))(w)
    shape = {"sum0": (4096,), "cnn_infer_64": (64, 10), "cnn_infer_1": (1, 10), "bmm": (64, 128, 128)}.get(
        row, values.get("x", values.get("a")).shape)
    return w.model(result, inputs, shape), inputs, shape
