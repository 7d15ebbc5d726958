"""numpy, with scipy where numpy has no such function."""
import numpy as np
from scipy.special import expit

from common import arguments, load, serve


def softmax(x):
    y = x - x.max(axis=-1, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(axis=-1, keepdims=True)
    return y


def chain8(x):
    b = np.tanh(x) + np.exp(x * np.float32(-0.5))
    return (expit(b) * x + b) * np.float32(0.25)


def prepare(row, v):
    if row == "softmax":
        return lambda: softmax(v["x"])
    if row == "chain8":
        return lambda: chain8(v["x"])
    if row == "transpose":
        y = np.empty_like(v["x"])
        return lambda: (np.copyto(y, v["x"].T), y)[1]
    if row == "sum0":
        return lambda: v["x"].sum(axis=0)
    if row == "gather":
        y = np.empty_like(v["x"])
        return lambda: np.take(v["x"], v["indices"], axis=0, out=y, mode="clip")
    y = np.matmul(v["a"], v["b"])
    return lambda: np.matmul(v["a"], v["b"], out=y)


options = arguments()
work = prepare(options.row, load(options.inputs))
serve(options, work, lambda: {"y": work()})
