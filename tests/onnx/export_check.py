"""Checks the cases of export_cases: onnx.checker accepts each model, ONNX Runtime gives our answers.

usage: export_check.py FOLDER   (with a Python that has onnx, onnxruntime and numpy)

Every op that is written in ONNX's own words must be run at least once; what ONNX Runtime has no kernel for (a dtype,
mostly) is counted.
"""
import collections
import glob
import os
import sys

import numpy
import onnx
import onnxruntime
from onnx import numpy_helper

# Exported in ONNX's words, but only with operands that ONNX Runtime has no kernel for.
NEVER_RUN = set()
# Where ONNX leaves a result open (or ONNX Runtime takes a liberty) and ours is another; checked for what is left.
OPEN = {
    "argmax": "where there is a NaN",
    "cast": "of numbers outside of the new dtype",
    "floor_divide": "the least integer by -1",
    "log_softmax": "where there is an infinity",
    "logsumexp": "where there is an infinity",
    "max": "where there is a NaN",
    "max_pool": "where there is a NaN",
    "min": "where there is a NaN",
    "pow": "of integers whose result does not fit, or with a negative exponent",
    "softmax": "where there is an infinity",
    "sort": "where there is a NaN, in descending order",
}
TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "float16": 4e-3, "bfloat16": 4e-2}


def read(folder, stem):
    arrays = []
    while os.path.exists(path := os.path.join(folder, f"{stem}_{len(arrays)}.pb")):
        tensor = onnx.TensorProto()
        with open(path, "rb") as f:
            tensor.ParseFromString(f.read())
        arrays.append(numpy_helper.to_array(tensor))
    return arrays


def difference(got, want):
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"expected {want.dtype}{list(want.shape)}, got {got.dtype}{list(got.shape)}"
    if want.dtype.kind in "biu":
        return "" if numpy.array_equal(got, want) else "other integers"
    bound = TOLERANCE[want.dtype.name]
    got, want = got.astype(numpy.float64), want.astype(numpy.float64)
    finite = numpy.abs(want[numpy.isfinite(want)])
    scale = finite.max() if finite.size else 0
    if numpy.allclose(got, want, rtol=bound, atol=bound * scale, equal_nan=True):
        return ""
    at = numpy.unravel_index(numpy.argmax(~numpy.isclose(got, want, rtol=bound, atol=bound * scale, equal_nan=True)), got.shape)
    return f"at {at}: expected {want[at]}, got {got[at]}, tolerance {bound}"


def run(folder):
    """One of "ran", "no kernel", "own op"; or what is wrong."""
    model = onnx.load(os.path.join(folder, "model.onnx"))
    onnx.checker.check_model(model, full_check=True)
    if any(node.domain for node in model.graph.node):
        return "own op"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        inputs = {i.name: onnxruntime.OrtValue.ortvalue_from_numpy(v) if v.dtype.name != "bfloat16" else None
                  for i, v in zip(session.get_inputs(), read(folder, "input"))}
        if None in inputs.values():
            return "no kernel"
        got = [v.numpy() for v in session.run_with_ort_values(None, inputs)]
    except Exception as error:  # ONNX Runtime has a class of its own for each fault
        # The last: a Scan of no steps, which ONNX Runtime refuses.
        if any(word in str(error) for word in ("NOT_IMPLEMENTED", "bfloat16", "PoolAttributes", "value_tensor_slicer")):
            return "no kernel"
        return str(error).split("\n")[0]
    name = os.path.basename(folder).split(".")[0]
    for i, (ours, theirs) in enumerate(zip(read(folder, "output"), got)):
        if text := difference(theirs, ours):
            if name in OPEN:
                return "open"
            return f"output {i}: {text}"
    return "ran"


def outcome_of(folder):
    try:
        return run(folder)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        return f"onnx.checker: {error}"


def run_all(folders):
    """[outcome] of the folders. In a process of its own, and another one after a crash: ONNX Runtime may not survive an
    empty tensor or the least integer."""
    outcomes = []
    while len(outcomes) < len(folders):
        end, start = os.pipe()
        child = os.fork()
        if child == 0:
            for folder in folders[len(outcomes):]:
                os.write(start, outcome_of(folder).encode()[:3000] + b"\0")
            os._exit(0)
        os.close(start)
        with os.fdopen(end, "rb") as pipe:
            outcomes += pipe.read().decode().split("\0")[:-1]
        if os.waitpid(child, 0)[1]:
            outcomes.append("crash")
    return outcomes


def main():
    outcomes = collections.defaultdict(collections.Counter)
    failures = 0
    folders = sorted(glob.glob(os.path.join(sys.argv[1], "*")))
    for folder, outcome in zip(folders, run_all(folders)):
        name = os.path.basename(folder)
        if outcome not in ("ran", "no kernel", "own op", "crash", "open"):
            print(f"{name}: {outcome}")
            failures += 1
        outcomes[name.split(".")[0]][outcome] += 1
    total = sum(outcomes.values(), collections.Counter())
    own = sorted(op for op, counts in outcomes.items() if set(counts) == {"own op"})
    idle = sorted(op for op, counts in outcomes.items() if not counts["ran"] and op not in own)
    print(f"{total['ran']} agree, {failures} differ, {total['no kernel']} without a kernel in ONNX Runtime, "
          f"{total['crash']} crash it, {total['open']} where ONNX leaves the result open")
    print(f"{len(outcomes) - len(own)} ops and networks in ONNX's words; in our own domain: {' '.join(own)}")
    if set(idle) != NEVER_RUN:
        print(f"never run: expected {sorted(NEVER_RUN)}, got {idle}")
        failures += 1
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
