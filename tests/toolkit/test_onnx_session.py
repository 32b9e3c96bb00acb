"""ONNX Runtime sessions: opened from files and bytes, refused in one sentence."""

import numpy as np
import onnx
import onnxruntime
import pytest

from reidkit.datasets import UsageError
from reidkit.toolkit.onnx_session import open_session


def doubling(operator: str = "Add") -> bytes:
    """A model that doubles its input [2]."""
    sides = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ("x", "y")]
    node = onnx.helper.make_node(operator, ["x", "x"], ["y"])
    graph = onnx.helper.make_graph([node], "doubling", sides[:1], sides[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


@pytest.mark.parametrize("gpu", [True, False])
def test_a_file_and_its_bytes_run_alike(tmp_path, gpu):
    path = tmp_path / "doubling.onnx"
    path.write_bytes(doubling())
    for model in (path, path.read_bytes()):
        session = open_session(model, threads=1, gpu=gpu)
        assert session.run(None, {"x": np.array([1, 2], np.float32)})[0].tolist() == [2, 4]
        assert session.get_session_options().intra_op_num_threads == 1


def test_a_gpu_is_used_only_where_it_may_be(monkeypatch, tmp_path):
    asked = []
    providers = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: providers)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda model, options, providers: asked.append(providers))
    open_session(tmp_path / "a.onnx", gpu=True)
    open_session(tmp_path / "a.onnx", gpu=False)
    assert asked == [["CUDAExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"]]


@pytest.mark.parametrize("content", [b"", b"no model", doubling()[:-20], doubling("NoSuchOperator")])
def test_what_is_no_model_is_one_sentence(tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="no ONNX model that can be run") as caught:
        open_session(path, threads=1)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="The model is no ONNX model"):
        open_session(content, threads=1)
