"""Host names: which registry one names, and which one leads a client to a registry."""

from __future__ import annotations

import pytest

from ecrate.domain.names import RegistryRef
from ecrate.web.hosts import Hosts, registry_of

HERE = RegistryRef("000000000000", "us-east-1")
THERE = RegistryRef("111122223333", "eu-west-1")


@pytest.mark.parametrize(
    ("host", "registry"),
    [
        pytest.param("111122223333.dkr.ecr.eu-west-1.amazonaws.com", THERE, id="amazon"),
        pytest.param("111122223333.dkr.ecr.eu-west-1.localhost:5100", THERE, id="port"),
        pytest.param("111122223333.dkr.ecr.eu-west-1.x", THERE, id="one-label"),
        pytest.param("111122223333.DKR.ECR.EU-WEST-1.Example.COM", THERE, id="capitals"),
        pytest.param("", None, id="none"),
        pytest.param("localhost:5100", None, id="plain"),
        pytest.param("127.0.0.1", None, id="address"),
        pytest.param("[::1]:5100", None, id="address-6"),
        pytest.param("11112222333.dkr.ecr.eu-west-1.localhost", None, id="eleven-digits"),
        pytest.param("1111222233334.dkr.ecr.eu-west-1.localhost", None, id="thirteen-digits"),
        pytest.param("111122223333.dkr.ecr.eu-west-1", None, id="nothing-behind"),
        pytest.param("111122223333.dkr.ecr.eu-west-1.", None, id="only-a-dot-behind"),
        pytest.param("111122223333.dkr.ecr..localhost", None, id="no-region"),
        pytest.param(f"111122223333.dkr.ecr.{'r' * 26}.localhost", None, id="long-region"),
        pytest.param("111122223333.dkr.ecr.eu_west_1.localhost", None, id="no-region-name"),
        pytest.param("x.111122223333.dkr.ecr.eu-west-1.localhost", None, id="something-before"),
        pytest.param("111122223333xdkrxecr.eu-west-1.localhost", None, id="no-dots"),
    ],
)
def test_registry_of(host: str, registry: RegistryRef | None) -> None:
    assert registry_of(host) == registry


def test_registry_of_takes_ascii_digits_only() -> None:
    digits = "".join(chr(0x0661 + int(digit)) for digit in "011112222333")

    assert registry_of(f"{digits}.dkr.ecr.eu-west-1.localhost") is None


@pytest.mark.parametrize(
    ("hosts", "asked_at", "registry", "expected"),
    [
        pytest.param(Hosts(), "box:5100", HERE, "box:5100", id="own-registry"),
        pytest.param(
            Hosts(), "box:5100", THERE, f"{THERE.id}.dkr.ecr.eu-west-1.localhost:5100", id="other"
        ),
        pytest.param(
            Hosts(), "box", THERE, f"{THERE.id}.dkr.ecr.eu-west-1.localhost", id="other-no-port"
        ),
        pytest.param(
            Hosts(),
            f"{HERE.id}.dkr.ecr.us-east-1.box:5100",
            HERE,
            f"{HERE.id}.dkr.ecr.us-east-1.box:5100",
            id="registry-host",
        ),
        pytest.param(
            Hosts(),
            f"{HERE.id}.dkr.ecr.us-east-1.box:5100",
            THERE,
            f"{THERE.id}.dkr.ecr.eu-west-1.box:5100",
            id="other-from-registry-host",
        ),
        pytest.param(
            Hosts(),
            f"{THERE.id}.DKR.ECR.eu-west-1.box:5100",
            HERE,
            f"{HERE.id}.dkr.ecr.us-east-1.box:5100",
            id="own-from-another-host",
        ),
        pytest.param(
            Hosts("{account}.{region}.registry.example"),
            "box:5100",
            THERE,
            f"{THERE.id}.eu-west-1.registry.example",
            id="template",
        ),
        pytest.param(
            Hosts("{account}.example", "https://public.example"),
            "box:5100",
            HERE,
            f"{HERE.id}.example",
            id="template-before-public-url",
        ),
        pytest.param(
            Hosts(public_url="https://public.example/"),
            "box:5100",
            HERE,
            "public.example",
            id="public-url",
        ),
        pytest.param(
            Hosts(public_url="https://public.example:8443"),
            "box:5100",
            THERE,
            f"{THERE.id}.dkr.ecr.eu-west-1.localhost:8443",
            id="other-from-public-url",
        ),
    ],
)
def test_host_leads_to_the_registry(
    hosts: Hosts, asked_at: str, registry: RegistryRef, expected: str
) -> None:
    assert hosts.host(asked_at, HERE, registry) == expected


@pytest.mark.parametrize(
    ("hosts", "scheme", "base"),
    [
        pytest.param(Hosts(), "http", "http://box:5100", id="plain"),
        pytest.param(Hosts(has_tls=True), "https", "https://box:5100", id="tls"),
        pytest.param(
            Hosts(public_url="https://public.example/"),
            "https",
            "https://public.example",
            id="proxy-with-tls",
        ),
        pytest.param(
            Hosts(public_url="http://public.example", has_tls=True),
            "http",
            "http://public.example",
            id="proxy-without-tls",
        ),
    ],
)
def test_base_is_the_address_clients_use(hosts: Hosts, scheme: str, base: str) -> None:
    assert hosts.scheme() == scheme
    assert hosts.base("box:5100") == base
