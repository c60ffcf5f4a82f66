"""`ecrate inspect`: what one image is made of, from its tag down to its layers."""

from __future__ import annotations

import json
import platform
from typing import Any, Final

from ecrate.cli.manifests import Document, digest_of, platform_name, platform_of
from ecrate.cli.options import Parser
from ecrate.cli.plain_text import table_lines
from ecrate.cli.progress import human_size
from ecrate.cli.reference import parse_reference
from ecrate.cli.registries import add_registry_options, open_registries
from ecrate.cli.repository import Repository, choose_platform, read_config
from ecrate.cli.transfer import print_json

SUMMARY = "show an image's layers, configuration and history"
_USAGE: Final = "ecrate inspect [HOST/]REPOSITORY[:TAG|@DIGEST] [options]"
_MACHINES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
_WIDEST: Final = 100
# What of a configuration is worth a line, and how it is called there.
_SETTINGS: Final = {
    "Entrypoint": "entrypoint",
    "Cmd": "command",
    "WorkingDir": "directory",
    "User": "user",
    "Env": "environment",
    "ExposedPorts": "ports",
    "Volumes": "volumes",
    "StopSignal": "stop signal",
}


def _parser() -> Parser:
    parser = Parser(
        _USAGE,
        add_help=True,
        description="Show an image: the chain of digests from index to manifest, configuration and "
        "layers, their sizes, settings, labels, history, and what refers to it. Of an index, the "
        "image for --platform, else for this machine, else the first.",
        example="ecrate inspect app:1.0 --platform linux/arm64",
    )
    parser.add_argument("name", metavar="NAME", help="[HOST/]REPOSITORY[:TAG|@DIGEST]")
    parser.add_argument("--platform", metavar="OS/ARCH", help="take one platform of an index")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_registry_options(parser)
    return parser


def run(arguments: list[str]) -> int:
    """Print the image; raises `CommandError`."""
    given = _parser().parse_args(arguments)
    reference = parse_reference(given.name)
    with open_registries(given, is_inspection=True) as registries:
        repository = registries.open(reference)
        document = repository.find(reference.digest or reference.tag or "latest")
        told = describe(repository, document, given.platform)
    if given.json:
        print_json(told)
    else:
        print("\n".join(_lines(told)))
    return 0


def describe(repository: Repository, document: Document, wanted: str | None) -> dict[str, Any]:
    """Give all there is to tell of an image, or of the one of an index that is wanted."""
    told: dict[str, Any] = {"name": repository.text, "index": None, "platforms": []}
    manifest = document
    if document.is_index:
        told["index"] = document.descriptor
        told["platforms"] = [
            {"platform": platform_of(each) or None, "digest": each["digest"]}
            for each in document.children
        ]
        manifest = choose_platform(repository, document, wanted or usual_platform(document))
    if manifest.is_index:
        return told | {"referrers": _referrers(repository, document)}
    config = read_config(repository, manifest)
    runtime = config.get("config")
    return told | {
        "manifest": manifest.descriptor,
        "artifactType": None if config.get("rootfs") else manifest.artifact_type,
        "subject": manifest.subject,
        "annotations": manifest.body.get("annotations") or {},
        "platform": platform_name(config) or None,
        "created": config.get("created"),
        "size": sum(each["size"] for each in manifest.blobs),
        "configDigest": (manifest.body.get("config") or {}).get("digest"),
        "config": runtime if isinstance(runtime, dict) else {},
        "layers": layers_of(manifest, config),
        "history": _history(config),
        "referrers": _referrers(repository, document, manifest),
    }


def usual_platform(document: Document) -> str | None:
    """Give the platform to show of an index, None where none is named."""
    known = [platform_of(each) for each in document.children]
    machine = f"linux/{_MACHINES.get(platform.machine(), platform.machine())}"
    return machine if machine in known else next((each for each in known if each), None)


def layers_of(manifest: Document, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the layers with the digests of their contents, each alone and with those below.

    Source: image-spec 1.1, config.md, "Layer DiffID" and "Layer ChainID".
    """
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    commands = [each["createdBy"] for each in _history(config) if not each["emptyLayer"]]
    found, chain = [], ""
    for number, layer in enumerate(manifest.layers):
        diff_id = _item(diff_ids, number)
        if diff_id is not None:
            chain = digest_of(f"{chain} {diff_id}".encode()) if chain else diff_id
        found.append(
            {
                "digest": layer["digest"],
                "size": layer["size"],
                "mediaType": layer.get("mediaType"),
                "diffId": diff_id,
                "chainId": chain if diff_id else None,
                "createdBy": _item(commands, number),
            }
        )
    return found


def _item(values: Any, number: int) -> str | None:
    if isinstance(values, list) and number < len(values) and isinstance(values[number], str):
        return str(values[number])
    return None


def _history(config: dict[str, Any]) -> list[dict[str, Any]]:
    steps = config.get("history")
    return [
        {
            "created": each.get("created"),
            "createdBy": str(each.get("created_by") or each.get("comment") or ""),
            "emptyLayer": bool(each.get("empty_layer")),
        }
        for each in (steps if isinstance(steps, list) else [])
        if isinstance(each, dict)
    ]


def _referrers(repository: Repository, *documents: Document) -> list[dict[str, Any]]:
    digests = dict.fromkeys(each.digest for each in documents)
    return [
        {
            "digest": each["digest"],
            "artifactType": each.get("artifactType"),
            "size": each.get("size"),
            "subject": digest,
        }
        for digest in digests
        for each in repository.referrers(digest)
    ]


def _lines(told: dict[str, Any]) -> list[str]:
    rows = [("name", told["name"])]
    if told["index"]:
        rows.append(("index", told["index"]["digest"]))
        rows += [
            ("", f"{each['digest']}  {each['platform'] or 'unknown'}") for each in told["platforms"]
        ]
    if "manifest" not in told:
        return table_lines(rows)
    rows.append(("manifest", f"{told['manifest']['digest']}  {told['manifest']['mediaType']}"))
    for name in ("configDigest", "artifactType", "subject", "platform", "created"):
        if told[name]:
            rows.append(({"configDigest": "config"}.get(name, name), str(told[name])))
    rows.append(("size", human_size(told["size"])))
    rows += _settings(told["config"])
    rows += _map_rows("labels", told["config"].get("Labels"))
    rows += _map_rows("annotations", told["annotations"])
    rows += [
        ("referrers" if not number else "", f"{each['digest']}  {each['artifactType'] or ''}")
        for number, each in enumerate(told["referrers"])
    ]
    return [*table_lines(rows), "", *_layer_lines(told), *_history_lines(told["history"])]


def _settings(config: dict[str, Any]) -> list[tuple[str, str]]:
    rows = []
    for name, label in _SETTINGS.items():
        value = config.get(name)
        if isinstance(value, dict):
            value = sorted(value)
        if name == "Env" and isinstance(value, list):
            rows += [("" if number else label, str(each)) for number, each in enumerate(value)]
        elif value:
            rows.append((label, value if isinstance(value, str) else json.dumps(value)))
    return rows


def _map_rows(label: str, values: Any) -> list[tuple[str, str]]:
    items = sorted(values.items()) if isinstance(values, dict) else []
    return [
        ("" if number else label, f"{name}={value}") for number, (name, value) in enumerate(items)
    ]


def _layer_lines(told: dict[str, Any]) -> list[str]:
    rows = [("LAYER", "SIZE", "CONTENT", "CREATED BY")]
    rows += [
        (
            each["digest"],
            human_size(each["size"]),
            (each["diffId"] or "-")[:19],
            (each["createdBy"] or "")[:_WIDEST],
        )
        for each in told["layers"]
    ]
    return table_lines(rows)


def _history_lines(history: list[dict[str, Any]]) -> list[str]:
    if not history:
        return []
    rows = [("CREATED", "HISTORY")]
    rows += [(str(e["created"] or "-"), e["createdBy"][:_WIDEST]) for e in history]
    return ["", *table_lines(rows)]
