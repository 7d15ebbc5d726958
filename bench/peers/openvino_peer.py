"""OpenVINO in f32, tensors shared with numpy's memory."""
import numpy as np
import openvino as ov

import onnx_models
from common import arguments, load, serve

options = arguments()
model, inputs, shape = onnx_models.build(options.row, load(options.inputs))
core = ov.Core()
compiled = core.compile_model(core.read_model(model, b""), "CPU", {
    "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": options.threads,
    "NUM_STREAMS": 1})
request = compiled.create_infer_request()
for name, array in inputs.items():
    request.set_tensor(name, ov.Tensor(np.ascontiguousarray(array), shared_memory=True))
y = np.empty(shape, np.float32)
request.set_output_tensor(0, ov.Tensor(y, shared_memory=True))
serve(options, request.infer, lambda: (request.infer(), {"y": y.copy()})[1])
