"""Contact sheets of a dataset: a row for each identity, a column for each camera, several crops in each cell.

    pages = write_sheets(Path("out/dancers"), Path("dancers.jpg"), tracklets, frames, identities)

A figure of confidence below `DOUBTFUL` is written in red, and the identity that may be the same person is named.
What does not fit on the page that the user named goes on to NAME-2, NAME-3, …. Those carry a mark in their metadata:
only a picture with that mark is ever replaced or deleted.
"""

import itertools
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from ..datasets import UsageError
from ..datasets.files import atomic_path
from ..datasets.images import crop
from ..datasets.tracklet import Frames

CROP = (64, 128)  # width, height in pixels
CROPS = 5  # in a cell
LABEL = 190
ROWS = 24  # on a page
GAP = 6
MARK = "reidkit contact sheet, further page"
BACKGROUND, INK, FAINT, LINE = (250, 250, 248), (30, 30, 34), (120, 120, 124), (218, 218, 214)
RED = (196, 30, 30)
DOUBTFUL = 0.8
LIKELY = 0.2  # a pair of identities less likely to be one person is not named


def write_sheets(
    root: Path,
    target: Path,
    tracklets: pl.DataFrame,
    frames: pl.DataFrame,
    identities: pl.DataFrame | None = None,
    *,
    own_folder: bool = False,
) -> list[Path]:
    """Writes the sheet to `target`, and further pages beside it as NAME-2, NAME-3, …

    Further pages of an earlier sheet of that name are replaced, or deleted where the new sheet has fewer.

    Args:
        root: the dataset's folder, below which the shards lie.
        tracklets, frames: its tables. identities: how sure the build is of each, where it says so.
        own_folder: the folder is the build's, so that whatever bears the name of a further page is one.

    Returns:
        The pages, in order: for each event its identities by number, then what is junk.

    Raises:
        UsageError: the name of a further page is taken by something else; nothing was written.
    """
    rows = _rows(tracklets)
    cameras = {
        event: sorted(set(part["camera"].to_list()))
        for (event,), part in tracklets.group_by(["event"], maintain_order=True)
    }
    by_id = {name: part for (name,), part in frames.group_by(["tracklet"], maintain_order=True)}
    sure = {} if identities is None else {row["identity"]: row for row in identities.iter_rows(named=True)}
    starts = range(0, max(len(rows), 1), ROWS)
    pages = [target, *(_further_page(target, number) for number in range(2, len(starts) + 1))]
    for path in pages[1:]:
        if path.exists() and not (own_folder or _is_further_page(path)):
            raise UsageError(
                f"The sheet has {len(pages)} pages, and '{path}' is there already and is no page of a contact sheet. "
                "Give the sheet another name, or move that file away."
            )
    for path, start in zip(pages, starts, strict=True):
        image = _page(root, rows[start : start + ROWS], cameras, by_id, sure)
        with atomic_path(path) as temporary:
            _save(image, temporary, target.suffix.lower() == ".png", further=path != target)
    for number in itertools.count(len(pages) + 1):
        left = _further_page(target, number)
        if not left.is_file():
            break
        if own_folder or _is_further_page(left):
            left.unlink()
    return pages


def _further_page(target: Path, number: int) -> Path:
    return target.with_name(f"{target.stem}-{number}{target.suffix}")


def _save(image: Image.Image, path: Path, png: bool, further: bool) -> None:
    if png:
        info = PngImagePlugin.PngInfo()
        if further:
            info.add_text("comment", MARK)
        image.save(path, "PNG", pnginfo=info)
    else:
        image.save(path, "JPEG", quality=88, **({"comment": MARK} if further else {}))


def _is_further_page(path: Path) -> bool:
    """Whether `_save` wrote it as a page after the first."""
    try:
        with Image.open(path) as image:
            comment = image.info.get("comment", "")
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
    return comment in (MARK, MARK.encode())


def _rows(tracklets: pl.DataFrame) -> list[tuple[str, int | None, pl.DataFrame]]:
    """(event, identity or None for junk, its tracklets)."""
    rows = []
    for event in sorted(set(tracklets["event"].to_list())):
        part = tracklets.filter(event=event)
        people = part.filter(kind="person")
        identities = sorted(set(people["identity"].to_list()))
        rows += [(event, identity, people.filter(identity=identity)) for identity in identities]
        junk = part.filter(pl.col("kind") != "person")
        if len(junk):
            rows.append((event, None, junk))
    return rows


def _page(
    root: Path,
    rows: list[tuple[str, int | None, pl.DataFrame]],
    cameras: dict[str, list[str]],
    by_id: dict[str, pl.DataFrame],
    sure: dict[int, dict],
) -> Image.Image:
    cell = CROPS * CROP[0] + GAP
    columns = max((len(cameras[event]) for event, _, _ in rows), default=1)
    heads = [i for i, row in enumerate(rows) if i == 0 or row[0] != rows[i - 1][0]]
    head, height = 26, CROP[1] + GAP
    image = Image.new("RGB", (LABEL + columns * cell + GAP, len(rows) * height + len(heads) * head + GAP), BACKGROUND)
    draw = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(17), ImageFont.load_default(12)
    y = GAP
    for i, (event, identity, part) in enumerate(rows):
        if i in heads:
            draw.text((GAP, y + 3), event, fill=INK, font=large)
            for c, camera in enumerate(cameras[event]):
                draw.text((LABEL + c * cell, y + 5), camera, fill=INK, font=small)
            y += head
        draw.line((GAP, y - GAP // 2, image.width - GAP, y - GAP // 2), fill=LINE)
        title = "junk" if identity is None else f"{identity}"
        draw.text((GAP, y + 4), title, fill=INK if identity is not None else FAINT, font=large)
        lines = [(f"{len(part)} tracklets, {part['frames'].sum()} crops", FAINT)]
        if identity is not None:
            lines += [(part["split"][0], FAINT), *_confidence(part, sure.get(identity))]
        for k, (line, colour) in enumerate(lines):
            draw.text((GAP, y + 30 + 16 * k), line, fill=colour, font=small)
        for c, camera in enumerate(cameras[event]):
            here = part.filter(camera=camera)
            for k, picture in enumerate(_crops(root, here, by_id)):
                image.paste(picture, (LABEL + c * cell + k * CROP[0], y))
            if len(here) > 1:
                draw.text((LABEL + c * cell + 3, y + CROP[1] - 16), f"x{len(here)}", fill=(255, 255, 255), font=small)
        y += height
    return image


def _confidence(part: pl.DataFrame, sure: dict | None) -> list[tuple[str, tuple[int, int, int]]]:
    """Lines and their colours: of an identity, and of its least sure tracklet."""
    least = part["confidence"].min()
    figures = [] if sure is None else [("pure", sure["pure"]), ("whole", sure["whole"])]
    figures += [] if least is None else [("tracklets from", least)]
    lines = [(f"{name} {value:.2f}", RED if value < DOUBTFUL else FAINT) for name, value in figures]
    if sure is not None and sure["twin"] is not None and sure["same"] >= LIKELY:
        lines.append((f"or one with {sure['twin']}: {sure['same']:.2f}", RED))
    return lines


def _crops(root: Path, part: pl.DataFrame, by_id: dict[str, pl.DataFrame]) -> list[Image.Image]:
    """Up to CROPS images of some tracklets: as many of the tracklets as fit, and times spread over each."""
    ids = part.sort(["frames", "id"], descending=[True, False])["id"].to_list()[:CROPS]
    share = [CROPS // len(ids) + (i < CROPS % len(ids)) for i in range(len(ids))] if ids else []
    found = []
    for name, count in zip(ids, share, strict=True):
        table = by_id[name]
        for row in np.unique(np.linspace(0, len(table) - 1, count).round().astype(int)).tolist():
            frames = Frames((f"{root}/{table['shard'][row]}",), (table["offset"][row],), (table["length"][row],))
            found.append(_fit(crop(frames, 0)))
    return found


def _fit(pixels: np.ndarray) -> Image.Image:
    """The crop inside CROP pixels, its sides' ratio kept."""
    image = Image.fromarray(pixels)
    scale = min((CROP[0] - 1) / image.width, CROP[1] / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    canvas = Image.new("RGB", CROP, BACKGROUND)
    canvas.paste(image.resize(size, Image.Resampling.BILINEAR), ((CROP[0] - size[0]) // 2, (CROP[1] - size[1]) // 2))
    return canvas
