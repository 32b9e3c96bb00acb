"""A model in an .onnx file, ready to run: `open_session(Path("yolox_nano.onnx"), threads=4)`."""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ..datasets.cores import usable_cores
from ..datasets.errors import UsageError

if TYPE_CHECKING:
    import onnxruntime

# In order of preference: a session takes the first that is there and can run a node.
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
Model = TypeVar("Model")
ERRORS_ONLY = 3  # of ONNX Runtime's log: warnings about every unused weight tell a user nothing


def open_session(
    model: Path | bytes, threads: int | None = None, *, gpu: bool = True
) -> "onnxruntime.InferenceSession":
    """A session of ONNX Runtime.

    Args:
        model: the file, or its content.
        threads: of one operator on the processor; None: every processor that this process may use.
        gpu: whether a GPU may be used where ONNX Runtime has one.

    Raises:
        UsageError: it is no ONNX model, or has an operator that ONNX Runtime lacks.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.log_severity_level = ERRORS_ONLY
    present = onnxruntime.get_available_providers()
    providers = [name for name in PROVIDERS if name in present and (gpu or name != PROVIDERS[0])]
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else str(model), options, providers=providers
        )
    except Exception as error:  # ONNX Runtime has a dozen error classes without a common base
        reason = str(error).split("\n")[0]
        name = "The model" if isinstance(model, bytes) else f"'{model}'"
        raise UsageError(
            f"{name} is no ONNX model that can be run ({reason}). Export or fetch the file again."
        ) from None


def with_one_thread(model: Model) -> Model:
    """A copy of a model (with `session`, and `_path` of its file) that gives each call one thread, so that several may
    be made at once; the model itself where it runs on a GPU."""
    if model.session.get_providers()[0] != PROVIDERS[-1]:
        return model
    single = copy.copy(model)
    single.session, single.calls_at_once = open_session(model._path, 1), True
    return single
