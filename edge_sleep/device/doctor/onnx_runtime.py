"""onnxruntime, where it is installed, in its own process: its wheel imports CPU code that kills a machine it does not know."""
from __future__ import annotations

from edge_sleep.device.doctor.check import Check, Try

# The graph is y = x @ x for two by two floats, in ONNX's own format, so that nothing is needed to write it.
ONNX_PROBE = """
import base64, importlib.util, json
if importlib.util.find_spec("onnxruntime") is None:
    print(json.dumps({"version": None}))
    raise SystemExit
import numpy
print("at importing onnxruntime", flush=True)
import onnxruntime
print("at running a graph on the CPU", flush=True)
graph = base64.b64decode("CAg6QAoRCgF4CgF4EgF5IgZNYXRNdWwSAWdaEwoBeBIOCgwIARIICgIIAgoCCAJiEwoBeRIOCgwIARIICgIIAgoCCAJCBAoAEBE=")
session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
made = session.run(None, {"x": numpy.ones((2, 2), numpy.float32)})[0]
assert (made == 2).all(), "a product is wrong"
print(json.dumps({"version": onnxruntime.__version__, "adapters": hasattr(onnxruntime, "AdapterFormat")}))
"""


def check_onnx(attempt: Try) -> Check | None:
    """None where it is not installed: it serves exports, no night needs it, so that it never fails an examination."""
    facts, problem = attempt(ONNX_PROBE)
    if facts is None:
        return Check("onnxruntime", "warn", problem, "no export to onnx is made or served here; nights do without it")
    if facts["version"] is None:
        return None
    if not facts["adapters"]:
        return Check("onnxruntime", "warn", f"{facts['version']} knows no adapters", "use 1.20 or newer")
    return Check("onnxruntime", "ok", f"{facts['version']}: a product came out right")
