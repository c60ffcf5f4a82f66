"""The pages of an image: what it is made of, what is known of it, how to pull it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp.web import Response

from ecrate.console.request import ConsoleRequest, repository_path
from ecrate.domain.errors import EcrateError, ImageNotFound, ScanNotFound
from ecrate.domain.images import INDEX_TYPES, Descriptor, Manifest, Referrer, parse_manifest
from ecrate.domain.names import ImageId
from ecrate.domain.scanning import is_scannable
from ecrate.domain.signing import SigningStatus
from ecrate.operations import images, layers, scans, signing
from ecrate.operations.deletions import batch_delete_image
from ecrate.operations.referrers import list_image_referrers
from ecrate.scanning.severity import SEVERITIES

_CONFIG_SIZE: Final = 2 * 1024 * 1024
_CHILDREN: Final = 200
_REFERRERS: Final = 100
_FINDINGS: Final = 1000
_SHOWN_MANIFEST: Final = 200_000
_ON_IMAGE: Final = (
    *("BatchGetImage", "GetDownloadUrlForLayer", "BatchDeleteImage", "StartImageScan"),
    *("DescribeImageScanFindings", "DescribeImageSigningStatus"),
)
_MOST_TEXT: Final = 20_000


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as it is drawn: `x` and `width` are in thousandths of the whole."""

    descriptor: Descriptor
    command: str
    x: float
    width: float
    tone: int


@dataclass(frozen=True, slots=True)
class Child:
    """An entry of an index; `size` is None where the image is not there."""

    digest: str
    platform: str
    kind: str
    size: int | None


@dataclass(frozen=True, slots=True)
class Content:
    """What a manifest and its config tell; `objection` is why they are not shown, if so."""

    manifest: Manifest | None = None
    text: str = ""
    config: dict[str, Any] | None = None
    layers: Sequence[Layer] = ()
    children: Sequence[Child] = ()
    objection: str = ""


def show_image(request: ConsoleRequest) -> Response:
    image_id = ImageId(request.image_digest)
    detail = images.describe_images(request.core, request.caller, request.ref, [image_id])[0]
    may = request.may(*_ON_IMAGE)
    content = _content(request, image_id) if "BatchGetImage" in may else Content()
    referrers: list[Referrer] = []
    if "BatchGetImage" in may:
        referrers, _ = list_image_referrers(
            request.core, request.caller, request.ref, request.digest, limit=_REFERRERS
        )
    signings: list[SigningStatus] = []
    if "DescribeImageSigningStatus" in may:
        _, signings = signing.describe_image_signing_status(
            request.core, request.caller, request.ref, image_id
        )
    image = detail.image
    return request.page(
        "image.html",
        name=request.name,
        path=repository_path(request.name),
        image_path=repository_path(request.name, "image", request.digest),
        detail=detail,
        image=image,
        storage=image.storage.status_at(request.core.clock()),
        is_scannable=is_scannable(image.media_type, image.artifact_media_type),
        content=content,
        referrers=referrers,
        signings=signings,
        may=may,
        uri=f"{request.registry_host}/{request.name}",
        told=request.query.get("told", ""),
    )


def _content(request: ConsoleRequest, image_id: ImageId) -> Content:
    try:
        image, document = images.get_image(request.core, request.caller, request.ref, image_id)
    except EcrateError as error:
        return Content(objection=str(error))
    manifest = parse_manifest(document, image.media_type, algorithm=image.digest.algorithm)
    text = document.decode(errors="replace")[:_SHOWN_MANIFEST]
    if manifest.media_type in INDEX_TYPES:
        return Content(manifest, text, children=_children(request, document))
    config = read_config(request, manifest)
    return Content(manifest, text, config, layers=draw_layers(manifest, config))


def _children(request: ConsoleRequest, document: bytes) -> list[Child]:
    children = []
    for entry in json.loads(document)["manifests"][:_CHILDREN]:
        digest = str(entry["digest"])
        kind = _text(entry.get("artifactType")) or _text(
            _map(entry.get("annotations")).get("vnd.docker.reference.type")
        )
        try:
            size = images.describe_images(
                request.core,
                request.caller,
                request.ref,
                [ImageId(request.image_digest.parse(digest))],
            )[0].image.size
        except ImageNotFound:
            size = None
        children.append(Child(digest, _platform(entry.get("platform")), kind, size))
    return children


def _platform(platform: object) -> str:
    given = _map(platform)
    names = [_text(given.get(key)) for key in ("os", "architecture", "variant")]
    return "/".join(name for name in names if name)


def _map(given: object) -> dict[str, Any]:
    return given if isinstance(given, dict) else {}


def _text(given: object) -> str:
    return given[:_MOST_TEXT] if isinstance(given, str) else ""


def read_config(request: ConsoleRequest, manifest: Manifest) -> dict[str, Any] | None:
    """Give the config's document, None where it is none that can be shown."""
    config = manifest.layers[0]
    if config.size > _CONFIG_SIZE or not config.media_type.endswith("json"):
        return None
    try:
        layer = layers.find_layer(request.core, request.caller, request.ref, config.digest.text)
        with layers.open_layer(request.core, layer) as opened:
            return _map(json.loads(opened.read(_CONFIG_SIZE))) or None
    except (EcrateError, OSError, ValueError, RecursionError):
        return None


def draw_layers(manifest: Manifest, config: dict[str, Any] | None) -> list[Layer]:
    """Give the layers to scale, each with the command of the config's history that made it."""
    history = (config or {}).get("history")
    commands = [
        _text(step.get("created_by"))
        for step in (history if isinstance(history, list) else [])
        if isinstance(step, dict) and not step.get("empty_layer")
    ]
    found = manifest.layers[1:]
    total = sum(one.size for one in found) or 1
    drawn, x = [], 0.0
    for number, one in enumerate(found):
        command = commands[number] if len(commands) == len(found) else ""
        width = 1000 * one.size / total
        drawn.append(Layer(one, command, round(x, 3), round(width, 3), number % 6))
        x += width
    return drawn


def show_findings(request: ConsoleRequest) -> Response:
    severity = request.query.get("severity", "")
    search = request.query.get("search", "").strip().lower()
    order = request.query.get("order", "severity")
    try:
        page = scans.describe_image_scan_findings(
            request.core,
            request.caller,
            request.ref,
            ImageId(request.image_digest),
            after=None,
            limit=_FINDINGS,
        )
    except ScanNotFound:
        return request.part("findings.html", request.name, page=None)
    rows = []
    for match in page.matches:
        advisory = page.advisories.get(match.advisory)
        package = page.inventory.packages[match.package]
        name = match.advisory if advisory is None else advisory.name
        title = "" if advisory is None else advisory.title or advisory.description[:200]
        if severity and match.severity != severity:
            continue
        if search and search not in f"{name} {package.name} {title}".lower():
            continue
        rows.append((match, name, package, title, "" if advisory is None else advisory.url))
    if order == "package":
        rows.sort(key=lambda row: (row[2].name, row[1]))
    status, description = page.scan.wire_status(page.image, request.core.clock())
    return request.part(
        "findings.html",
        request.name,
        page=page,
        rows=rows,
        scan_status=status,
        description=description,
        severities=SEVERITIES,
        severity=severity,
        search=search,
        order=order,
        more=page.next_rank is not None,
        image_path=repository_path(request.name, "image", request.digest),
    )


def delete_image(request: ConsoleRequest) -> Response:
    image_id = ImageId(request.image_digest)
    (answer,) = batch_delete_image(request.core, request.caller, request.ref, [image_id])
    if isinstance(answer, EcrateError):
        raise answer
    return request.go(repository_path(request.name), told="image-deleted")


def scan_image(request: ConsoleRequest) -> Response:
    scans.start_image_scan(request.core, request.caller, request.ref, ImageId(request.image_digest))
    path = repository_path(request.name, "image", request.digest)
    return request.go(path, told="scanning")
