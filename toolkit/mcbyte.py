"""McByte (arXiv 2506.01373) of `trackers`, which follows people by masks, where its mask models are installed.

    require_masks()                                     # a sentence where they are not
    tracker = mcbyte(fps=25.0, confidence=0.5, buffer=30)

SAM makes a mask of a new person's box, and Cutie carries it from frame to frame. Neither is a dependency of reidkit,
and nothing is fetched: the packages and the weights are the user's to install.
"""

import importlib.util
from pathlib import Path

from ..datasets.errors import UsageError
from ..training.weights import cache_folder

PACKAGES = ("segment_anything", "cutie")
SAM, CUTIE = "sam_vit_b_01ec64.pth", "cutie-base-mega.pth"


def require_masks() -> tuple[Path, Path]:
    """The weights of SAM and of Cutie.

    Raises:
        UsageError: a package or a file is not there; all that is missing is named.
    """
    packages = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    files = [cache_folder() / name for name in (SAM, CUTIE)]
    absent = [f"the package '{name}'" for name in packages] + [f"'{path}'" for path in files if not path.is_file()]
    if absent:
        raise UsageError(
            f"--tracker mcbyte goes by masks, and their models are not all here: {', '.join(absent)}. Install Segment "
            "Anything and Cutie from their authors' repositories and put their weights there, or take another tracker."
        )
    return files[0], files[1]


def mcbyte(fps: float, confidence: float, buffer: int):
    """A fresh tracker; its `update` wants each frame's picture, uint8 RGB [H, W, 3].

    Args:
        buffer: frames at 30 a second for which an unseen person is waited for.
    """
    sam, cutie = require_masks()
    from trackers.core.mcbyte.tracker import McByteMaskConfig, McByteTracker

    return McByteTracker(
        lost_track_buffer=buffer,
        frame_rate=fps,
        track_activation_threshold=confidence,
        high_conf_det_threshold=confidence,
        enable_mask_manager=True,
        mask_config=McByteMaskConfig(sam_checkpoint_path=sam, cutie_weights_path=cutie),
    )
