"""ONNX Runtime, results bound to memory made beforehand."""
import numpy as np
import onnxruntime as ort

import onnx_models
from common import arguments, load, serve

options = arguments()
model, inputs, shape = onnx_models.build(options.row, load(options.inputs))
settings = ort.SessionOptions()
settings.intra_op_num_threads = options.threads
settings.inter_op_num_threads = 1
settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
binding = session.io_binding()
held = [ort.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(a)) for a in inputs.values()]
for name, value in zip(inputs, held):
    binding.bind_ortvalue_input(name, value)
y = ort.OrtValue.ortvalue_from_shape_and_type(list(shape), np.float32)
binding.bind_ortvalue_output("y", y)


def run():
    session.run_with_iobinding(binding)


serve(options, run, lambda: (run(), {"y": y.numpy()})[1])
