from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.images import digest_of, make_image
from tests.support.pushing import push_image
from tests.support.server import Server, running_server

Samples = dict[str, float]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of two workers that tells of each repository."""
    data = tmp_path_factory.mktemp("counted") / "data"
    env = {"ECRATE_METRICS_REPOSITORIES": "true", "ECRATE_COLLECT_EVERY": "0.1"}
    with running_server(data, "--workers", "2", env=env) as running:
        yield running


def scrape(server: Server) -> Samples:
    answer = httpx.get(f"{server.endpoint}/metrics")
    assert answer.status_code == 200
    found = re.findall(r"^(ecrate_\w+(?:\{.*?\})?) ([\d.e+-]+)$", answer.text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def eventually(server: Server, before: Samples, expected: float, *words: str) -> bool:
    """Tell whether a sample has grown by that much once all workers have told theirs."""
    for _ in range(50):
        if grown(before, scrape(server), *words) >= expected:
            break
        time.sleep(0.1)
    return grown(before, scrape(server), *words) == expected


def grown(before: Samples, after: Samples, *words: str) -> float:
    """Give by how much the sample whose name has all `words` has grown."""
    return sum(
        value - before.get(name, 0.0)
        for name, value in after.items()
        if all(word in name for word in words)
    )


def test_requests_are_counted_by_operation_and_outcome(counted: Server) -> None:
    before = scrape(counted)
    ecr = counted.ecr()
    ecr.create_repository(repositoryName="counted")
    image = make_image(5000)
    push_image(ecr, "counted", image, "v1")

    for _ in range(10):
        # A connection each, so that both workers have some.
        with counted.http() as http:
            assert http.get("/v2/counted/manifests/v1").status_code == 200
            assert http.get("/v2/counted/manifests/v2").status_code == 404

    pulls = ("request_seconds_count", 'operation="BatchGetImage"', 'door="/v2/"')
    assert eventually(counted, before, 10, *pulls, 'outcome="ok"')
    assert eventually(counted, before, 10, *pulls, 'outcome="refused"')
    calls = ("request_seconds_count", 'door="/"')
    assert eventually(counted, before, 2, *calls, 'operation="UploadLayerPart"')
    assert eventually(counted, before, 1, *calls, 'operation="PutImage"')


def test_bytes_are_counted_both_ways(counted: Server) -> None:
    content = b"x" * 300_000
    with counted.http() as http:
        counted.ecr().create_repository(repositoryName="bytes")
        begun = http.post("/v2/bytes/blobs/uploads/").headers["Location"]
        before = scrape(counted)
        # In chunks, so that the head tells no length.
        http.patch(begun, content=iter([content[:200_000], content[200_000:]]))
        http.put(f"{begun}?digest={digest_of(content)}")
        http.get(f"/v2/bytes/blobs/{digest_of(content)}")

    assert eventually(counted, before, 300_000, "ecrate_received_bytes_total", 'door="/v2/"')
    assert eventually(counted, before, 300_000, "ecrate_sent_bytes_total", 'door="/v2/"')


def test_seams_and_jobs_are_timed(counted: Server) -> None:
    ecr = counted.ecr()
    before = scrape(counted)
    ecr.create_repository(repositoryName="seams")
    with pytest.raises(ecr.exceptions.RepositoryAlreadyExistsException):
        ecr.create_repository(repositoryName="seams")
    push_image(ecr, "seams", make_image(20_000))

    writes = ("database_seconds_count", 'kind="write"')
    assert eventually(counted, before, 1, *writes, 'outcome="refused"')
    # The layer had a file from its first part on, the configuration none.
    assert eventually(counted, before, 1, "blobs_seconds_count", 'step="commit"')
    assert eventually(counted, before, 1, "blobs_seconds_count", 'step="put"')
    after = scrape(counted)
    assert grown(before, after, *writes, 'outcome="ok"') >= 7
    assert grown(before, after, *writes, 'outcome="failed"') == 0
    assert after['ecrate_job_seconds_count{job="collector",outcome="ok"}'] > 0


def test_state_is_told(counted: Server) -> None:
    ecr = counted.ecr()
    ecr.create_repository(repositoryName="state")
    push_image(ecr, "state", make_image(1234))
    ecr.initiate_layer_upload(repositoryName="state")

    state = scrape(counted)

    place = 'account="000000000000",region="us-east-1",repository="state"'
    assert state[f"ecrate_repository_images{{{place}}}"] == 1
    assert state[f"ecrate_repository_bytes{{{place}}}"] > 1234
    assert state["ecrate_uploads_open"] >= 1
    assert state["ecrate_uploads_stale"] == 0
    assert state["ecrate_repositories"] >= 1
    assert state["ecrate_database_up"] == 1
    assert state['ecrate_lease_seconds{job="collector"}'] > 0


def test_repositories_are_not_named_unless_asked_for(server: Server) -> None:
    server.ecr().create_repository(repositoryName="metrics/hidden")

    answer = httpx.get(f"{server.endpoint}/metrics")

    assert "ecrate_repositories" in answer.text
    assert "metrics/hidden" not in answer.text


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "Via"])
def test_proxy_gets_no_metrics(server: Server, name: str) -> None:
    answer = httpx.get(f"{server.endpoint}/metrics", headers={name: "for=192.0.2.1"})

    assert answer.status_code == 403


def test_metrics_are_read_only(server: Server) -> None:
    assert httpx.post(f"{server.endpoint}/metrics").status_code == 405


def test_metrics_may_be_off_and_begin_anew(tmp_path: Path) -> None:
    with running_server(tmp_path / "data", "--workers", "1") as running:
        running.ecr().create_repository(repositoryName="one")
    with running_server(tmp_path / "data", "--workers", "1") as running:
        assert grown({}, scrape(running), "request_seconds_count", "CreateRepository") == 0
    with running_server(tmp_path / "data", env={"ECRATE_METRICS": "off"}) as running:
        # Not a path of any door, so it is the AWS door's to refuse.
        assert httpx.get(f"{running.endpoint}/metrics").status_code == 404
