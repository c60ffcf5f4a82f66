"""`ecrate signing`, `verify` and `gate` with a running server: from the push to the pull."""

from __future__ import annotations

import itertools
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from botocore.exceptions import ClientError

from ecrate.signers.keys import read_chain
from tests.cli.conftest import Run
from tests.cli.pushed import push
from tests.support.aws_cli import Ran
from tests.support.images import MadeImage, make_image
from tests.support.registry import wait_until
from tests.support.server import ACCOUNT, REGION, Server
from tests.support.signers import make_signer, pem_of, public_pem

if TYPE_CHECKING:
    from types_boto3_ecr.client import ECRClient

Command = Callable[..., Ran]
_NUMBERS = itertools.count(1)


@pytest.fixture
def ecrate(run: Run, server: Server) -> Command:
    """Run a command on the server's data."""

    def command(name: str, *words: str) -> Ran:
        return run(name, "--data", str(server.data), *words)

    return command


@pytest.fixture
def profile(ecrate: Command) -> str:
    """The name of a new signing profile, with signatures of every form."""
    name = f"profile_{next(_NUMBERS)}"
    formats = ["--format=notary", "--format=cosign", "--format=cosign-tag"]
    answer(ecrate("signing", "create-key", name, *formats))
    return name


def answer(ran: Ran) -> Any:
    """Give what a command printed that did what it should."""
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out or "null")


def certificate(server: Server, profile: str) -> str:
    return str(server.data / "signing" / f"{profile}.pem")


def verify(*words: str) -> Ran:
    """Run the command as the fixture `ecrate` does, with the server's variables."""
    done = subprocess.run(
        [sys.executable, "-m", "ecrate", "verify", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def put_image(server: Server, repository: str) -> MadeImage:
    image = make_image(10)
    push(server, repository, image, "v1")
    return image


def test_a_push_is_signed_and_can_be_verified(
    run: Run, server: Server, ecr: ECRClient, repository: str, profile: str
) -> None:
    arn = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/{profile}"
    rule: Any = {
        "signingProfileArn": arn,
        "repositoryFilters": [{"filter": repository, "filterType": "WILDCARD_MATCH"}],
    }
    ecr.put_signing_configuration(signingConfiguration={"rules": [rule]})
    image = put_image(server, repository)

    def statuses() -> list[Any]:
        found = ecr.describe_image_signing_status(
            repositoryName=repository, imageId={"imageTag": "v1"}
        )
        return list(found["signingStatuses"])

    wait_until(lambda: statuses()[0]["status"] != "IN_PROGRESS")
    told = answer(
        run("verify", f"{repository}:v1", "--trust", certificate(server, profile), "--json")
    )
    ecr.delete_signing_configuration()

    assert statuses() == [{"signingProfileArn": arn, "status": "COMPLETE"}]
    assert (told["digest"], told["verified"]) == (image.digest, True)
    signer = f"CN={profile},O=ecrate"
    found = {(one["kind"], one["signer"], one["problem"]) for one in told["signatures"]}
    assert found == {("notary", signer, None), ("cosign", signer, None)}
    assert len(told["signatures"]) == 3


def test_verify_tells_people_who_has_signed(
    ecrate: Command, server: Server, repository: str, profile: str, tmp_path: Path
) -> None:
    put_image(server, repository)
    signed = answer(ecrate("signing", "sign", profile, f"{repository}:v1"))
    stranger = make_signer(now=0)
    (tmp_path / "stranger.pem").write_bytes(pem_of(stranger.chain))

    good = verify(f"{repository}:v1", "--trust", certificate(server, profile))
    bad = verify(f"{repository}:v1", "--trust", str(tmp_path / "stranger.pem"))

    assert (good.code, good.err) == (0, "")
    lines = [line.split(maxsplit=1) for line in good.out.splitlines()]
    assert [line[0] for line in lines[1:]] == signed["signatures"]
    assert lines[1][1].strip() == f"Notary Project  CN={profile},O=ecrate"
    assert bad.code == 1
    assert bad.err == (
        f"{server.host}/{repository}@{signed['digest']} is not verified: none of its 3 signatures "
        "is by anybody who is trusted\n"
    )
    assert "nobody who is trusted" in bad.out


def test_verify_takes_a_key(
    ecrate: Command, server: Server, repository: str, profile: str, tmp_path: Path
) -> None:
    put_image(server, repository)
    answer(ecrate("signing", "sign", profile, f"{repository}:v1"))
    chain = read_chain(Path(certificate(server, profile)))
    (tmp_path / "key.pem").write_bytes(public_pem(chain))

    ran = verify(f"{repository}:v1", "--key", str(tmp_path / "key.pem"))
    assert (ran.code, ran.err) == (0, "")


def test_verify_of_what_is_not_signed_fails(
    run: Run, server: Server, repository: str, profile: str
) -> None:
    image = put_image(server, repository)

    ran = run("verify", f"{repository}:v1", "--trust", certificate(server, profile))
    assert (ran.code, ran.out) == (1, "")
    name = f"{server.host}/{repository}@{image.digest}"
    assert ran.err == f"{name} is not verified: it has no signature\n"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        pytest.param([], "whom to trust has to be named", id="nobody"),
        pytest.param(["--trust", "/nowhere"], "cannot read /nowhere: No such file", id="no file"),
        pytest.param(["--trust", "/dev/null"], "/dev/null has there have to be 1", id="empty"),
    ],
)
def test_verify_has_to_know_whom_to_trust(run: Run, words: list[str], complaint: str) -> None:
    ran = run("verify", "app", *words)

    assert ran.code != 0
    assert complaint in ran.err


def test_a_key_is_made_once_and_only_its_owner_may_read_it(
    ecrate: Command, server: Server, profile: str
) -> None:
    again = ecrate("signing", "create-key", profile)
    (told,) = [one for one in answer(ecrate("signing", "list")) if one["profile"] == profile]

    key = server.data / "signing" / f"{profile}-key.pem"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert again.code != 0
    assert "is there already, and nothing that is there is overwritten" in again.err
    assert told["subject"] == f"CN={profile},O=ecrate"
    assert told["formats"] == ["notary", "cosign", "cosign-tag"]
    assert told["accounts"] == [ACCOUNT]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        pytest.param(["create-key", "a-b"], "no name of a signing profile", id="name"),
        pytest.param(["create-key", "good", "--days", "0"], "--days has to be", id="days"),
        pytest.param(["create-key", "good", "--subject", "x"], "is no name such as", id="subject"),
        pytest.param(["sign", "missing", "app"], "Repository|repository", id="repository"),
    ],
)
def test_signing_says_what_is_wrong(ecrate: Command, words: list[str], complaint: str) -> None:
    ran = ecrate("signing", *words)

    assert (ran.code != 0, ran.out) == (True, "")
    assert any(one in ran.err for one in complaint.split("|"))


def test_a_gate_refuses_at_both_doors(
    ecrate: Command,
    server: Server,
    http: httpx.Client,
    repository: str,
    profile: str,
) -> None:
    image = put_image(server, repository)
    trust = ("--trust", certificate(server, profile))
    told = answer(ecrate("gate", "put", repository, "--mode", "enforce", *trust))
    checked = answer(ecrate("gate", "check", f"{repository}:v1"))
    path = f"/v2/{repository}/manifests/v1"

    refused, headed = http.get(path), http.head(path)
    batch = server.ecr().batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])
    answer(ecrate("signing", "sign", profile, f"{repository}:v1"))
    passed = http.get(path)
    listed = answer(ecrate("gate", "list"))
    answer(ecrate("gate", "delete", repository))

    reason = (
        f"The image with digest '{image.digest}' may not be pulled from the repository with name "
        f"'{repository}': nobody who is trusted has signed it"
    )
    assert told["trusted"] == [f"CN={profile},O=ecrate"]
    assert (checked["passes"], checked["reason"]) == (False, "nobody who is trusted has signed it")
    assert (refused.status_code, headed.status_code, passed.status_code) == (403, 403, 200)
    assert refused.json() == {"errors": [{"code": "DENIED", "message": reason}]}
    assert batch["images"] == []
    (failure,) = batch["failures"]
    assert (failure["failureCode"], failure["failureReason"]) == ("ImageInaccessible", reason)
    assert [one["repository"] for one in listed] == [repository]
    assert answer(ecrate("gate", "list")) == []


def test_a_gate_lets_everybody_push_and_list(
    ecrate: Command, server: Server, ecr: ECRClient, http: httpx.Client, repository: str
) -> None:
    signer = make_signer(now=0)
    trusted = server.data / "trusted.pem"
    trusted.write_bytes(pem_of(signer.chain))
    answer(ecrate("gate", "put", repository, "--mode", "enforce", "--trust", str(trusted)))

    image = put_image(server, repository)

    described = ecr.describe_images(repositoryName=repository)["imageDetails"]
    referrers = http.get(f"/v2/{repository}/referrers/{image.digest}")
    assert [one["imageDigest"] for one in described] == [image.digest]
    assert (referrers.status_code, referrers.json()["manifests"]) == (200, [])


def test_gate_says_what_is_wrong(ecrate: Command, repository: str) -> None:
    scan = ecrate("gate", "put", repository, "--mode", "enforce", "--max-severity", "BAD")
    empty = ecrate("gate", "put", repository, "--mode", "enforce")
    missing = ecrate("gate", "check", repository)

    assert "'BAD' is none of UNDEFINED, INFORMATIONAL, LOW, MEDIUM, HIGH, CRITICAL" in scan.err
    assert "A gate needs a condition" in empty.err
    assert "has no pull gate" in missing.err
    assert (scan.code, empty.code, missing.code) == (252, 1, 1)


def test_gate_of_a_missing_repository_is_refused(ecrate: Command, server: Server) -> None:
    ran = ecrate("gate", "delete", "no/such")

    assert ran.code == 1
    assert "The repository with name 'no/such' does not exist" in ran.err
    with pytest.raises(ClientError):
        server.ecr().describe_repositories(repositoryNames=["no/such"])
