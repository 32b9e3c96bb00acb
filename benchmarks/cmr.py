"""What CMR costs in a training step, and what it saves that captions are not projected anew.

    python benchmarks/cmr.py                                   # writes benchmarks/results/cmr.md
    python benchmarks/cmr.py --device cuda --clips 16 --identities 625

Three forms with the same weights and the same result: `projected` computes keys and values of every identity's caption
tokens in every layer; `absorbed` is ours; `no captions` is what remains without caption attention. Memory is what the
backward pass keeps (each storage once), parameters and the caption bank not counted.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from machine import describe
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from reidkit.cgclip.attention import Attention
from reidkit.cgclip.refinement import CaptionGuidedRefinement

RESULT = Path(__file__).parent / "results" / "cmr.md"


class Projected(Attention):
    """Caption attention the usual way."""

    def absorbed(self, query: Tensor, context: Tensor, mask: Tensor) -> Tensor:
        context = context.to(query.dtype)
        q, k, v = self._split(self.query(query)), self._split(self.key(context)), self._split(self.value(context))
        some = mask.any(-1)
        allowed = mask | ~some[:, None]
        mixed = F.scaled_dot_product_attention(q, k, v, allowed[:, None, None])
        return self.out(mixed.transpose(-3, -2).flatten(-2)) * some[:, None, None]


def make(form: str, width: int, device: str) -> CaptionGuidedRefinement:
    torch.manual_seed(0)
    cmr = CaptionGuidedRefinement(width, heads=8, layers=2, captions=form != "no captions").to(device)
    torch.nn.init.constant_(cmr.gate, 0.5)
    if form == "projected":
        for layer in cmr.layers:
            layer.caption_attention.__class__ = Projected
    return cmr


def kept_bytes(step, own: set[int]) -> int:
    """Bytes of the storages that autograd keeps, without those at the addresses `own`."""
    seen: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = step()
    del loss
    return sum(seen.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--identities", type=int, default=625, help="as MARS has")
    parser.add_argument("--tokens", type=int, nargs="+", default=[40, 160], help="caption tokens an identity")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    width, device, gpu = 512, options.device, options.device.startswith("cuda")

    lines = [
        "# CMR in a training step",
        "",
        f"{options.clips} clips x {options.identities} identities, width {width}, 8 heads, 2 layers, 129 video tokens;",
        f"{'bf16 autocast' if gpu else 'float32'}, forward and backward, median of {options.runs}.",
        f"Machine: {describe(device)}.",
        "",
        "| caption tokens an identity | caption attention | GFLOPs forward | ms a step | MB kept for backward |",
        "|---|---|---|---|---|",
    ]
    for count in options.tokens:
        generator = torch.Generator().manual_seed(1)
        memory = torch.randn(options.identities, width, generator=generator).to(device)
        captions = torch.randn(options.identities, count, width, generator=generator).half().to(device)
        lengths = torch.randint(0, count + 1, (options.identities, 1), generator=generator)
        mask = (torch.arange(count) < lengths).to(device)
        video = torch.randn(options.clips, 129, width, generator=generator).to(device).requires_grad_()
        results = {}
        for form in ("no captions", "projected", "absorbed"):
            cmr = make(form, width, device)

            def forward(cmr=cmr, memory=memory, captions=captions, mask=mask, video=video) -> Tensor:
                with torch.autocast("cuda", torch.bfloat16, enabled=gpu):
                    return cmr(memory, captions, mask, video)

            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                results[form] = forward()
            own = {t.untyped_storage().data_ptr() for t in (*cmr.parameters(), memory, captions, mask, video)}
            kept = kept_bytes(lambda forward=forward: forward().sum(), own)
            times = []
            for _ in range(options.runs + 1):
                if gpu:
                    torch.cuda.synchronize()
                started = time.perf_counter()
                forward().sum().backward()
                if gpu:
                    torch.cuda.synchronize()
                times.append(1e3 * (time.perf_counter() - started))
            row = (count, form, counter.get_total_flops() / 1e9, statistics.median(times[1:]), kept / 1e6)
            lines.append("| {} | {} | {:.1f} | {:.0f} | {:.0f} |".format(*row))
            print(lines[-1], flush=True)
        difference = (results["projected"] - results["absorbed"]).abs().max().item()
        lines.append(f"| {count} | largest difference of the two | {difference:.1e} | | |")
        print(lines[-1], flush=True)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
