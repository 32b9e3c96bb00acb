"""A user's own model file: executed once, known by its content, and named where it is at fault.

    module = load(Path("my_model.py"))
    source_of(module)                 # Source("sha256:…", file): belongs to the identity of what the model computed
    with user_faults():
        model(clips, cameras, labels)     # an error that comes from the file is told as the file's

A file is executed again only when its content is another: two looks at one file give one module, so that
`isinstance(recipe, MyRecipe)` holds in its `build`.
"""

import ast
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ..datasets import ReidkitError, UsageError
from ..datasets.files import sha256_file
from ..datasets.schema import read_bytes
from ..datasets.text import printable
from .model import DOCUMENT
from .recipe import Recipe


@dataclass(frozen=True)
class Source:
    """What a model's code was.

    Attributes:
        mark: "sha256:…" of a user's file, with "+…" over what it imports from its own folder; "version 1" of a model
            of ours, which declares it (`ModelInfo.version`).
        file: the user's file; None for ours.

    A user edits a file between two runs, so its content decides; that a comment counts, too, costs one training more.
    Most edits of our models change no figure (words, types, a module that moves), and a digest would make every stored
    result stale with each release; a change that does change figures raises the version and stands in CHANGELOG.md.
    """

    mark: str
    file: Path | None = None


_loaded: dict[tuple[Path, str], ModuleType] = {}
_sources: dict[str, Source] = {}  # by the module's name
_files: set[str] = set()  # of users' code, as tracebacks name them


def load(path: Path) -> ModuleType:
    """The file as a module. It imports from `reidkit.…`; files beside it are found where Python's path leads to them.

    Raises:
        UsageError: it is absent, stops with an error, or is no model; the line is named.
    """
    fix = "Give the path of a .py file, or a name of `reidkit models`."
    if not path.exists():
        raise UsageError(f"There is no model file '{path}'. {fix}")
    content = read_bytes(path, fix)
    place, digest = path.resolve(), hashlib.sha256(content).hexdigest()
    if (place, digest) not in _loaded:
        own = hashlib.sha256(f"{place} {digest}".encode()).hexdigest()[:12]
        _loaded[place, digest] = _execute(place, content, f"reidkit_user_{path.stem}_{own}")
    return _loaded[place, digest]


def source_of(module: ModuleType) -> Source:
    """What identifies the code of a model, a user's or ours."""
    return _sources.get(module.__name__) or Source(f"version {module.INFO.version}")


@contextmanager
def user_faults(model: object = None) -> Iterator[None]:
    """Tells an error that a user's file raised inside as one of that file; serves as a decorator, too.

    Args:
        model: that is at work inside. If its class is a user's, an error that came through no line of the file is told
            as the model's as well: a gradient that can't be computed, a buffer that can't be saved.

    Raises:
        UsageError: in place of any error but our own, and of `sys.exit`, that came through a user's file: the file, its
            line and function, and what was said there.
    """
    try:
        yield
    except ReidkitError:
        raise
    except (Exception, SystemExit) as error:
        source = _sources.get(type(model).__module__)
        if place := _place(error) or (f"{type(model).__name__} of '{source.file}'" if source else ""):
            raise UsageError(f"{place}: {_said(error)}. Mend it and run again; --debug shows the way there.") from error
        raise


def _execute(path: Path, content: bytes, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the file is a .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up by name
    _files.add(str(path))
    try:
        # what was hashed is what is executed: the import system might take a compiled file of the same second
        exec(compile(content, str(path), "exec", dont_inherit=True), module.__dict__)
        _check(module, path)
    except ReidkitError as error:
        del sys.modules[name]
        place = _place(error)
        raise UsageError(f"{place}: {error}" if place else str(error)) from error
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise UsageError(f"{_place(error) or repr(str(path))}: {_said(error)}. Mend it and run again.") from error
    beside = _imported(path, ast.parse(content))
    _files.update(str(file) for file in beside)
    digests = "".join(sha256_file(file) for file in sorted(beside))
    more = "+" + hashlib.sha256(digests.encode()).hexdigest()[:16] if beside else ""
    _sources[name] = Source(f"sha256:{hashlib.sha256(content).hexdigest()}{more}", path)
    return module


def _imported(path: Path, tree: ast.AST) -> set[Path]:
    """Files in the model file's folder, or below, that it imports, directly or through one another."""
    found: set[Path] = set()
    waiting = [(tree, "")]
    while waiting:
        for name in _names(*waiting.pop()):
            module = sys.modules.get(name)
            file = Path(getattr(module, "__file__", None) or "").resolve()
            top = name.partition(".")[0]
            if module is None or file.suffix != ".py" or top == "reidkit" or top in sys.stdlib_module_names:
                continue
            installed = {"site-packages", "dist-packages"} & set(file.parts)
            if file.is_relative_to(path.parent) and not installed and file != path and file not in found:
                found.add(file)
                waiting.append((ast.parse(file.read_bytes()), module.__package__ or ""))
    return found


def _names(tree: ast.AST, package: str) -> set[str]:
    """Full names of what a module of `package` imports, modules and perhaps-modules."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            full = importlib.util.resolve_name(base, package) if node.level and package else node.module or ""
            names.update([full, *(f"{full}.{alias.name}" for alias in node.names)])
    return names


def _check(module: ModuleType, path: Path) -> None:
    missing = [part for part in ("RECIPES", "build") if not hasattr(module, part)]
    if missing:
        raise UsageError(f"'{path}' has no {' and no '.join(missing)}; {DOCUMENT}")
    recipes, variants = module.RECIPES, getattr(module, "VARIANTS", {})
    if not isinstance(recipes, Mapping) or not recipes or not all(isinstance(r, Recipe) for r in recipes.values()):
        raise UsageError(f"RECIPES of '{path}' is no dict of recipes by size; {DOCUMENT}")
    if not isinstance(variants, Mapping) or not all(isinstance(v, Mapping) for v in variants.values()):
        raise UsageError(f"VARIANTS of '{path}' is no dict of dicts by name; {DOCUMENT}")
    try:
        inspect.signature(module.build).bind("recipe", "num_classes", "num_cameras")
    except (TypeError, ValueError):
        raise UsageError(f"build of '{path}' does not take (recipe, num_classes, num_cameras); {DOCUMENT}") from None


def _place(error: BaseException) -> str:
    """ "'my_model.py', line 31, in forward" of the innermost line in a user's file; "" where none took part."""
    if isinstance(error, SyntaxError) and error.filename in _files:
        return f"'{error.filename}', line {error.lineno}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in _files]
    if not frames:
        return ""
    function = "" if frames[-1].name == "<module>" else f", in {frames[-1].name}"
    return f"'{frames[-1].filename}', line {frames[-1].lineno}{function}"


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return "it ends the program (sys.exit)"
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    first = printable(next(iter(text.strip().splitlines()), ""))[:300].rstrip(".")
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
