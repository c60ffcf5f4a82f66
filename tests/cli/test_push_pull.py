from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import CuttingProxy, Run
from tests.support.images import OCI_INDEX, OCI_MANIFEST, MadeImage, digest_of, make_image
from tests.support.layouts import pack_index, read_blobs, write_layout
from tests.support.server import Server

MIB = 1024 * 1024
_GZIP_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MakeProxy = Callable[..., CuttingProxy]


def _write_single(folder: Path, image: MadeImage) -> Path:
    write_layout(folder, [image], {"1.0": (image.manifest, OCI_MANIFEST)})
    return folder


def _tar(files: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return packed.getvalue()


def _docker_save(*layers: bytes) -> bytes:
    """Give an archive as docker wrote it before it had layouts; a layer twice is a link."""
    config = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    ).encode()
    names = [f"layer{index}/layer.tar" for index in range(len(layers))]
    files, links = {}, {}
    for name, layer in zip(names, layers, strict=True):
        first = names[layers.index(layer)]
        if first == name:
            files[name] = layer
        else:
            links[name] = f"../{first}"
    entry = {"Config": "config.json", "RepoTags": ["app:1.0"], "Layers": names}
    files |= {"config.json": config, "manifest.json": json.dumps([entry]).encode()}
    return _tar(files, links)


def test_push_and_pull_keep_every_byte(run: Run, repository: str, tmp_path: Path) -> None:
    image = make_image(1, 1000, 11 * MIB)
    layout = _write_single(tmp_path / "layout", image)

    pushed = run("push", str(layout), f"{repository}:v1")
    pulled = run("pull", f"{repository}:v1", str(tmp_path / "pulled"))

    assert pushed.out == f"v1: digest: {image.digest} size: {len(image.manifest)}\n"
    assert pulled.out == pushed.out
    assert read_blobs(tmp_path / "pulled") == read_blobs(layout)


def test_push_takes_a_host_before_the_name(
    run: Run, server: Server, repository: str, tmp_path: Path
) -> None:
    layout = _write_single(tmp_path / "layout", make_image())

    ran = run("push", str(layout), f"{server.host}/{repository}")

    assert ran.code == 0
    assert ran.out.startswith("latest: digest: ")


def test_push_skips_what_is_there(run: Run, repository: str, tmp_path: Path) -> None:
    image = make_image(1000)
    layout = _write_single(tmp_path / "layout", image)
    first = run("push", str(layout), repository)

    second = run("push", str(layout), repository)

    layer = image.layers[0].digest
    assert f"layer {layer} uploaded, 1000 B" in first.err.splitlines()
    assert f"layer {layer} already there" in second.err.splitlines()
    assert second.out == first.out


def test_push_of_an_index_puts_its_children_first(
    run: Run, server: Server, repository: str, tmp_path: Path
) -> None:
    images = {"amd64": make_image(100), "arm64": make_image(200)}
    index = pack_index(images)
    write_layout(tmp_path / "layout", images.values(), {"multi": (index, OCI_INDEX)})

    ran = run("push", str(tmp_path / "layout"), f"{repository}:multi")

    details = server.ecr().describe_images(repositoryName=repository)["imageDetails"]
    tags = {each["imageDigest"]: each.get("imageTags") for each in details}
    assert ran.code == 0
    assert tags[digest_of(index.encode())] == ["multi"]
    pulled = run("pull", f"{repository}:multi", str(tmp_path / "pulled"))
    assert pulled.code == 0
    assert read_blobs(tmp_path / "pulled") == read_blobs(tmp_path / "layout")


def test_platform_takes_one_of_an_index(run: Run, repository: str, tmp_path: Path) -> None:
    images = {"amd64": make_image(100), "arm64": make_image(200)}
    layout = tmp_path / "layout"
    write_layout(layout, images.values(), {"multi": (pack_index(images), OCI_INDEX)})
    run("push", str(layout), f"{repository}:multi")

    pushed = run("push", str(layout), f"{repository}:arm", "--platform", "linux/arm64")
    pulled = run("pull", f"{repository}:multi", str(tmp_path / "amd"), "--platform", "linux/amd64")
    missing = run("push", str(layout), f"{repository}:x", "--platform", "linux/riscv64")

    assert images["arm64"].digest in pushed.out
    assert images["amd64"].digest in pulled.out
    assert missing.code == 255
    assert "it has linux/amd64, linux/arm64" in missing.err


def test_platform_is_enough_where_others_are_missing(
    run: Run, repository: str, tmp_path: Path
) -> None:
    images = {"amd64": make_image(100), "arm64": make_image(200)}
    layout = tmp_path / "layout"
    write_layout(layout, images.values(), {"multi": (pack_index(images), OCI_INDEX)})
    (layout / "blobs" / "sha256" / images["arm64"].digest.partition(":")[2]).unlink()

    whole = run("push", str(layout), f"{repository}:multi")
    chosen = run("push", str(layout), f"{repository}:one", "--platform", "linux/amd64")

    assert "choose one with --platform" in whole.err
    assert images["amd64"].digest in chosen.out, chosen.err


def test_push_and_pull_at_another_registry(run: Run, foreign: str, tmp_path: Path) -> None:
    layout = _write_single(tmp_path / "layout", make_image(1000, 0, 3 * MIB))

    pushed = run("push", str(layout), f"{foreign}:v1")
    pulled = run("pull", f"{foreign}:v1", str(tmp_path / "pulled"))

    assert (pushed.code, pulled.out) == (0, pushed.out), pushed.err + pulled.err
    assert read_blobs(tmp_path / "pulled") == read_blobs(layout)


def test_results_as_json(run: Run, server: Server, repository: str, tmp_path: Path) -> None:
    image = make_image(1000)
    layout = _write_single(tmp_path / "layout", image)

    pushed = json.loads(run("push", str(layout), f"{repository}:v1", "--json").out)
    pulled = json.loads(run("pull", f"{repository}:v1", str(tmp_path / "x"), "--json").out)

    digests = {blob.digest for blob in image.blobs}
    assert (pushed["digest"], pulled["digest"]) == (image.digest, image.digest)
    assert pushed["name"] == f"{server.host}/{repository}:v1"
    for told, result in ((pushed, "uploaded"), (pulled, "downloaded")):
        assert {each["digest"]: each["result"] for each in told["blobs"]} == dict.fromkeys(
            digests, result
        )


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["tar", "tar.gz"])
def test_push_makes_of_docker_save_what_docker_pushes(
    run: Run, server: Server, repository: str, tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    layer = _tar({"file": os.urandom(1000) + bytes(3 * MIB)})
    archive = tmp_path / "archive"
    archive.write_bytes(pack(_docker_save(layer, layer)))

    ran = run("push", str(archive), f"{repository}:1.0")

    image = server.ecr().batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "1.0"}])[
        "images"
    ][0]
    layers = json.loads(image["imageManifest"])["layers"]
    assert ran.code == 0
    assert [each["mediaType"] for each in layers] == [_GZIP_LAYER] * 2
    assert layers[0] == layers[1]
    assert layers[0]["size"] < len(layer)


def test_push_of_docker_save_is_the_same_each_time(
    run: Run, repository: str, tmp_path: Path
) -> None:
    archive = tmp_path / "archive.tar"
    archive.write_bytes(_docker_save(_tar({"file": os.urandom(MIB)})))

    ran = [run("push", str(archive), f"{repository}:{tag}") for tag in ("a", "b")]

    assert ran[0].out.removeprefix("a") == ran[1].out.removeprefix("b")


def test_push_of_docker_save_can_leave_layers_plain(
    run: Run, server: Server, repository: str, tmp_path: Path
) -> None:
    layer = _tar({"file": os.urandom(1000)})
    archive = tmp_path / "archive.tar"
    archive.write_bytes(_docker_save(layer))

    run("push", str(archive), f"{repository}:1.0", "--no-compress")

    checked = server.ecr().batch_check_layer_availability(
        repositoryName=repository, layerDigests=[digest_of(layer)]
    )
    assert checked["layers"][0]["layerAvailability"] == "AVAILABLE"


def test_pull_into_a_tar_makes_what_push_and_docker_take(
    run: Run, make_repository: Callable[[], str], tmp_path: Path
) -> None:
    one, other = make_repository(), make_repository()
    archive, pulled = tmp_path / "archive.tar", tmp_path / "pulled.tar"
    archive.write_bytes(_docker_save(_tar({"file": os.urandom(1000)})))
    pushed = run("push", str(archive), f"{one}:1.0")

    run("pull", f"{one}:1.0", str(pulled))
    again = run("push", str(pulled), f"{other}:1.0")

    with tarfile.open(pulled) as packed:
        names = packed.getnames()
        entry = json.load(packed.extractfile("manifest.json") or io.BytesIO())[0]
    assert again.out == pushed.out
    assert {"oci-layout", "index.json", entry["Config"], *entry["Layers"]} <= set(names)
    assert entry["RepoTags"][0].endswith(f"/{one}:1.0")


def test_pull_adds_to_a_layout(run: Run, repository: str, tmp_path: Path) -> None:
    images = [make_image(100), make_image(200)]
    for index, image in enumerate(images):
        layout = _write_single(tmp_path / f"layout{index}", image)
        run("push", str(layout), f"{repository}:v{index}")
    destination = tmp_path / "pulled"
    run("pull", f"{repository}:v0", str(destination))
    run("pull", f"{repository}:v1", str(destination))

    ran = run("pull", f"{repository}@{images[0].digest}", str(destination))

    index = json.loads((destination / "index.json").read_text())
    assert ran.err.count("already there") == 2
    assert [each["digest"] for each in index["manifests"]] == [
        images[0].digest,
        images[1].digest,
        images[0].digest,
    ]


def test_push_goes_on_behind_the_last_valid_byte(
    run: Run, make_proxy: MakeProxy, repository: str, tmp_path: Path
) -> None:
    image = make_image(35 * MIB)
    layout = _write_single(tmp_path / "layout", image)
    # A part is 13.4 MiB on the wire: cut in the first, the second, and after the third.
    proxy = make_proxy(up=[5 * MIB, 20 * MIB, 30 * MIB])

    ran = run("push", str(layout), repository, "--endpoint-url", proxy.endpoint, "--jobs", "1")

    assert (ran.code, proxy.cuts) == (0, 3)
    assert f"layer {image.layers[0].digest} uploaded, 35.0 MiB" in ran.err


def test_push_goes_on_when_answers_are_lost(
    run: Run, make_proxy: MakeProxy, repository: str, tmp_path: Path
) -> None:
    layout = _write_single(tmp_path / "layout", make_image(22 * MIB))
    proxy = make_proxy(down=[100, 700, 100, 900, 1200, 300])

    ran = run("push", str(layout), repository, "--endpoint-url", proxy.endpoint, "--jobs", "1")

    assert (ran.code, proxy.cuts) == (0, 6)


def test_pull_goes_on_where_it_broke(
    run: Run, make_proxy: MakeProxy, repository: str, tmp_path: Path
) -> None:
    image = make_image(20 * MIB)
    layout = _write_single(tmp_path / "layout", image)
    run("push", str(layout), repository)
    proxy = make_proxy(down=[3 * MIB, 5 * MIB])

    ran = run("pull", repository, str(tmp_path / "pulled"), "--endpoint-url", proxy.endpoint)

    assert (ran.code, proxy.cuts) == (0, 2)
    assert read_blobs(tmp_path / "pulled") == read_blobs(layout)


def test_push_into_a_missing_repository_tells_how_to_create_it(run: Run, tmp_path: Path) -> None:
    layout = _write_single(tmp_path / "layout", make_image())

    ran = run("push", str(layout), "no/such")

    assert (ran.code, ran.out) == (254, "")
    assert "RepositoryNotFoundException" in ran.err
    assert "ecrate ecr create-repository --repository-name no/such" in ran.err


def test_push_creates_the_repository_when_asked(run: Run, repository: str, tmp_path: Path) -> None:
    layout = _write_single(tmp_path / "layout", make_image())

    ran = run("push", str(layout), f"{repository}/new", "--create")

    assert ran.code == 0


def test_push_to_an_immutable_tag_tells_what_to_do(
    run: Run, server: Server, repository: str, tmp_path: Path
) -> None:
    name = f"{repository}/fixed"
    server.ecr().create_repository(repositoryName=name, imageTagMutability="IMMUTABLE")
    for index in range(2):
        _write_single(tmp_path / str(index), make_image())
    run("push", str(tmp_path / "0"), f"{name}:1")

    ran = run("push", str(tmp_path / "1"), f"{name}:1")

    assert ran.code == 254
    assert "ImageTagAlreadyExistsException" in ran.err
    assert "Push to another tag" in ran.err


def _without_a_layer(layout: Path) -> str:
    layer = max((layout / "blobs" / "sha256").iterdir(), key=lambda file: file.stat().st_size)
    layer.unlink()
    return "does not have the blob"


def _with_a_short_layer(layout: Path) -> str:
    layer = max((layout / "blobs" / "sha256").iterdir(), key=lambda file: file.stat().st_size)
    layer.write_bytes(layer.read_bytes()[:-1])
    return "is damaged"


def _with_a_changed_layer(layout: Path) -> str:
    layer = max((layout / "blobs" / "sha256").iterdir(), key=lambda file: file.stat().st_size)
    layer.write_bytes(bytes(layer.stat().st_size))
    return "its bytes have another digest"


def _with_a_changed_manifest(layout: Path) -> str:
    index = json.loads((layout / "index.json").read_text())
    file = layout / "blobs" / "sha256" / index["manifests"][0]["digest"].partition(":")[2]
    file.write_bytes(file.read_bytes() + b" ")
    return "is damaged"


def _with_a_path_for_a_digest(layout: Path) -> str:
    index = {"manifests": [{"digest": "sha256:../../../etc/passwd", "size": 1}]}
    (layout / "index.json").write_text(json.dumps(index))
    return "is no digest"


def _without_an_index(layout: Path) -> str:
    (layout / "index.json").unlink()
    return "is neither an OCI layout"


@pytest.mark.parametrize(
    "damage",
    [
        _without_a_layer,
        _with_a_short_layer,
        _with_a_changed_layer,
        _with_a_changed_manifest,
        _with_a_path_for_a_digest,
        _without_an_index,
    ],
)
def test_push_of_a_damaged_layout_says_so(
    run: Run, repository: str, tmp_path: Path, damage: Callable[[Path], str]
) -> None:
    layout = _write_single(tmp_path / "layout", make_image(5000))
    text = damage(layout)

    ran = run("push", str(layout), repository)

    assert (ran.code, ran.out) == (255, "")
    assert text in ran.err


def test_push_of_an_empty_layer_says_that_ecr_has_none(
    run: Run, repository: str, tmp_path: Path
) -> None:
    image = make_image(0)
    layout = _write_single(tmp_path / "layout", image)

    ran = run("push", str(layout), repository)

    assert ran.code == 255
    assert f"layer {image.layers[0].digest} has no bytes" in ran.err


def test_push_of_several_images_asks_which(run: Run, repository: str, tmp_path: Path) -> None:
    images = {name: make_image() for name in ("one", "two")}
    write_layout(
        tmp_path / "layout",
        images.values(),
        {name: (image.manifest, OCI_MANIFEST) for name, image in images.items()},
    )

    unclear = run("push", str(tmp_path / "layout"), f"{repository}:three")
    by_tag = run("push", str(tmp_path / "layout"), f"{repository}:two")
    by_name = run("push", str(tmp_path / "layout"), f"{repository}:x", "--reference", "one")

    assert unclear.code == 255
    assert "Choose one with --reference: one, " in unclear.err
    assert images["two"].digest in by_tag.out
    assert images["one"].digest in by_name.out


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        pytest.param("{0}:none", 254, "has no image none", id="no image"),
        pytest.param("no/such:1", 254, "RepositoryNotFoundException", id="no repository"),
        pytest.param("{0}@sha256:12", 252, "is no digest", id="no digest"),
        pytest.param("{0}:not a tag", 252, "is no tag", id="no tag"),
    ],
)
def test_pull_fails_and_leaves_nothing(
    run: Run, repository: str, tmp_path: Path, *, name: str, code: int, text: str
) -> None:
    ran = run("pull", name.format(repository), str(tmp_path / "pulled"))

    assert (ran.code, ran.out) == (code, "")
    assert text in ran.err
    assert list(tmp_path.iterdir()) == []


def test_pull_of_a_damaged_layer_leaves_nothing(
    run: Run, server: Server, repository: str, tmp_path: Path
) -> None:
    image = make_image(5000)
    run("push", str(_write_single(tmp_path / "layout", image)), repository)
    stored = [
        file
        for file in server.data.rglob("*")
        if file.is_file()
        and hashlib.sha256(file.read_bytes()).hexdigest() in image.layers[0].digest
    ]
    stored[0].write_bytes(bytes(5000))
    destination = tmp_path / "here" / "pulled"

    ran = run("pull", repository, str(destination))

    assert ran.code == 255
    assert "another digest" in ran.err
    assert list(destination.parent.iterdir()) == []


def test_pull_does_not_overwrite_other_things(run: Run, repository: str, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("text")
    run("push", str(_write_single(tmp_path / "layout", make_image())), repository)

    ran = run("pull", repository, str(tmp_path))

    assert ran.code == 252
    assert "is there already and no OCI layout" in ran.err
