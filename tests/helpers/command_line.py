"""The command line, called in this process."""

from reidkit.cli.main import main

SMALL = [
    "backbone_width=4",
    "frames=2",
    "test_frames=2",
    "height=32",
    "width=16",
    "pad=2",
    "identities=3",
    "tracklets=2",
]
FAST = [part for pair in ([("--set", o) for o in [*SMALL, "epochs=1", "warmup_epochs=0"]]) for part in pair]


def call(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    try:
        main([str(a) for a in arguments])
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    out = capsys.readouterr()
    return code, out.out, out.err


def run(capsys, *arguments):
    return call(capsys, "run", *arguments, "--size", "tiny", "--device", "cpu", "--workers", 0, *FAST)
