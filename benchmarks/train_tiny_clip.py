"""Pretrains the tiny CLIP (`pretrained=simulated`): CLIP's own pretraining in miniature, on simulated people.

    python benchmarks/train_tiny_clip.py WORK -o baselines/assets/tiny_clip.safetensors
    OMP_NUM_THREADS=1 torchrun --nproc-per-node 4 benchmarks/train_tiny_clip.py WORK --minutes 30

WORK holds the footage and crops of benchmarks/train_embedder.py, whose seeds nobody else uses, and is filled where it
is empty. Both towers learn from four losses: images against captions of their identity (some of its phrases in any
order), images against single phrases (a sigmoid each, as SigLIP), images against images of their world's people, and
tokens against the shipped embedder, a convolutional network that ten minutes are enough for: a transformer would have
to learn from pictures alone what a convolution is born with, so the patches learn its maps and the class token its
features (FitNets, Romero et al. 2015). Half of the patches are left out at each step (FLIP, Li et al. 2023), for twice
as many steps; the last tenth of the time sees all. The world HELD of each kind is scored in
benchmarks/results/tiny_clip.json.

The schedule follows the clock, so a second run is alike and not the same. The file is float16 in open_clip's names;
of the token embeddings it has only the rows of tokens that occurred.
"""

import argparse
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import onnx
import open_clip
import torch
import torch.distributed as dist
from machine import describe
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from train_embedder import CAST, GAIN, HEIGHT, HELD, KINDS, OFFSET, WIDTH, contrast, tracks_of, training_world

from reidkit.baselines.clip import CONTEXT, Clip, load_clip, tokenize
from reidkit.baselines.clip_weights import EMBEDDING, ROWS
from reidkit.datasets.clips import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from reidkit.datasets.files import atomic_path, write_json
from reidkit.datasets.images import decode
from reidkit.datasets.progress import say
from reidkit.datasets.truth import TRUTH, read_truth
from reidkit.leaderboard.ranking import score
from reidkit.toolkit.captioning.template import OPENINGS, caption, phrases
from reidkit.toolkit.onnx_session import open_session
from reidkit.training.losses import supervised_contrast
from reidkit.training.parallel import Parallel, start, stop

ROOM = (144, 72)  # crops are kept a little larger, so that they can be moved and zoomed
PER_TRACK = 16  # crops of an identity in a camera, spread over time
WORLDS_A_BATCH, PEOPLE_A_BATCH, CROPS = 1, 12, 2  # a process: team mates are the hard negatives
PHRASES, IDENTITY, TEACHER, MAPS = 20.0, 1.0, 10.0, 3.0  # weights of these losses; the caption loss has 1
EMBEDDER = Path(__file__).resolve().parents[1] / "toolkit" / "assets" / "embedder.onnx"
RATE, WEIGHT_DECAY, WARM = 1.5e-3, 0.05, 0.05
KEEP = 64  # patches of 128
AT_ONCE = 12  # crops in one pass: what a core's cache holds
NORM = 4.0  # of projected class tokens and texts, on average
MAX_BYTES = 4_000_000


class People:
    """Crops and attributes of some worlds.

    Attributes:
        images: uint8 RGB [N, 144, 72, 3].
        worlds: of each world, of each of its people (a number), of each camera: rows of `images`.
        attributes: of each person {attribute: words}.
    """

    def __init__(self, folders: list[Path]) -> None:
        images, self.worlds, self.attributes = [], [], []
        for crops in folders:
            truth = read_truth(crops.with_name(crops.name.removesuffix("-crops")) / TRUTH)
            numbers: dict[int, int] = {}
            members: dict[int, list[list[int]]] = {}
            for (identity, _), paths in sorted(tracks_of(crops).items()):
                if identity not in numbers:
                    numbers[identity] = len(self.attributes)
                    told = truth.identities[str(identity)]
                    self.attributes.append({name: str(value) for name, value in told.items()})
                kept = [decode(path.read_bytes()) for path in paths[:: -(-len(paths) // PER_TRACK)]]
                members.setdefault(numbers[identity], []).append(list(range(len(images), len(images) + len(kept))))
                for image in kept:
                    how = cv2.INTER_AREA if image.shape[0] > ROOM[0] else cv2.INTER_LINEAR
                    images.append(cv2.resize(image, ROOM[::-1], interpolation=how))
            self.worlds.append(members)
        self.images = np.stack(images)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, list[int]]:
        """Some people of a few worlds, of each some crops, of different cameras.

        Returns:
            images in 0 to 1 [B, 3, 128, 64], moved and zoomed, their worlds [B], the person each shows.
        """
        rows, worlds, people = [], [], []
        for chosen in rng.choice(len(self.worlds), WORLDS_A_BATCH, replace=False):
            members = self.worlds[chosen]
            for person in rng.choice(sorted(members), min(PEOPLE_A_BATCH, len(members)), replace=False):
                cameras = members[person]
                for camera in rng.permutation(len(cameras))[:CROPS]:
                    rows.append(cameras[camera][rng.integers(len(cameras[camera]))])
                    worlds.append(int(chosen))
                    people.append(int(person))
        return moved(self.images[rows], rng), torch.tensor(worlds), people


def moved(images: np.ndarray, rng: np.random.Generator) -> Tensor:
    """uint8 [B, 144, 72, 3] -> float in 0 to 1 [B, 3, 128, 64]: a random part, zoomed."""
    out = np.empty((len(images), HEIGHT, WIDTH, 3), np.uint8)
    for k, image in enumerate(images):
        h, w = round(ROOM[0] * rng.uniform(0.82, 1)), round(ROOM[1] * rng.uniform(0.82, 1))
        y, x = rng.integers(ROOM[0] - h + 1), rng.integers(ROOM[1] - w + 1)
        out[k] = cv2.resize(image[y : y + h, x : x + w], (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(out).permute(0, 3, 1, 2).float() / 255


def relit(images: Tensor, rng: np.random.Generator) -> Tensor:
    """[B, 3, H, W] in 0 to 1 -> normalised, each lit by a camera of its own."""

    def uniform(channels: int) -> Tensor:
        return torch.from_numpy(rng.uniform(-1, 1, (len(images), channels, 1, 1)).astype(np.float32))

    gain = 1 + GAIN * uniform(1) + CAST * uniform(3)
    return normalise(images * gain) + OFFSET * uniform(3)


def normalise(images: Tensor, mean=CLIP_MEAN, std=CLIP_STD) -> Tensor:
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    return (images - mean) / std


class Teacher:
    """The shipped embedder with its inner maps: of 16 x 8 cells, as the tiny CLIP has patches, and of 8 x 4."""

    CHANNELS = (64, 128)

    def __init__(self) -> None:
        model = onnx.load(str(EMBEDDER))
        ends = [f"/trunk/trunk.{block}/Relu_1_output_0" for block in (5, 7)]
        model.graph.output.extend(onnx.helper.make_tensor_value_info(e, onnx.TensorProto.FLOAT, None) for e in ends)
        self._session = open_session(model.SerializeToString(), threads=1, gpu=False)

    def __call__(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """[B, 3, 128, 64] in 0 to 1 -> unit features [B, 256]; both maps at each patch, standardised [B, 128, C]."""
        fed = normalise(images, IMAGENET_MEAN, IMAGENET_STD).numpy()
        features, *maps = map(torch.from_numpy, self._session.run(None, {"images": fed}))
        fine = [functional.interpolate(m, size=(16, 8)).flatten(2).transpose(1, 2) for m in maps]
        return functional.normalize(features), [(m - m.mean((0, 1))) / (m.std((0, 1)) + 1e-3) for m in fine]


class Words:
    """Token ids of phrases, each tokenised once, and captions made of them."""

    def __init__(self) -> None:
        self.tokenizer = open_clip.SimpleTokenizer(context_length=CONTEXT)
        self.known: dict[str, list[int]] = {}

    def ids(self, text: str) -> list[int]:
        if text not in self.known:
            self.known[text] = self.tokenizer.encode(text)
        return self.known[text]

    def told(self, attributes: dict[str, str], rng: np.random.Generator) -> str:
        """Between two and all of the phrases, in any order or in the template's."""
        parts = phrases(attributes)
        count = rng.integers(2, len(parts) + 1)
        chosen = rng.permutation(len(parts))[:count]
        if rng.random() < 0.5:
            chosen = np.sort(chosen)
        return OPENINGS[rng.integers(len(OPENINGS))].format(", ".join(parts[k] for k in chosen))

    def tokens(self, texts: list[str]) -> Tensor:
        """[N, longest], as `tokenize` gives them, without the columns that are zero for all."""
        first, last = self.tokenizer.sot_token_id, self.tokenizer.eot_token_id
        rows = [[first, *self.ids(text)[: CONTEXT - 2], last] for text in texts]
        return torch.tensor([row + [0] * (max(map(len, rows)) - len(row)) for row in rows])


def see(
    clip: Clip, images: Tensor, keep: int | None, rng: np.random.Generator | None = None
) -> tuple[Tensor, list[Tensor], Tensor]:
    """What the image tower gives for normalised images, of which it sees `keep` random patches or all.

    Returns:
        unit projected class tokens [B, E], the patch tokens after the first and the last block [B, P, W], which patches
        these are [B, P].
    """
    shown, first, last, places = [], [], [], []
    for chunk in images.split(AT_ONCE):
        x = clip.image.tokenise(chunk)
        kept = np.arange(x.shape[1] - 1) if keep is None else np.sort(rng.permutation(x.shape[1] - 1)[:keep])
        x = x[:, [0, *(kept + 1).tolist()]]
        for number, block in enumerate(clip.image.transformer.resblocks):
            x = block(x)
            if not number:
                first.append(x[:, 1:])
        tokens = clip.image.finish(x, x)
        shown.append(tokens.projected[:, 0])
        last.append(tokens.final[:, 1:])
        places.append(torch.from_numpy(kept).expand(len(chunk), -1))
    return functional.normalize(torch.cat(shown), dim=1), [torch.cat(first), torch.cat(last)], torch.cat(places)


def texts_of(clip: Clip, tokens: Tensor) -> Tensor:
    return functional.normalize(clip.text(tokens)[1], dim=1)


class Heads(nn.Module):
    """The scales of the two text losses, and the ways from the tower's tokens to the teacher's. Not shipped."""

    def __init__(self, embed: int, width: int) -> None:
        super().__init__()
        self.to_features = nn.Linear(embed, 256)
        self.to_maps = nn.ModuleList(nn.Sequential(nn.LayerNorm(width), nn.Linear(width, c)) for c in Teacher.CHANNELS)
        self.caption_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.phrase_scale = nn.Parameter(torch.tensor(math.log(10.0)))
        self.phrase_bias = nn.Parameter(torch.tensor(-2.0))


def losses(
    clip: Clip, heads: Heads, words: Words, teacher: Teacher, data: People, rng, keep: int | None
) -> dict[str, Tensor]:
    images, worlds, people = data.batch(rng)
    taught, taught_maps = teacher(images)
    shown, tokens, places = see(clip, relit(images, rng), keep, rng)
    rows = torch.arange(len(images))[:, None]
    apart = [
        functional.mse_loss(head(own), told[rows, places])
        for head, own, told in zip(heads.to_maps, tokens, taught_maps, strict=True)
    ]
    labels, present = torch.tensor(people), sorted(set(people))
    captions = texts_of(clip, words.tokens([words.told(data.attributes[p], rng) for p in present]))
    who, scale = torch.tensor(present), heads.caption_scale.exp().clamp(max=100.0)
    both = [supervised_contrast(scale * shown, captions, labels, who)]
    both.append(supervised_contrast(scale * captions, shown, who, labels))
    own = {p: set(phrases(data.attributes[p])) for p in present}
    every = sorted(set().union(*own.values()))
    single = texts_of(clip, words.tokens(every))
    logits = heads.phrase_scale.exp() * shown @ single.T + heads.phrase_bias
    true = torch.tensor([[phrase in own[p] for phrase in every] for p in people]).float()
    return {
        "caption": (both[0] + both[1]) / 2,
        "phrase": PHRASES * functional.binary_cross_entropy_with_logits(logits, true),
        "identity": IDENTITY * contrast(shown, labels, worlds),
        "features": TEACHER * (1 - functional.cosine_similarity(heads.to_features(shown), taught)).mean(),
        "maps": MAPS * sum(apart),
    }


def train(clip: Clip, data: People, minutes: float, seed: int, here: Parallel, keep_file: Path) -> int:
    """Trains in place for that long, and returns the number of steps."""
    heads, words, teacher = Heads(clip.config.embed, clip.config.width), Words(), Teacher()
    towers = [*clip.image.named_parameters(), *clip.text.named_parameters()]
    decayed = [p for name, p in towers if p.ndim >= 2 and "embedding" not in name]
    others = [p for name, p in towers if p.ndim < 2 or "embedding" in name] + list(heads.parameters())
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}]
    # the table of 49,408 embeddings would cost more than the rest of the step: a small one of the tokens that occur
    rows = occurring(words, data)
    place = torch.zeros(clip.text.token_embedding.num_embeddings, dtype=torch.long)
    place[rows] = torch.arange(len(rows))
    whole = clip.text.token_embedding
    clip.text.token_embedding = nn.Embedding.from_pretrained(whole.weight.detach()[rows].clone(), freeze=False)
    others[:] = [p for p in others if p is not whole.weight] + [clip.text.token_embedding.weight]
    to_places, words.tokens = words.tokens, lambda texts: place[to_places(texts)]  # ids keep their order
    optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98))
    every = decayed + others
    rng = np.random.default_rng([seed, here.rank])
    began, step, sums = time.monotonic(), 0, {}
    while True:
        share = torch.tensor((time.monotonic() - began) / (60 * minutes))
        if here.world > 1:
            dist.broadcast(share, 0)
        share = float(share)
        if share >= 1:
            break
        rate = RATE * (
            min(share / WARM, 1) if share < WARM else 0.5 * (1 + math.cos(math.pi * (share - WARM) / (1 - WARM)))
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
        parts = losses(clip, heads, words, teacher, data, rng, KEEP if share < 0.9 else None)
        optimiser.zero_grad()
        sum(parts.values()).backward()
        if here.world > 1:
            flat = torch.cat([p.grad.flatten() for p in every])
            dist.all_reduce(flat)
            for p, part in zip(every, flat.split([p.numel() for p in every]), strict=True):
                p.grad.copy_(part.view_as(p) / here.world)
        nn.utils.clip_grad_norm_(every, 1.0)
        optimiser.step()
        step += 1
        for name, value in parts.items():
            sums[name] = sums.get(name, 0.0) + float(value.detach())
        if here.first and step % 50 == 0:
            told = ", ".join(f"{name} {value / 50:.3f}" for name, value in sums.items())
            say(f"{share:.0%}, step {step}, rate {rate:.1e}: {told}")
            sums = {}
        if here.first and step % 100 == 0:
            save(clip, rows, keep_file)
    with torch.no_grad():
        whole.weight[rows] = clip.text.token_embedding.weight
    clip.text.token_embedding = whole
    return step


def occurring(words: Words, data: People) -> Tensor:
    """Token ids of all captions, of the numbers 0 to 99, and of the signs that begin and end a text, ascending."""
    texts = {phrase for attributes in data.attributes for phrase in phrases(attributes)}
    texts |= {opening.format(",") for opening in OPENINGS} | {f"number {n}" for n in range(100)}
    found = {token for text in texts for token in words.ids(text)}
    return torch.tensor(sorted(found | {0, words.tokenizer.sot_token_id, words.tokenizer.eot_token_id}))


@torch.no_grad()
def set_norm(clip: Clip, data: People) -> None:
    """Scales both projections, which the losses above leave free, so that features have `NORM`.

    TF-CLIP and CG-CLIP score v . m, without a temperature: a norm stands for one. These features spread over more of
    the sphere than CLIP's, whose norm is about ten; at CLIP's norm label smoothing would pull them apart.
    """
    images = torch.from_numpy(data.images[:: len(data.images) // 256, 8:136, 4:68].copy()).permute(0, 3, 1, 2)
    shown = clip.image(normalise(images.float() / 255)).projected[:, 0]
    told = clip.text(tokenize([caption(one, 0) for one in data.attributes[::8]]))[1]
    clip.image.proj *= NORM / shown.norm(dim=1).mean()
    clip.text.text_projection *= NORM / told.norm(dim=1).mean()


def save(clip: Clip, rows: Tensor, path: Path) -> None:
    """Float16, open_clip's names; of the token embeddings the given rows."""
    state = {f"visual.{name}": value for name, value in clip.image.state_dict().items()} | clip.text.state_dict()
    table = state.pop(EMBEDDING)
    state = {name: value.half().contiguous() for name, value in state.items()}
    state[EMBEDDING] = (table if len(table) == len(rows) else table[rows]).half().contiguous()
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file({**state, ROWS: rows.to(torch.int32)}, temporary)
        size = temporary.stat().st_size
        if size > MAX_BYTES:
            raise SystemExit(f"the weights have {size} bytes, more than {MAX_BYTES}")


@torch.inference_mode()
def evaluate(clip: Clip, folders: list[Path]) -> dict[str, float]:
    """Held-out worlds: the caption of each track's person among its world's, and the class token's mAP, in percent."""
    hits, candidates, features, people, cameras, first = [], [], [], [], [], []
    for number, crops in enumerate(folders):
        data = People([crops])
        members = data.worlds[0]
        texts = texts_of(clip, tokenize([caption(data.attributes[p], 0) for p in sorted(members)]))
        for person in sorted(members):
            for camera, rows in enumerate(members[person]):
                shown = data.images[rows][:, 8:136, 4:68]
                images = normalise(torch.from_numpy(shown.copy()).permute(0, 3, 1, 2).float() / 255)
                feature = functional.normalize(see(clip, images, None)[0].mean(0), dim=0)
                hits.append(int((texts @ feature).argmax()) == sorted(members).index(person))
                candidates.append(len(members))
                features.append(feature)
                people.append(1000 * number + person)
                cameras.append(camera)
                first.append(True)
    scores = score(torch.stack(features), np.array(people), np.array(cameras), np.array(first), "video-reid")
    return {
        "tracks": len(hits),
        "image_to_text_R1": round(100 * float(np.mean(hits)), 2),
        "image_to_text_chance": round(100 * float(np.mean([1 / n for n in candidates])), 2),
        "mAP": round(float(scores.mAP), 2),
        "R1": round(float(scores.cmc[1]), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("baselines/assets/tiny_clip.safetensors"))
    parser.add_argument("--worlds", type=int, default=40, help="of each kind; the one numbered HELD is held out")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0, help="of the random weights that the training starts from")
    parser.add_argument("--weights", default="", help="weights to go on from")
    arguments = parser.parse_args()

    cv2.setNumThreads(0)  # its threads and those of the tower would get in each other's way
    here = start("cpu")
    if here.first:
        for kind in KINDS:
            for n in range(arguments.worlds):
                training_world(arguments.work, kind, n)
    here.barrier()
    folders = {n: [arguments.work / f"{kind}-{n}-crops" for kind in KINDS] for n in range(arguments.worlds)}
    data = People([folder for n, pair in folders.items() if n != HELD for folder in pair])
    before = evaluate(load_clip("tiny", "", HEIGHT, WIDTH, arguments.seed), folders[HELD]) if here.first else {}
    clip = load_clip("tiny", arguments.weights, HEIGHT, WIDTH, arguments.seed)
    steps = train(clip, data, arguments.minutes, arguments.seed, here, arguments.output)
    if here.first:
        set_norm(clip, data)
        save(clip, occurring(Words(), data), arguments.output)
        clip = load_clip("tiny", str(arguments.output), HEIGHT, WIDTH, arguments.seed)
        summary = {
            "train": {"identities": len(data.attributes), "crops": len(data.images)},
            "steps": steps,
            "crops_a_step": WORLDS_A_BATCH * PEOPLE_A_BATCH * CROPS * here.world,
            "minutes": arguments.minutes,
            "started_from": Path(arguments.weights).name or "random weights",
            "held_out": evaluate(clip, folders[HELD]),
            "held_out_random_weights": before,
            "bytes": arguments.output.stat().st_size,
            "machine": describe(),
        }
        write_json(Path(__file__).parent / "results" / "tiny_clip.json", summary)
        print(json.dumps(summary, indent=1))
    stop()


if __name__ == "__main__":
    main()
