"""Two images of a repository side by side: their layers, and what their configs say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp.web import Response

from ecrate.console.images import read_config
from ecrate.console.request import ConsoleRequest, repository_path
from ecrate.domain.errors import EcrateError, InvalidParameter
from ecrate.domain.images import Descriptor, Manifest, parse_manifest
from ecrate.domain.names import Digest, ImageId, is_tag
from ecrate.operations import images

# Of these members each entry is compared; others as they are.
_MAPS: Final = ("Labels", "ExposedPorts", "Volumes")
_TEXTS: Final = ("User", "WorkingDir", "Entrypoint", "Cmd", "StopSignal")
_PLATFORM: Final = ("os", "architecture", "variant")
_LONGEST: Final = 2000
_MOST: Final = 500

Facts = dict[str, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`changes` are what, as the one has it, as the other has it; None where it does not."""

    common: Sequence[Descriptor]
    removed: Sequence[Descriptor]
    added: Sequence[Descriptor]
    changes: Sequence[tuple[str, str | None, str | None]]


def show_comparison(request: ConsoleRequest) -> Response:
    one, other = request.query.get("one", "").strip(), request.query.get("other", "").strip()
    comparison, objection = None, ""
    if one and other:
        try:
            comparison = compare(*_read(request, one), *_read(request, other))
        except EcrateError as error:
            objection = str(error)
    return request.page(
        "compare.html",
        name=request.name,
        path=repository_path(request.name),
        one=one,
        other=other,
        comparison=comparison,
        objection=objection,
    )


def _read(request: ConsoleRequest, text: str) -> tuple[Manifest, dict[str, Any] | None]:
    image_id = ImageId(None, text) if is_tag(text) else ImageId(Digest.parse(text))
    image, document = images.get_image(request.core, request.caller, request.ref, image_id)
    manifest = parse_manifest(document, image.media_type, algorithm=image.digest.algorithm)
    if not manifest.layers:
        raise InvalidParameter("imageId", "Choose images of one platform, not an index")
    return manifest, read_config(request, manifest)


def compare(
    one: Manifest,
    one_config: Mapping[str, Any] | None,
    other: Manifest,
    other_config: Mapping[str, Any] | None,
) -> Comparison:
    """Tell in what two images differ."""
    mine = {layer.digest for layer in one.layers[1:]}
    theirs = {layer.digest for layer in other.layers[1:]}
    before, after = dict(_facts(one_config)), dict(_facts(other_config))
    before |= {f"annotation {key}": text for key, text in one.annotations.items()}
    after |= {f"annotation {key}": text for key, text in other.annotations.items()}
    changes = [
        (name, _cut(before.get(name)), _cut(after.get(name)))
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    ]
    return Comparison(
        common=[layer for layer in one.layers[1:] if layer.digest in theirs],
        removed=[layer for layer in one.layers[1:] if layer.digest not in theirs],
        added=[layer for layer in other.layers[1:] if layer.digest not in mine],
        changes=changes[:_MOST],
    )


def _cut(text: str | None) -> str | None:
    return None if text is None else text[:_LONGEST]


def _facts(document: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Give what a config's document says, by what it is about, in the document's order."""
    if document is None:
        return
    yield from ((name, _written(document[name])) for name in _PLATFORM if name in document)
    config = document.get("config")
    if not isinstance(config, dict):
        return
    yield from ((name, _written(config[name])) for name in _TEXTS if config.get(name))
    env = config.get("Env")
    for entry in env if isinstance(env, list) else []:
        name, _, text = str(entry).partition("=")
        yield f"Env {name}", text
    for member in _MAPS:
        entries = config.get(member)
        for key, given in entries.items() if isinstance(entries, dict) else ():
            yield f"{member} {key}", _written(given)


def _written(given: object) -> str:
    return given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
