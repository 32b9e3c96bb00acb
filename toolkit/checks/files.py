"""Files: what the manifest lists is there with its bytes, the tables fit together, and the counts are theirs."""

from collections.abc import Iterator

from ...datasets.files import sha256_file
from ...datasets.own import read_tables
from ..manifest import counts
from .material import Material, Problem


def checksums(material: Material) -> Iterator[Problem]:
    """Every file that the manifest lists has the bytes that were built."""
    manifest = material.manifest
    for name, digest in manifest.files.items() if manifest is not None else ():
        path = material.root / name
        try:
            found = sha256_file(path) if path.is_file() else None
        except OSError as error:
            yield Problem("checksums", f"'{name}' can't be read ({error.strerror}).")
            continue
        if found is None:
            yield Problem("checksums", f"'{name}' is missing.")
        elif found != digest:
            yield Problem("checksums", f"'{name}' has other bytes than when it was built.")


def fingerprint(material: Material) -> Iterator[Problem]:
    """The tables fit together, and are those of the manifest's fingerprint."""
    manifest = material.manifest
    if manifest is None or material.tracklets is None or material.frames is None:
        return
    dataset = material.read("structure", lambda: read_tables(material.root, manifest))
    if dataset is not None and dataset.fingerprint != manifest.fingerprint:
        yield Problem("fingerprint", "The fingerprint of the tables isn't the manifest's.")


def manifest_counts(material: Material) -> Iterator[Problem]:
    """The manifest counts what the tables hold."""
    if material.manifest is None or material.tracklets is None:
        return
    stated = material.manifest.counts
    for name, value in counts(material.tracklets).items():
        if name in stated and stated[name] != value:
            yield Problem(
                "counts", f"The manifest counts {stated[name]} {name.replace('_', ' ')}, the tables have {value}."
            )


def sources(material: Material) -> Iterator[Problem]:
    """Footage that was given twice, as two cameras or two events: every identity of it is there twice."""
    first: dict[str, str] = {}
    for source in material.manifest.sources if material.manifest is not None else ():
        key = f"{source.event}/{source.camera}"
        twin = first.setdefault(source.sha256 or key, key)
        if twin != key:
            yield Problem(
                "one video twice",
                f"'{twin}' and '{key}' are the same footage, to the byte. Take one of them out and build again.",
            )
