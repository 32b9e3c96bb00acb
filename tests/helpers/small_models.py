"""Models of the zoo, so small that one is traced in a second, with made-up weights and clips."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from reidkit.baselines import resnet50
from reidkit.datasets import Tracklet
from reidkit.datasets.folder import read_folder
from reidkit.training import zoo
from reidkit.training.model import build
from reidkit.training.recipe import Recipe, to_dict
from reidkit.training.run_folder import RunFacts, TrainedOn, save_checkpoint, write_facts

CLASSES, CAMERAS = 5, 3
# A ResNet-50 that trains in seconds.
RESNET = resnet50.RECIPES["tiny"].changed(
    backbone_width=4,
    frames=2,
    test_frames=2,
    height=32,
    width=16,
    pad=2,
    identities=3,
    tracklets=2,
    epochs=2,
    warmup_epochs=0,
)


def small(name: str) -> tuple[nn.Module, Recipe]:
    """A model in test mode. What starts at zero doesn't stay there, so that every part counts."""
    base = zoo.recipe(name, "tiny").changed(pretrained="", height=64)
    sizes = {"width": 32} if hasattr(base, "backbone") else {"width": 40, "backbone_width": 8}
    recipe = base.changed(**sizes)
    torch.manual_seed(0)
    model = build(zoo.module(name), recipe, CLASSES, CAMERAS)
    for parameter in model.parameters():
        if not parameter.detach().any():
            nn.init.normal_(parameter, std=0.1)
    return model.eval(), recipe


def run_of(folder: Path, name: str) -> Path:
    """The folder of a finished run of the model."""
    model, recipe = small(name)
    facts = RunFacts("", name, "tiny", to_dict(recipe), CLASSES, CAMERAS, TrainedOn("made-up", ""))
    write_facts(folder, facts)
    save_checkpoint(folder, model, None, 1)
    return folder


def clips(folder: Path, people: int = 4, frames: int = 6) -> tuple[Tracklet, ...]:
    """Tracklets of smooth random pictures, seen by `CAMERAS` cameras."""
    for person in range(people):
        (folder / str(person)).mkdir(parents=True)
        for frame in range(frames):
            pixels = np.random.default_rng([person, frame]).integers(0, 256, (6, 3, 3), dtype=np.uint8)
            cv2.imwrite(str(folder / str(person) / f"{frame}.png"), cv2.resize(pixels, (32, 64)))
    return tuple(dataclasses.replace(t, camera=i % CAMERAS) for i, t in enumerate(read_folder(folder)))
