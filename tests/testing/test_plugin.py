from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from ecrate.testing import running_server
from tests.support.clients import find_program

TESTS = """
import os
import unittest

import boto3
import pytest


def test_one(ecrate):
    image = ecrate.push_image("app", "v1", "v2")
    (detail,) = ecrate.ecr.describe_images(repositoryName="app")["imageDetails"]
    assert detail["imageDigest"] == image.digest
    assert detail["imageTags"] == ["v1", "v2"]
    assert image.uri == f"{ecrate.host}/app:v1"


def test_two_begins_with_nothing(ecrate):
    assert ecrate.ecr.describe_repositories()["repositories"] == []


def test_environment_leads_boto3_there(ecrate_environment):
    boto3.client("ecr").create_repository(repositoryName="app")
    assert len(ecrate_environment.ecr.describe_repositories()["repositories"]) == 1
    who = boto3.client("sts").get_caller_identity()
    assert who["Account"] == ecrate_environment.account


@pytest.mark.parametrize("number", [1, 2])
def test_session_goes_on(ecrate_session, number):
    ecrate_session.push_image(f"app{number}")
    assert len(ecrate_session.ecr.describe_repositories()["repositories"]) == number


def test_faults(ecrate):
    with ecrate.inject("error", "DescribeRepositories", times=1):
        ecrate.ecr.describe_repositories()  # botocore tries again


def test_parity_is_on(ecrate):
    assert ecrate.ecr.get_account_setting(name="BLOB_MOUNTING")["value"] == "DISABLED"


class InUnittest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _registry(self, ecrate):
        self.ecrate = ecrate

    def test_push(self):
        self.assertTrue(self.ecrate.push_image().digest)
"""


def test_fixtures_work_in_a_project_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\necrate_parity = true\n")
    before = {process.pid for process in psutil.process_iter()}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert "8 passed" in done.stdout, done.stdout
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if process.pid not in before
        and "--dev" in (process.info["cmdline"] or ())
        and process.ppid() == 1
    ]
    assert left == []


@pytest.mark.clients
def test_image_can_be_pulled_by_a_real_client(tmp_path: Path) -> None:
    skopeo = find_program("skopeo")
    with ExitStack() as opened, running_server() as server:
        registry = opened.enter_context(closing(server.registry()))
        image = registry.push_image("app", "v1", layers=2, platform="linux/arm64")
        user, password = registry.login()

        done = subprocess.run(
            [
                *(skopeo, "--override-arch", "arm64", "copy", "--src-tls-verify=false"),
                *("--src-creds", f"{user}:{password}"),
                *(f"docker://{image.uri}", f"oci:{tmp_path / 'copy'}:v1"),
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    assert done.returncode == 0, done.stderr
