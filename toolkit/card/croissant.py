"""Croissant 1.1 metadata (mlcommons.org/croissant) with the responsible-AI fields, as JSON-LD.

    metadata = croissant(Path("dancers"))
    write_json("dancers/croissant.json", metadata)

`reidkit inspect DIR --croissant FILE` writes it; the package `mlcroissant` (the extra `croissant`) finds it valid. What
only the makers know comes from `datasheet.toml`; what nobody said is left out.
"""

from pathlib import Path

import msgspec
import polars as pl

from ...datasets.format import FRAME_SCHEMA, FRAMES, MANIFEST, TRACKLET_OPTIONAL, TRACKLET_SCHEMA, TRACKLETS
from ...datasets.manifest import FIX
from ...datasets.own import read_dataset, reviewed_tables, standings
from ...datasets.rights import counted
from ...datasets.schema import read_json
from .datasheet import Datasheet, read_datasheet

CONFORMS = ["http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0"]
_CROISSANT = (
    "annotation arrayShape citeAs column containedIn equivalentProperty excludes extract field fileProperty fileObject "
    "fileSet format includes isArray isLiveDataset jsonPath key md5 parentField path readLines recordSet references "
    "regex repeated replace samplingRate sdVersion separator source subField transform unArchive value"
)
# The specification's appendix 1.
CONTEXT: dict[str, object] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    **{name: f"cr:{name}" for name in _CROISSANT.split()},
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
}
_TYPES = {pl.String: "sc:Text", pl.Int64: "sc:Integer", pl.Float32: "cr:Float32", pl.Float64: "cr:Float64"}
MEANINGS = {
    "id": "Name of the tracklet.",
    "identity": "The person; -1 is junk, 0 may be a distractor (see kind).",
    "kind": "person, junk or distractor.",
    "camera": "Name of the camera.",
    "event": "Name of the match, rehearsal or recording.",
    "split": "train or test.",
    "role": "train, query or gallery; a query is in the gallery, too.",
    "start": "Seconds from the start of the source.",
    "end": "Seconds from the start of the source.",
    "frames": "Number of crops.",
    "quality": "0 to 1.",
    "truth": "The true identity, where ground truth is there.",
    "outfit": "What the person wears, a name among those of its identity.",
    "fold": "Whose test set of the folds it is in; empty: in that of each.",
    "tracklet": "The tracklet that the crop is of.",
    "frame": "Index of the frame in the source, from 0.",
    "time": "Seconds from the start of the source.",
    "confidence": "Of the identity, or of the box.",
    "sharpness": "Variance of the Laplacian at 128 pixels height.",
    "occlusion": "Share of the box that nearer people cover.",
    "truncation": "Share of the box outside the frame.",
    "shard": "File with the crop's JPEG.",
    "offset": "First byte of the JPEG in that file.",
    "length": "Bytes of the JPEG.",
}


class _Model(msgspec.Struct, frozen=True):
    name: str = ""


class _Settings(msgspec.Struct, frozen=True):
    """What the metadata wants of a build's settings."""

    detector: _Model | None = None
    embedder: _Model | None = None


class _Build(msgspec.Struct, frozen=True):
    settings: _Settings = _Settings()


def croissant(root: Path) -> dict:
    """The metadata of the dataset in folder `root`.

    Raises:
        UsageError: no dataset of ours, a damaged one, or a datasheet.toml that can't be read.
    """
    dataset = read_dataset(root)
    manifest = dataset.manifest
    assert manifest is not None  # of our own format
    sheet = read_datasheet(root)
    settings = read_json(root / MANIFEST, _Build, FIX).settings
    counts = manifest.counts
    there = pl.read_parquet_schema(root / TRACKLETS)
    known = {name: column for name, column in TRACKLET_OPTIONAL.items() if name in there}
    number = {name: counts.get(name, 0) for name in ("identities", "tracklets", "crops", "cameras", "events")}
    description = sheet.description or (
        f"Video person re-identification: {number['identities']} people in {number['tracklets']} tracklets "
        f"({number['crops']} crops) by {number['cameras']} cameras at {number['events']} events, built by reidkit."
    )
    rights, people = standings(root, manifest, reviewed_tables(root)[0])
    number_of = counted(people.values())
    said = [licence for licence in number_of["licence"] if licence != "not said"]
    named = {
        "license": sheet.licence or (said[0] if len(said) == 1 else said),
        "url": sheet.url,
        "datePublished": sheet.published,
        "citeAs": sheet.cite,
        "creator": [{"@type": "Person", "name": name} for name in sheet.creators],
    }
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": dataset.name,
        "description": description,
        "version": sheet.version,
        "keywords": ["person re-identification", "video", "multi-camera"],
        **{key: value for key, value in named.items() if value},
        **_responsible(sheet, settings, manifest.losses, manifest.notes, number_of["consent"] if rights else {}),
        "distribution": _distribution(manifest.files),
        "recordSet": [
            _records("tracklets", TRACKLETS, TRACKLET_SCHEMA | known, "One row a tracklet.", key="id"),
            _records("frames", FRAMES, FRAME_SCHEMA, "One row a crop.", references={"tracklet": "tracklets/id"}),
        ],
    }


def _responsible(
    sheet: Datasheet, settings: _Settings, losses: dict[str, int], notes: tuple[str, ...], consent: dict
) -> dict:
    tools = [
        f"{what}: {model.name}"
        for what, model in (("person detector", settings.detector), ("re-identification embedder", settings.embedder))
        if model is not None and model.name
    ]
    left_out = ", ".join(f"{name.replace('_', ' ')}: {number}" for name, number in losses.items() if number)
    fields: dict[str, object] = {
        "dataCollection": sheet.collection or "Video by several cameras, of the events that the events' names say.",
        "dataCollectionType": ["Video recording"],
        "dataCollectionMissingData": f"Counted by the build: {left_out}." if left_out else "",
        "dataPreprocessingProtocol": [
            "People are detected and tracked in each video; crops are cut at native size, near-duplicates thinned.",
            "Tracklets in which a person changes are cut; whole events, or identities, go to train or test.",
        ],
        "dataAnnotationProtocol": [
            "Identities are proposed by linking tracklets by looks, time and place; decisions.jsonl holds what people "
            "decided about the proposals."
        ],
        "machineAnnotationTools": tools,
        "dataBiases": [sheet.biases] if sheet.biases else [],
        "dataLimitations": list(notes),
        "dataUseCases": [sheet.purpose or "Training and testing of video person re-identification."],
        "dataSocialImpact": sheet.impact,
        "personalSensitiveInformation": [
            "Pictures of identifiable people.",
            *([f"Consent: {sheet.consent}"] if sheet.consent else []),
            *([f"Consent of people: {', '.join(f'{n} {name}' for name, n in consent.items())}."] if consent else []),
        ],
        "dataReleaseMaintenancePlan": sheet.maintenance,
    }
    return {f"rai:{name}": value for name, value in fields.items() if value}


def _distribution(files: dict[str, str]) -> list[dict]:
    types = {".parquet": "application/vnd.apache.parquet", ".tar": "application/x-tar", ".csv": "text/csv"}
    listed = [
        {
            "@type": "cr:FileObject",
            "@id": name,
            "name": name,
            "contentUrl": name,
            "encodingFormat": types.get(Path(name).suffix, "application/octet-stream"),
            "sha256": digest,
        }
        for name, digest in files.items()
    ]
    shards = [{"@id": name} for name in files if name.endswith(".tar")]
    if not shards:
        return listed
    crops = {
        "@type": "cr:FileSet",
        "@id": "crops",
        "name": "crops",
        "description": "JPEG crops, <tracklet>/<frame>.jpg inside the shards.",
        "containedIn": shards,
        "encodingFormat": "image/jpeg",
        "includes": "*/*.jpg",
    }
    return [*listed, crops]


def _records(name: str, file: str, columns: dict, words: str, *, key: str = "", references: dict | None = None) -> dict:
    fields = []
    for column, declared in columns.items():
        field = {
            "@type": "cr:Field",
            "@id": f"{name}/{column}",
            "name": column,
            "description": MEANINGS.get(column, "Box in pixels of the source."),
            "dataType": _TYPES[declared.dtype],
            "source": {"fileObject": {"@id": file}, "extract": {"column": column}},
        }
        if references and column in references:
            field["references"] = {"field": {"@id": references[column]}}
        fields.append(field)
    keys = {"key": {"@id": f"{name}/{key}"}} if key else {}
    return {"@type": "cr:RecordSet", "@id": name, "name": name, "description": words, **keys, "field": fields}
