"""What aggregating a clip's tokens costs: TFE against TF-CLIP's TMD, joint space-time attention and mean pooling.

    python benchmarks/tfe.py                    # writes benchmarks/results/tfe.md
    python benchmarks/tfe.py --device cuda

GFLOPs are two a multiply-add, forward, for one clip, counted by torch.utils.flop_counter; milliseconds are the median
over the runs for one clip of a batch, forward and forward + backward. Joint space-time attention stands for the obvious
alternative: as many pre-norm blocks as TFE has layers, over all T x 129 tokens, then their mean.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from machine import describe
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from reidkit.baselines.clip import Block
from reidkit.baselines.tfclip import TemporalMemoryDiffusion
from reidkit.cgclip.tfe import TokenExtraction

WIDTH, HEADS, LAYERS, PATCHES = 768, 12, 2, 129
RESULT = Path(__file__).parent / "results" / "tfe.md"


class Mean(nn.Module):
    def forward(self, tokens: Tensor) -> Tensor:
        return tokens.mean((1, 2))


class Joint(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(WIDTH, HEADS) for _ in range(LAYERS))

    def forward(self, tokens: Tensor) -> Tensor:
        x = tokens.flatten(1, 2)
        for block in self.blocks:
            x = block(x)
        return x.mean(1)


class Tmd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tmd = TemporalMemoryDiffusion(WIDTH, HEADS)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.tmd(tokens).mean(1)


def candidates(frames: int) -> dict[str, nn.Module]:
    tfe = {f"TFE, K = {k}": TokenExtraction(WIDTH, k, LAYERS, HEADS, frames) for k in (1, 2, 4, 8, 16, 32)}
    return {"mean pooling": Mean(), **tfe, "TMD (TF-CLIP)": Tmd(), "joint space-time attention": Joint()}


def gigaflops(module: nn.Module, tokens: Tensor) -> float:
    # the counter doesn't know every fused attention kernel; the plain one is two matrix products, which it counts
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        module(tokens)
    return counter.get_total_flops() / 1e9


def milliseconds(module: nn.Module, tokens: Tensor, runs: int, backward: bool) -> float:
    """Median over `runs`, for the whole batch."""
    times = []
    for _ in range(runs + 1):
        if tokens.is_cuda:
            torch.cuda.synchronize()
        started = time.perf_counter()
        with torch.set_grad_enabled(backward), torch.autocast("cuda", torch.bfloat16, enabled=tokens.is_cuda):
            result = module(tokens)
        if backward:
            result.sum().backward()
        if tokens.is_cuda:
            torch.cuda.synchronize()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times[1:])  # the first run allocates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, help="clips [default: 2 on the CPU, 16 on a GPU]")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    gpu = options.device.startswith("cuda")
    batch = options.batch or (16 if gpu else 2)
    kind = "bf16 autocast" if gpu else "float32"

    lines = [
        "# TFE against other ways to aggregate a clip",
        "",
        f"Clips of T frames x {PATCHES} tokens x {WIDTH}; {LAYERS} layers for TFE and joint attention, 1 for TMD.",
        f"Batch of {batch} clips, {kind}, median of {options.runs}; milliseconds are for one clip.",
        f"Machine: {describe(options.device)}.",
        "",
        "| T | module | parameters, M | GFLOPs a clip | ms forward | ms forward + backward |",
        "|---|---|---|---|---|---|",
    ]
    for frames in (8, 32):
        tokens = torch.randn(batch, frames, PATCHES, WIDTH, device=options.device)
        needs = tokens.clone().requires_grad_()
        for name, module in candidates(frames).items():
            if frames != 8 and name not in ("TFE, K = 8", "TMD (TF-CLIP)", "joint space-time attention"):
                continue
            module = module.to(options.device)
            parameters = sum(p.numel() for p in module.parameters()) / 1e6
            forward = milliseconds(module, tokens, options.runs, backward=False) / batch
            both = milliseconds(module, needs, options.runs, backward=True) / batch
            flops = gigaflops(module, tokens[:1])
            lines.append(f"| {frames} | {name} | {parameters:.2f} | {flops:.2f} | {forward:.2f} | {both:.2f} |")
            print(lines[-1], flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
