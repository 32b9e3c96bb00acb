"""What `parity.py` compares of each model: arrays by the names of the golden files, computed by our model.

`ARRAYS[name](golden)` gives a model's arrays; a model that has no function there is compared by its features alone.
`X` is compared with the array `X` of the golden file, or with `X/stat`: mean, standard deviation and the first eight
values, which are the same in whatever order the leading axes come.
"""

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from golden import Golden, float64  # beside this file
from torch import Tensor, nn

from reidkit.baselines import clipreid as clipreid_model
from reidkit.baselines import tfclip as tfclip_model
from reidkit.baselines import vslaclip as vslaclip_model
from reidkit.baselines.ap3d import NonLocal
from reidkit.baselines.bicnet import frame_maxima
from reidkit.baselines.clip import tokenize
from reidkit.baselines.sinet import GROUP
from reidkit.baselines.stmn import spread_loss
from reidkit.training.losses import (
    batch_hard_triplet,
    combine,
    euclidean_distances,
    smoothed_cross_entropy,
    supervised_contrast,
)


def features(golden: Golden) -> dict[str, Tensor]:
    """The feature of each clip length, under its name in the golden file."""
    model = golden.model()
    return {
        f"feature{golden.ending(frames)}": model.embed(golden.clips(frames), golden.cameras)
        for frames in golden.lengths
    }


def tfclip(golden: Golden) -> dict[str, Tensor]:
    """Towers, TMD, SSP with a made-up memory, scores and losses."""
    model, cameras = golden.model(), golden.cameras
    found = {}
    places = {f"vit_block{i}": f"image.transformer.resblocks.{i}" for i in (0, 5, 10, 11)}
    places |= {"vit_ln_pre": "image.ln_pre", "vit_ln_post": "image.ln_post", "TMD_message_fc": "tmd.message_fc"}
    places |= {"TMD_message_attn": "tmd.message_attn", "TMD_out": "tmd.block"}
    places |= {"TMD_tokens_before_attention": "tmd.block:input"}
    for frames in golden.lengths:
        clips = golden.clips(frames)
        with golden.record(model, places) as arrays:
            features, video, of_frames = model.features(clips, cameras)
        classes = arrays["vit_ln_post"][:, 0]
        arrays |= {"frame_cls_768": classes, "frame_cls_512": classes @ model.image.proj}
        frozen = model.image(clips.flatten(0, 1)).projected[:, 0]
        arrays["get_image_512"] = frozen.unflatten(0, (-1, frames)).mean(1)
        found |= {f"T{frames}/{name}": value for name, value in arrays.items()}
        found[f"feature{golden.ending(frames)}"] = torch.cat(list(features.values()), dim=1)
        if frames != golden.first:
            continue
        memory = golden.fill("clip_memory", (10, features["projection"].shape[1]))
        inner = {"ssp_visual_in": "ssp.video_in:input", "ssp_memory_proj": "ssp.video_in"}
        inner |= {"ssp_decoder0": "ssp.layers.0", "ssp_out": "ssp"}
        with golden.record(model, inner) as prompt:
            found["v2m_logits"] = model.memory_logits(features["projection"], video, memory)
        found |= prompt
        found["cls_score_768"] = model.necks["image"](features["image"])
        found["cls_score_512"] = model.necks["projection"](features["projection"])
        found["cls_score_tmd_clip"] = model.necks["clip"](features["clip"])
        found["cls_score_tmd_frame"] = model.necks["clip"].classifier(model.frame_norm(of_frames.flatten(0, 1)))
    return found | tfclip_losses(golden.seed)


def tfclip_losses(seed: int) -> dict[str, Tensor]:
    """The losses on the golden files' made-up features and scores: 2 identities x 2 clips of 4 frames."""
    rng = np.random.Generator(np.random.PCG64(2000 + seed))
    shapes = [(4, 768), (4, 512), (4, 768), (4, 10), (4, 10), (4, 10), (4, 10), (16, 10)]
    drawn = [torch.from_numpy(rng.standard_normal(shape).astype(np.float32)) for shape in shapes]
    names, labels, recipe = ("image", "projection", "clip"), torch.tensor([0, 0, 1, 1]), tfclip_model.RECIPES["full"]
    features, logits = dict(zip(names, drawn[:3], strict=True)), dict(zip(names, drawn[3:6], strict=True))
    output = tfclip_model.training_output(features, logits, drawn[6], drawn[7], labels, recipe.label_smoothing)
    total, parts = combine(output, labels, recipe)
    distances, same = euclidean_distances(features["image"]), labels[:, None] == labels[None, :]
    return {
        "loss_triplet": batch_hard_triplet(features["image"], labels, recipe.triplet_margin),
        "loss_triplet_dist_ap": distances.masked_fill(~same, 0).amax(1),
        "loss_triplet_dist_an": distances.masked_fill(same, torch.inf).amin(1),
        "loss_ce_smooth": smoothed_cross_entropy(logits["image"], labels, recipe.label_smoothing),
        "loss_stage2_part1": total - parts["frames"],
        "loss_frame": 4 * parts["frames"],
        "loss_stage2_total": total,
    }


def clipreid(golden: Golden) -> dict[str, Tensor]:
    """One image a clip: towers, prompts, scores, both contrasts."""
    model, clips, cameras = golden.model(), golden.clips(1), golden.cameras
    places = {f"vit_block{i}": f"image.transformer.resblocks.{i}" for i in (0, 5, 10, 11)}
    places |= {"vit_ln_pre": "image.ln_pre", "vit_ln_post": "image.ln_post"}
    with golden.record(model, places) as arrays:
        features = model.clip_features(clips, cameras)
    arrays["feature"] = torch.cat([features["image"], features["projection"]], dim=1)
    arrays["feature_after_bn"] = torch.cat([neck.norm(features[name]) for name, neck in model.necks.items()], dim=1)
    arrays["cls_score_768"] = model.necks["image"](features["image"])
    arrays["cls_score_512"] = model.necks["projection"](features["projection"])
    arrays["img_feature_last"] = features["penultimate"]
    with golden.record(model, {"text_transformer": "text.transformer", "text_ln_final": "text.ln_final"}) as text:
        text["prompts"], ends = model.prompts(torch.arange(2))
        text["text_features"] = model.text.from_embeddings(text["prompts"], ends)[1]
    arrays |= text
    tokens = model.image(clips[:, 0])
    arrays["feature_no_sie"] = torch.cat([tokens.final[:, 0], tokens.projected[:, 0]], dim=1)
    arrays["get_image_512"] = model.stage1_features(clips[:, 0])
    arrays["tokenized_prompt"] = tokenize([clipreid_model.TEMPLATE])[0, :16]
    rng = np.random.Generator(np.random.PCG64(2000 + golden.seed))
    words, images = (torch.from_numpy((0.5 * rng.standard_normal((4, 64))).astype(np.float32)) for _ in range(2))
    labels = torch.tensor([0, 0, 1, 1])
    arrays["supcon_i2t"] = supervised_contrast(images, words, labels, labels)
    arrays["supcon_t2i"] = supervised_contrast(words, images, labels, labels)
    return arrays


def vslaclip(golden: Golden) -> dict[str, Tensor]:
    """Towers with adapters, prompts, and the variant with a camera prompt where `golden.variants`."""
    block = "image.transformer.resblocks."
    places = {f"vit_block{i}": f"{block}{i}" for i in (0, 5, 10, 11)} | {"vit_ln_pre": "image.ln_pre"}
    places |= {"block0_cross_down": f"{block}0.across.down", "block0_cross": f"{block}0.across"}
    places |= {"block0_cross_temporal": f"{block}0.across.attn", "block0_dat": f"{block}0.adapter"}
    found = {}

    def run(model: nn.Module, frames: int, prefix: str, feature: str) -> None:
        with golden.record(model, places) as arrays:
            tokens = {"features_768": "image.ln_post"}
            with golden.record(model, tokens) as last:
                found[feature] = model.embed(golden.clips(frames), golden.cameras)
        classes = last["features_768"][:, 0]
        arrays |= {"frame_features_768": classes, "frame_features_512": classes @ model.image.proj}
        found.update({f"{prefix}/{name}": value for name, value in arrays.items()})

    if golden.variants:
        extra = golden.meta["state_dict_pbp_extra"]
        run(golden.model("camera_prompt=true", extra=extra), 8, "T8_pbp", "feature_pbp")
    model = golden.model()
    for frames in golden.lengths:
        run(model, frames, f"T{frames}", f"feature{golden.ending(frames)}")
    found["prompts"], ends = model.prompts(torch.arange(2))
    found["text_features"] = model.text.from_embeddings(found["prompts"], ends)[1]
    found["get_image_512"] = model.stage1_features(golden.clips(8).flatten(0, 1)).unflatten(0, (2, 8)).mean(1)
    found["tokenized_prompt"] = tokenize([vslaclip_model.TEMPLATE])[0, :32]
    return found


def ap3d(golden: Golden) -> dict[str, Tensor]:
    """Also `ap3d_nl`: stages, and the first AP-P3D-C in parts."""
    model = golden.model()
    places = {f"layer{i}": f"backbone.layer{i}.{len(stage) - 1}" for i, stage in enumerate(model.backbone.stages, 1)}
    places |= {"maxpool": "backbone.maxpool", "layer2.0": "backbone.layer2.0"}
    places |= {"layer2.0.conv2": "backbone.layer2.0.conv2"}
    places |= {"layer2.0.conv2.spatial": "backbone.layer2.0.conv2.spatial_conv"}
    places |= {"triples": "backbone.layer2.0.conv2.temporal_conv:input"}
    places |= {"temporal": "backbone.layer2.0.conv2.temporal_conv"}
    if isinstance(model.backbone.layer2[2], NonLocal):
        places["layer2.2_nonlocal"] = "backbone.layer2.2"
    found = {}
    for frames in golden.lengths:
        with golden.record(model, places) as arrays:
            features = model.frame_features(golden.clips(frames))
        width = arrays["layer2.0.conv2"].shape[3]
        # [B, T, P, 3 C] -> [B, C, 3 T, P / W, W] and the same without the 3
        triples = arrays.pop("triples").unflatten(-1, (3, -1)).permute(0, 4, 1, 3, 2)
        arrays["layer2.0.conv2.APM"] = triples.flatten(2, 3).unflatten(-1, (-1, width))
        arrays["layer2.0.conv2.temporal"] = arrays.pop("temporal").permute(0, 3, 1, 2).unflatten(-1, (-1, width))
        arrays["frame_features"] = features
        found |= {f"T{frames}/{name}": value for name, value in arrays.items()}
        ending = golden.ending(frames)
        found[f"clip_before_bn{ending}"] = features.mean(1)
        found[f"feature{ending}"] = model.neck.norm(features.mean(1))
    return found


def bicnet(golden: Golden) -> dict[str, Tensor]:
    """Both branches' stages, cross-scale paths, TKS, DAO and its attentions."""
    model, clips = golden.model(), golden.clips(8)
    found, calls = {}, {}
    hooks = [
        stage.register_forward_hook(lambda module, inputs, output, i=i: calls.setdefault(i, []).append(output))
        for i, stage in enumerate(model.backbone.stages, 1)
    ]
    places = {f"layer{i + 1}_h2l": f"paths.{i}" for i in range(len(model.paths))}
    try:
        with golden.record(model, places | {"maxpool": "backbone.maxpool", "TKS": "tks", "DAO": "dao"}) as arrays:
            high, low, masks = model.branches(clips)
    finally:
        for hook in hooks:
            hook.remove()
    for i, (of_high, of_low) in calls.items():
        found |= {f"layer{i}_high": of_high, f"layer{i}_low": of_low}
    found["TKS_high"], found["TKS_low"] = arrays.pop("TKS")
    found["DAO_high"], found["DAO_low"] = arrays.pop("DAO")[:2]
    found |= arrays | {f"DAO_mask{i}": mask for i, mask in enumerate(masks)}
    found |= {"pooled_high": frame_maxima(high), "pooled_low": frame_maxima(low)}
    pooled = model.pool(high, low, len(clips))
    return {f"T8/{k}": v for k, v in found.items()} | {"clip_before_bn": pooled, "feature": model.neck.norm(pooled)}


def psta(golden: Golden) -> dict[str, Tensor]:
    """Backbone, the three levels and their attentions."""
    model = golden.model()
    places = {"backbone": "backbone", "down_channel": "reduce"}
    for level in range(3):
        theirs, ours = f"layer{level + 1}", f"stages.{level}"
        places |= {theirs: ours, f"{theirs}.Embeding": f"{ours}.embedding"}
        places |= {f"{theirs}.TRAG": f"{ours}.tra", f"{theirs}.SRAG": f"{ours}.conv:input"}  # theirs adds TRAG
    found = {}
    for frames in golden.lengths:
        with golden.record(model, places) as arrays:
            vectors = model.level_vectors(golden.clips(frames))
        ending = golden.ending(frames)
        for level, vector in enumerate(vectors, 1):
            found[f"level{level}_before_bn{ending}"] = vector
            arrays[f"level{level}_after_bn"] = model.necks[level - 1].norm(vector)
        found[f"feature{ending}"] = arrays["level3_after_bn"]
        found |= {f"T{frames}/{name}": value for name, value in arrays.items()}
    return found


def stmn(golden: Golden) -> dict[str, Tensor]:
    """The three last stages, both memories, and the feature with and without the mirror image."""
    places = {"layer3": "backbone.layer3", "layer4_val": "value", "layer4_key_s": "spatial_query"}
    places |= {"key_t": "temporal_query", "smem_read_after_bn": "spatial_memory.norm", "lstm": "temporal_memory.lstm"}
    found = {}
    for frames in golden.lengths:
        model = golden.model_for(frames)
        clips = golden.clips(frames)
        with golden.record(model, places) as arrays:
            vectors, clip_vectors, spatial, temporal = model.remember(clips)
        arrays["key_t_pooled"] = arrays.pop("key_t").mean((2, 3))
        arrays["lstm_output"] = arrays.pop("lstm")[0].transpose(0, 1)
        arrays |= {"smem_out": vectors.flatten(0, 1), "tmem_out": clip_vectors}
        arrays |= {"smem_mem_trip": spread_loss(spatial, 0.3), "tmem_mem_trip": spread_loss(temporal, 0.3)}
        found |= {f"T{frames}/{name}": value for name, value in arrays.items()}
        ending = golden.ending(frames)
        plain = model.temporal_neck.norm(clip_vectors)
        found[f"feature_noflip{ending}"] = plain
        found[f"feature{ending}"] = (plain + model.embed(clips.flip(-1), golden.cameras)) / 2
    return found


def sinet(golden: Golden) -> dict[str, Tensor]:
    """Every block of the second and third stage, and how near SBM's threshold a channel comes."""
    places = {"maxpool": "backbone.maxpool"}
    places |= {f"layer2.{i}": f"backbone.layer2.{i}" for i in range(6)}
    places |= {f"layer3.{i}": f"backbone.layer3.{i}" for i in range(9)}
    places |= {"layer1": "backbone.layer1.2", "layer2": "backbone.layer2.5", "layer3": "backbone.layer3.8"}
    places |= {"layer4": "backbone.layer4.2"}
    places |= {f"sbm{i}": f"backbone.layer3.{i}:input" for i in (2, 5, 8)}
    found = {}
    for frames in golden.lengths:
        model = golden.model_for(frames)
        with golden.record(model, places) as arrays:
            vectors = model.frame_vectors(golden.clips(frames))
        features = model.neck.norm(vectors.flatten(0, 1)).view_as(vectors)
        for i in (2, 5, 8):
            entering = arrays.pop(f"sbm{i}").unflatten(0, (-1, GROUP))
            margin = (model.backbone.layer3[i].contrast(entering) - 1).abs().min()
            arrays[f"layer3.{i}_threshold_margin"] = margin[None]
        # theirs has the channels before the frames
        arrays = {k: v.unflatten(0, (-1, frames)).transpose(1, 2) if v.ndim == 4 else v for k, v in arrays.items()}
        arrays["frame_features_after_bn"] = features.transpose(1, 2)
        found |= {f"T{frames}/{name}": value for name, value in arrays.items()}
        found[f"feature{golden.ending(frames)}"] = features.mean(1)
    return found


ARRAYS: dict[str, Callable[[Golden], dict[str, Tensor]]] = {
    "tfclip": tfclip,
    "clipreid": clipreid,
    "vslaclip": vslaclip,
    "ap3d": ap3d,
    "ap3d_nl": ap3d,
    "bicnet": bicnet,
    "psta": psta,
    "stmn": stmn,
    "sinet": sinet,
}


# an unscaled softmax magnifies float32's rounding, by how much depends on the processor
IN_FLOAT64 = ("ap3d_nl",)


def compute(golden: Golden) -> dict[str, Tensor]:
    """Every array that our side can give."""
    with torch.inference_mode(), float64() if golden.name in IN_FLOAT64 else nullcontext():
        return ARRAYS.get(golden.name, features)(golden)
