"""`ecrate diff`: which layers and files two images do not have in common."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

from ecrate.cli.inspect import layers_of, usual_platform
from ecrate.cli.layer_files import File, Layer, apply_layers, read_layer
from ecrate.cli.options import Parser
from ecrate.cli.plain_text import printable
from ecrate.cli.progress import Progress, human_size, open_progress
from ecrate.cli.reference import parse_reference
from ecrate.cli.registries import Registries, add_registry_options, open_registries
from ecrate.cli.repository import Repository, choose_platform, read_config
from ecrate.cli.transfer import add_transfer_options, print_json, run_parallel

SUMMARY = "compare the layers and files of two images"
_USAGE: Final = "ecrate diff A B [options]"
_MARKS: Final = {"added": "+", "removed": "-", "changed": "~"}
_SAME: Final = 0
_DIFFERENT: Final = 1


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Compare two images, [HOST/]REPOSITORY[:TAG|@DIGEST] each: their layers, then "
        "the files these make when laid over each other, by kind, size, mode, owner and content. "
        "Layers are read as they come; nothing is kept. The exit code is 1 where they differ.",
        example="ecrate diff app:1.0 app:1.1",
    )
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--layers", action="store_true", help="compare the layers only")
    add_transfer_options(parser)
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Print the differences; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    with (
        open_registries(given, is_inspection=True) as registries,
        open_progress(quiet=given.quiet, has_lines=False) as progress,
    ):
        one, other = (_Side(registries, name, given.platform) for name in (given.a, given.b))
        layers = _compare_layers(one, other)
        files = []
        if not given.layers and (layers["onlyA"] or layers["onlyB"]):
            files = _compare_files(one, other, progress, given.jobs)
    settings = _compare_settings(one, other)
    is_same = one.document.digest == other.document.digest or not (
        layers["onlyA"] or layers["onlyB"] or settings
    )
    if given.json:
        told = {"a": one.told, "b": other.told, "same": is_same, "settings": settings}
        print_json(told | {"layers": layers, "files": files})
    elif not given.quiet:
        print("\n".join(_lines(one, other, layers, settings, files)))
    return _SAME if is_same else _DIFFERENT


class _Side:
    """One of the two images."""

    def __init__(self, registries: Registries, name: str, wanted: str | None) -> None:
        reference = parse_reference(name)
        self.name = name
        self.repository = registries.open(reference)
        document = self.repository.find(reference.digest or reference.tag or "latest")
        if document.is_index:
            document = choose_platform(
                self.repository, document, wanted or usual_platform(document)
            )
        self.document = document
        self.config = read_config(self.repository, document)
        self.layers = layers_of(document, self.config)

    @property
    def told(self) -> dict[str, str]:
        return {"name": self.name, "digest": self.document.digest}


def _compare_layers(one: _Side, other: _Side) -> dict[str, list[dict[str, Any]]]:
    """Compare by content where the configurations tell it: compression makes no difference."""
    ours = {layer["diffId"] or layer["digest"]: layer for layer in one.layers}
    theirs = {layer["diffId"] or layer["digest"]: layer for layer in other.layers}
    return {
        "shared": [layer for key, layer in ours.items() if key in theirs],
        "onlyA": [layer for key, layer in ours.items() if key not in theirs],
        "onlyB": [layer for key, layer in theirs.items() if key not in ours],
    }


def _compare_settings(one: _Side, other: _Side) -> list[dict[str, Any]]:
    ours, theirs = (_settings(side.config) for side in (one, other))
    return [
        {"name": name, "a": ours.get(name), "b": theirs.get(name)}
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    runtime = config.get("config")
    place = {name: config.get(name) for name in ("os", "architecture", "variant")}
    return (runtime if isinstance(runtime, dict) else {}) | place


def _compare_files(one: _Side, other: _Side, progress: Progress, jobs: int) -> list[dict[str, Any]]:
    """Read each layer once, whichever image it is in, and compare what they make."""
    owners = {
        layer["digest"]: (side.repository, layer["size"])
        for side in (one, other)
        for layer in side.layers
    }

    def read(digest: str, repository: Repository, size: int) -> Layer:
        progress.start(digest, "reading", size)
        layer = read_layer(repository.blob(digest, size), partial(progress.advance, digest))
        progress.finish(digest, "read")
        return layer

    tasks = [partial(read, digest, *owner) for digest, owner in owners.items()]
    connections = one.repository.connections
    read_layers = dict(
        zip(owners, run_parallel(tasks, jobs=jobs, connections=connections), strict=True)
    )
    ours, theirs = (
        apply_layers([read_layers[layer["digest"]] for layer in side.layers])
        for side in (one, other)
    )
    return [
        _difference(path, ours.get(path), theirs.get(path))
        for path in sorted(ours.keys() | theirs.keys())
        if ours.get(path) != theirs.get(path)
    ]


def _difference(path: str, before: File | None, after: File | None) -> dict[str, Any]:
    change = "added" if before is None else "removed" if after is None else "changed"
    told: dict[str, Any] = {"path": f"/{path}", "change": change}
    if before is not None and after is not None:
        told["what"] = [
            name for name in File.__slots__ if getattr(before, name) != getattr(after, name)
        ]
    for name, file in (("a", before), ("b", after)):
        if file is not None:
            told[name] = {"kind": file.kind, "size": file.size, "mode": f"{file.mode:04o}"}
    return told


def _lines(
    one: _Side,
    other: _Side,
    layers: dict[str, list[dict[str, Any]]],
    settings: list[dict[str, Any]],
    files: list[dict[str, Any]],
) -> list[str]:
    lines = [f"A {one.name}  {one.document.digest}", f"B {other.name}  {other.document.digest}"]
    lines.append(f"layers in both: {len(layers['shared'])}")
    for mark, name in (("-", "onlyA"), ("+", "onlyB")):
        lines += [f"{mark} layer {e['digest']}  {human_size(e['size'])}" for e in layers[name]]
    lines += [f"~ {each['name']}: {each['a']!r} -> {each['b']!r}" for each in settings]
    return lines + [_file_line(each) for each in files]


def _file_line(difference: dict[str, Any]) -> str:
    path = printable(difference["path"])
    before, after = difference.get("a"), difference.get("b")
    told = [human_size(each["size"]) for each in (before, after) if each]
    details = " -> ".join(told)
    if difference.get("what"):
        details += f" ({', '.join(difference['what'])})"
    return f"{_MARKS[difference['change']]} {path}  {details}"
