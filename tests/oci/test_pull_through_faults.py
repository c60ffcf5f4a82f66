"""Upstreams that misbehave: clear errors, nothing poisoned, nothing lost."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.caches import Cache
from tests.support.images import OCI_MANIFEST, MadeImage, make_image
from tests.support.registry import error_of, manifest_of, pull_blob, wait_until
from tests.support.upstream import breaking_off, dripping, endless, refusing, sending

OTHER = "sha256:" + "0" * 64
BAD_GATEWAY = (502, "UNKNOWN")
DENIED = (403, "DENIED")


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(refusing(500), id="fails"),
        pytest.param(refusing(404), id="has-it-no-more"),
        pytest.param(refusing(403), id="refuses"),
        pytest.param(sending(b"{}"), id="sends-nonsense"),
        pytest.param(dripping, id="drips"),
    ],
)
def test_tag_is_served_while_upstream_does_not(
    cache: Cache, name: str, image: MadeImage, fault: Any
) -> None:
    cache.manifest(name, "v1")
    cache.upstream.faults[f"/v2/{name}/manifests/v1"] = fault

    answer = cache.manifest(name, "v1")

    assert (answer.status_code, answer.text) == (200, image.manifest)


@pytest.mark.parametrize(
    ("fault", "refusal", "reason"),
    [
        pytest.param(sending(b"{}"), BAD_GATEWAY, "is refused: the manifest", id="nonsense"),
        pytest.param(
            sending(b"{}", Docker_Content_Digest=OTHER),
            BAD_GATEWAY,
            "not that of its digest",
            id="other-digest",
        ),
        pytest.param(sending(b"{}", Content_Encoding="gzip"), BAD_GATEWAY, "encoded", id="encoded"),
        pytest.param(endless, BAD_GATEWAY, "longer than 4194304", id="endless"),
        pytest.param(dripping, BAD_GATEWAY, "longer than 1 seconds", id="drips"),
        pytest.param(
            sending(b"{}", Content_Length="9" * 12), BAD_GATEWAY, "longer than", id="huge"
        ),
        pytest.param(breaking_off(b"{}" * 9, 3), BAD_GATEWAY, "15 bytes too early", id="cut"),
        pytest.param(refusing(500), BAD_GATEWAY, "answers 500: TOLD", id="500"),
        pytest.param(refusing(503), BAD_GATEWAY, "answers 503", id="503"),
        pytest.param(refusing(302), BAD_GATEWAY, "redirects more than", id="to-itself"),
        pytest.param(
            refusing(307, Location="http://169.254.169.254/latest/meta-data"),
            BAD_GATEWAY,
            "has the address 169.254.169.254, which is not public",
            id="to-link-local",
        ),
        pytest.param(
            refusing(307, Location="http://[::ffff:10.0.0.1]/x"),
            BAD_GATEWAY,
            "which is not public",
            id="to-private",
        ),
        pytest.param(
            refusing(307, Location="file:///etc/passwd"), BAD_GATEWAY, "no address", id="to-file"
        ),
        pytest.param(refusing(401), DENIED, "refuses access: it answers 401", id="401"),
        pytest.param(refusing(403), DENIED, "refuses access", id="403"),
    ],
)
def test_manifest_that_cannot_be_had_is_a_clear_error(
    cache: Cache, name: str, fault: Any, refusal: tuple[int, str], reason: str
) -> None:
    cache.upstream.faults[f"/v2/{name}/manifests/v1"] = fault

    answer = cache.manifest(name, "v1")

    assert error_of(answer)[:2] == refusal
    assert reason in error_of(answer)[2]
    assert cache.upstream.host in error_of(answer)[2]


def test_manifest_of_another_digest_is_refused(cache: Cache, name: str, image: MadeImage) -> None:
    other = make_image().manifest.encode()
    cache.upstream.faults[f"/v2/{name}/manifests/{image.digest}"] = sending(
        other, Content_Type=OCI_MANIFEST
    )

    answer = cache.manifest(name, image.digest)

    assert error_of(answer)[:2] == BAD_GATEWAY
    assert f"not that of {image.digest}" in error_of(answer)[2]


@pytest.mark.parametrize("count", [0, 1000, 2999, 3001, 6000])
def test_layer_of_another_size_is_refused(
    cache: Cache, name: str, image: MadeImage, count: int
) -> None:
    (layer,) = image.layers
    content = (layer.content * 2)[:count]
    cache.upstream.faults[f"/v2/{name}/blobs/{layer.digest}"] = sending(content)
    cache.manifest(name, "v1")

    answer = cache.blob(name, layer.digest)

    assert error_of(answer)[:2] == BAD_GATEWAY
    assert f"layer {layer.digest} of 3000 bytes: it has {count} bytes" in error_of(answer)[2]
    assert not cache.has(name, layer.digest)


@pytest.mark.parametrize("fault", [endless, sending(bytes(3000))], ids=["endless", "other-bytes"])
def test_wrong_layer_reaches_nobody_whole(
    cache: Cache, name: str, image: MadeImage, fault: Any
) -> None:
    (layer,) = image.layers
    path = f"/v2/{name}/blobs/{layer.digest}"
    cache.upstream.faults[path] = fault
    cache.manifest(name, "v1")

    assert cache.received(name, layer.digest) < 3000

    assert not cache.has(name, layer.digest)
    assert [*(cache.server.data / "fetches").iterdir()] == []
    del cache.upstream.faults[path]
    assert pull_blob(cache.http, f"up/{name}", layer.digest) == layer.content


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        pytest.param(refusing(404), (404, "BLOB_UNKNOWN"), id="404"),
        pytest.param(refusing(500), BAD_GATEWAY, id="500"),
        pytest.param(refusing(403), DENIED, id="403"),
        pytest.param(refusing(307, Location="http://10.1.2.3/layer"), BAD_GATEWAY, id="to-private"),
    ],
)
def test_layer_that_cannot_be_had_is_a_clear_error(
    cache: Cache, name: str, image: MadeImage, fault: Any, refusal: tuple[int, str]
) -> None:
    (layer,) = image.layers
    cache.upstream.faults[f"/v2/{name}/blobs/{layer.digest}"] = fault
    cache.manifest(name, "v1")

    answer = cache.blob(name, layer.digest)

    assert error_of(answer)[:2] == refusal
    assert cache.upstream.host in error_of(answer)[2]


def test_layer_that_drips_is_given_up(cache: Cache, name: str) -> None:
    image = cache.upstream.add(name, make_image(10), "v1")
    big = {"mediaType": "x/y", "digest": "sha256:" + "1" * 64, "size": 1_000_000}
    cache.upstream.put(name, manifest_of(image, OCI_MANIFEST, layers=[big]), "big")
    cache.upstream.faults[f"/v2/{name}/blobs/{big['digest']}"] = dripping
    cache.manifest(name, "big")

    assert cache.received(name, str(big["digest"])) < 1000

    assert not cache.has(name, str(big["digest"]))


def test_upstream_that_asks_for_a_pause_gets_it(cache: Cache, name: str, image: MadeImage) -> None:
    path = f"/v2/{name}/manifests/v1"
    cache.upstream.faults[path] = refusing(429, Retry_After="2")

    answers = [cache.manifest(name, "v1") for _ in range(3)]

    assert {error_of(answer)[:2] for answer in answers} == {(429, "TOOMANYREQUESTS")}
    assert {answer.headers["Retry-After"] for answer in answers} <= {"1", "2"}
    assert "takes no more requests" in error_of(answers[0])[2]
    assert cache.upstream.count(path) == 1
    del cache.upstream.faults[path]
    wait_until(lambda: cache.manifest(name, "v1").text == image.manifest)
