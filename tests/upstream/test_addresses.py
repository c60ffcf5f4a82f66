"""Which addresses something may be fetched from."""

from __future__ import annotations

import pytest

from ecrate.upstream.addresses import ForbiddenAddressError, is_permitted, look_up, parse_networks


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - nothing is bound
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
    ],
)
def test_address_that_is_not_public_is_refused(address: str) -> None:
    assert not is_permitted(address, ())


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::808:808"])
def test_public_address_is_permitted(address: str) -> None:
    assert is_permitted(address, ())


def test_network_that_is_allowed_is_permitted() -> None:
    networks = parse_networks("10.0.0.0/8, fd00::/8")

    assert is_permitted("10.1.2.3", networks)
    assert is_permitted("fd00::1", networks)
    assert is_permitted("::ffff:10.1.2.3", networks)
    assert not is_permitted("127.0.0.1", networks)
    assert not is_permitted("fe80::1", networks)


@pytest.mark.parametrize("host", ["localhost", "anything.localhost", "127.0.0.1", "0x7f.1", "::1"])
def test_look_up_refuses_this_machine(host: str) -> None:
    with pytest.raises(ForbiddenAddressError, match="the setting 'upstream_networks' allows it"):
        look_up(host, 80, ())


def test_look_up_gives_addresses_that_may_be_connected_to() -> None:
    assert look_up("127.0.0.1", 80, parse_networks("127.0.0.0/8")) == ["127.0.0.1"]
