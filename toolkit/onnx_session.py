"""A model in an .onnx file, ready to run: `open_session(Path("yolox_nano.onnx"), threads=4)`."""

from pathlib import Path
from typing import TYPE_CHECKING

from ..datasets.cores import usable_cores
from ..datasets.errors import UsageError

if TYPE_CHECKING:
    import onnxruntime

# In order of preference: a session takes the first that is there and can run a node.
PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
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
