from __future__ import annotations

import json
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from ecrate.testing import running_server

SEED = """
[[repositories]]
name = "team/app"
tag_mutability = "IMMUTABLE"
scan_on_push = true
resource_tags = { team = "x" }
lifecycle_policy = '''
{"rules": [{"rulePriority": 1, "action": {"type": "expire"}, "selection":
  {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 10}}]}
'''

[repositories.policy]
Version = "2012-10-17"
Statement = [{ Effect = "Allow", Principal = "*", Action = "ecr:BatchGetImage" }]

[[repositories.images]]
tags = ["v1", "latest"]
size = 5000
layers = 2

[[repositories.images]]
platform = "linux/arm64"

[[repositories]]
name = "elsewhere"
account = "123456789012"
region = "eu-west-1"
"""


def test_seed_is_there_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "seed.toml").write_text(SEED)
    data = tmp_path / "data"

    digests = []
    for _ in range(2):
        arguments = ("--data", str(data))
        with (
            ExitStack() as opened,
            running_server(*arguments, seed=tmp_path / "seed.toml") as server,
        ):
            registry = opened.enter_context(closing(server.registry("000000000000")))
            elsewhere = server.registry("123456789012", "eu-west-1")
            opened.enter_context(closing(elsewhere))
            ecr = registry.ecr
            (repository,) = ecr.describe_repositories()["repositories"]
            details = ecr.describe_images(repositoryName="team/app")["imageDetails"]
            policy = ecr.get_lifecycle_policy(repositoryName="team/app")["lifecyclePolicyText"]
            grant = ecr.get_repository_policy(repositoryName="team/app")["policyText"]
            config = httpx.get(
                f"{server.endpoint}/v2/team/app/manifests/v1", auth=registry.login()
            ).json()
            other = elsewhere.ecr.describe_repositories()
        digests.append(sorted(one["imageDigest"] for one in details))

        assert repository["imageTagMutability"] == "IMMUTABLE"
        assert repository["imageScanningConfiguration"] == {"scanOnPush": True}
        assert sorted(one.get("imageTags", []) for one in details) == [[], ["latest", "v1"]]
        assert len(config["layers"]) == 2
        assert json.loads(policy)["rules"][0]["selection"]["countNumber"] == 10
        assert json.loads(grant)["Statement"][0]["Action"] == "ecr:BatchGetImage"
        assert [one["repositoryName"] for one in other["repositories"]] == ["elsewhere"]
    # Sown again over what was there, it is the same.
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("repositories = 5", "Expected `array`", id="kind"),
        pytest.param("[[repositories]]\nnam = 'x'", "nam", id="unknown"),
        pytest.param("[[repositories]]\nname = 'X'", "repository 'X'", id="name"),
        pytest.param("[[repositories", "is not TOML", id="no TOML"),
        pytest.param(
            "[[repositories]]\nname = 'x1'\nlifecycle_policy = '{}'", "repository 'x1'", id="policy"
        ),
        pytest.param(
            "[[repositories]]\nname = 'x1'\nimages = [{ platform = 'amd64' }]",
            "a platform is OS/ARCHITECTURE",
            id="platform",
        ),
        pytest.param(
            "[[repositories]]\nname = 'x1'\nimages = [{ size = 1000000000 }]",
            "at most 100 layers",
            id="size",
        ),
        pytest.param(None, "cannot read 'seed'", id="missing"),
    ],
)
def test_bad_seed_stops_the_start_with_a_line(tmp_path: Path, text: str | None, told: str) -> None:
    if text is not None:
        (tmp_path / "seed.toml").write_text(text)

    with (
        pytest.raises(RuntimeError) as caught,
        running_server(seed=tmp_path / "seed.toml"),
    ):
        pass

    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
