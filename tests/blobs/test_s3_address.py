"""Addresses of S3 stores as an operator writes them."""

from __future__ import annotations

import pytest

from ecrate.blobs.s3.address import S3Address
from ecrate.blobs.s3.presigning import Credentials, presigned_url

LOCAL = "http://127.0.0.1:8333"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        pytest.param("s3://layers", S3Address("layers", is_virtual=True), id="aws"),
        pytest.param("s3://my.layers/", S3Address("my.layers"), id="dots"),
        pytest.param(
            "s3://layers/a/b_c?region=eu-west-1&profile=my%20own",
            S3Address("layers", "a/b_c/", region="eu-west-1", profile="my own", is_virtual=True),
            id="prefix",
        ),
        pytest.param(
            f"s3://layers?endpoint={LOCAL}&public_endpoint=https://s3.example",
            S3Address("layers", endpoint=LOCAL, public_endpoint="https://s3.example"),
            id="endpoint",
        ),
        pytest.param(
            f"s3://layers?endpoint={LOCAL}&style=virtual",
            S3Address("layers", endpoint=LOCAL, is_virtual=True),
            id="virtual",
        ),
        pytest.param("s3://layers?style=path", S3Address("layers"), id="path"),
    ],
)
def test_parse_reads_what_is_there(url: str, address: S3Address) -> None:
    assert S3Address.parse(url) == address


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        pytest.param("s3://Layers", "the bucket of 3 to 63", id="bucket"),
        pytest.param("s3://user@layers", "the bucket of 3 to 63", id="user"),
        pytest.param("s3://layers/a//b", "the prefix", id="empty-folder"),
        pytest.param("s3://layers/a/../b", "the prefix", id="dots"),
        pytest.param("s3://layers/a%20b", "the prefix", id="quoted"),
        pytest.param(f"s3://layers/{'a' * 512}", "up to 512", id="long-prefix"),
        pytest.param("s3://layers/a#b", "the prefix", id="fragment"),
        pytest.param("s3://layers?endpoint", "NAME=VALUE", id="no-value"),
        pytest.param("s3://layers?endpoint=127.0.0.1:8333", "'endpoint'", id="endpoint"),
        pytest.param(f"s3://layers?endpoint={LOCAL}/s3", "'endpoint'", id="endpoint-with-path"),
        pytest.param("s3://layers?style=auto", "path or virtual", id="style"),
        pytest.param("s3://layers?region=a&region=b", "once", id="twice"),
        pytest.param("s3://layers?acl=public", "unknown parameter 'acl'; known are", id="unknown"),
    ],
)
def test_parse_names_what_is_wrong(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        S3Address.parse(url)


@pytest.mark.parametrize(
    ("address", "endpoint", "base"),
    [
        pytest.param(S3Address("b-1", "p/"), LOCAL, f"{LOCAL}/b-1/p/", id="path"),
        pytest.param(
            S3Address("b-1", "p/", is_virtual=True),
            "https://s3.example:8443",
            "https://b-1.s3.example:8443/p/",
            id="virtual",
        ),
    ],
)
def test_base_url_is_in_the_endpoints_style(address: S3Address, endpoint: str, base: str) -> None:
    assert address.base_url(endpoint) == base


def test_presigned_url_is_that_of_the_documentation() -> None:
    # AWS: the example of "Authenticating Requests: Using Query Parameters".
    credentials = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")

    url = presigned_url(
        "https://examplebucket.s3.amazonaws.com/",
        "test.txt",
        credentials,
        region="us-east-1",
        now=1_369_353_600.0,
        lifetime=86_400,
    )

    assert url == (
        "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
        "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    )


def test_presigned_url_carries_the_token_of_temporary_credentials() -> None:
    plain, temporary = (
        presigned_url(
            f"{LOCAL}/b/", "k", Credentials("A", "s", token), region="r", now=0, lifetime=1
        )
        for token in ("", "to/ken+=")
    )

    assert "&X-Amz-Security-Token=to%2Fken%2B%3D&X-Amz-SignedHeaders" in temporary
    assert plain[-64:] != temporary[-64:]
