"""Pull through cache rules: which repository stands for which upstream's."""

from __future__ import annotations

import pytest

from ecrate.domain.errors import InvalidParameter
from ecrate.domain.pull_through import Rule, UpstreamUrl, choose_rule, find_local_name


def rule(
    prefix: str, upstream_prefix: str | None = None, url: str = "registry-1.docker.io"
) -> Rule:
    return Rule(prefix, url, None, upstream_prefix, None, None, 0.0, 0.0)


@pytest.mark.parametrize(
    ("made", "local", "upstream"),
    [
        pytest.param(rule("hub"), "hub/library/alpine", "library/alpine", id="prefix"),
        pytest.param(rule("hub/"), "hub/library/alpine", "library/alpine", id="slash"),
        pytest.param(rule("hub", "library"), "hub/alpine", "library/alpine", id="both"),
        pytest.param(rule("ROOT", "ROOT"), "library/alpine", "library/alpine", id="root"),
        pytest.param(rule("ROOT", "library"), "alpine", "library/alpine", id="root-upstream"),
        pytest.param(rule("a/b", "c/d"), "a/b/e", "c/d/e", id="folders"),
    ],
)
def test_names_lead_there_and_back(made: Rule, local: str, upstream: str) -> None:
    assert made.covers(local)
    assert made.upstream_name(local) == upstream
    assert made.local_name(upstream) == local


@pytest.mark.parametrize("name", ["hub", "hubs/alpine", "other/hub/alpine"])
def test_rule_covers_what_lies_below_its_prefix(name: str) -> None:
    assert not rule("hub").covers(name)


def test_rule_is_not_for_what_lies_outside_its_upstream_prefix() -> None:
    assert rule("hub", "library").local_name("bitnami/redis") is None


@pytest.mark.parametrize(
    ("name", "chosen"),
    [("hub/team/x", "hub/team"), ("hub/x", "hub"), ("x", "ROOT"), ("hub", "ROOT")],
)
def test_longest_prefix_wins(name: str, chosen: str) -> None:
    found = choose_rule([rule("ROOT"), rule("hub"), rule("hub/team")], name)

    assert found is not None
    assert found.prefix == chosen


def test_no_rule_covers_everything() -> None:
    assert choose_rule([rule("hub")], "alpine") is None


@pytest.mark.parametrize(
    "source", ["docker.io", "index.docker.io", "registry-1.docker.io", "Docker.IO"]
)
def test_docker_hub_has_several_names(source: str) -> None:
    assert find_local_name([rule("hub")], source, "library/alpine") == "hub/library/alpine"


def test_longest_upstream_prefix_wins() -> None:
    rules = [rule("hub"), rule("official", "library"), rule("quay", url="quay.io")]

    assert find_local_name(rules, "docker.io", "library/alpine") == "official/alpine"
    assert find_local_name(rules, "docker.io", "bitnami/redis") == "hub/bitnami/redis"
    assert find_local_name(rules, "quay.io", "a/b") == "quay/a/b"
    assert find_local_name(rules, "ghcr.io", "a/b") is None


def test_port_is_part_of_a_name() -> None:
    rules = [rule("up", url="http://registry.example:5000")]

    assert find_local_name(rules, "registry.example:5000", "a/b") == "up/a/b"
    assert find_local_name(rules, "registry.example", "a/b") is None


@pytest.mark.parametrize(
    ("text", "whole", "kind"),
    [
        ("quay.io", "https://quay.io", "quay"),
        ("https://QUAY.io/", "https://quay.io", "quay"),
        ("http://quay.io", "http://quay.io", None),
        ("quay.io:444", "https://quay.io:444", None),
        ("quay.io.example", "https://quay.io.example", None),
        ("[::1]:5000", "https://[::1]:5000", None),
        ("my-registry.example", "https://my-registry.example", None),
    ],
)
def test_url_is_read(text: str, whole: str, kind: str | None) -> None:
    url = UpstreamUrl.parse(text)

    assert (url.text, url.kind) == (whole, kind)


@pytest.mark.parametrize(
    "text",
    ["", "https://", "ftp://a", "a/b", "a?b", "a#b", "user@a", "a:", "a:0", "a:99999", "a b", "-a"],
)
def test_url_that_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(InvalidParameter):
        UpstreamUrl.parse(text)
