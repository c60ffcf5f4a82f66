"""What others wrote is shown, and does nothing."""

from __future__ import annotations

import gzip
import html
import io
import json
import re
from pathlib import Path
from typing import cast

import pytest

from ecrate.console.files import list_files
from ecrate.console.images import draw_layers
from ecrate.console.pages import Pages, ago, human_bytes, shown
from ecrate.domain.images import parse_manifest
from tests.support.cli import run_advisories
from tests.support.console import Visitor, image_of
from tests.support.images import Blob, MadeImage, make_image
from tests.support.pushing import push_image, push_layer
from tests.support.scanning import advisory, image_with, layer, python
from tests.support.server import Server

SCRIPT = "<script>alert(1)</script><img src=x onerror=alert(2)>"
TURNED = "evil\u202etxt.exe\u2066\x07\x1b[31m\u200b"
HOSTILE = {
    "architecture": SCRIPT,
    "config": {
        "Labels": {SCRIPT: TURNED, "javascript:": '"><svg onload=alert(3)>'},
        "Env": [SCRIPT, 5, None],
        "Entrypoint": {"not": "a list"},
        "Cmd": 17,
    },
    "history": [{"created_by": SCRIPT + TURNED}, "no step", {"created": 5}],
}
ODD_CONFIGS = (
    b"[]",
    b"5",
    b"{",
    b'{"config": []}',
    b'{"config": {"Labels": ["a"], "Env": {"b": 1}}, "history": {}}',
    b'{"config": {"Labels": {"a": {"b": [1]}}}, "history": [{"created_by": 3}, null]}',
    b'{"history": "text", "config": "text"}',
    b"\xff\xfe",
    b"[" * 100_000,
)


def with_annotations(image: MadeImage, **annotations: str) -> str:
    return json.dumps({**image.document, "annotations": annotations})


def test_hostile_texts_are_spelled_out(server: Server, root: Visitor) -> None:
    ecr = server.ecr()
    root.post("create", name="hostile")
    image = image_of(json.dumps(HOSTILE).encode(), 10)
    for blob in image.blobs:
        push_layer(ecr, "hostile", blob.content)
    document = with_annotations(image, **{SCRIPT: TURNED})
    made = ecr.put_image(repositoryName="hostile", imageManifest=document, imageTag="v1")
    digest = made["image"]["imageId"]["imageDigest"]
    ecr.tag_resource(
        resourceArn="arn:aws:ecr:us-east-1:000000000000:repository/hostile",
        tags=[{"Key": "a=b", "Value": "x @y"}],
    )

    page = root.get(f"r/hostile/-/image/{digest}").text

    assert SCRIPT not in page
    assert "<svg onload" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert re.findall("[\u202e\u2066\x07\x1b\u200b]", page) == []
    assert r"evil\u202etxt.exe" in page


@pytest.mark.parametrize("config", ODD_CONFIGS, ids=range(len(ODD_CONFIGS)))
def test_config_that_is_none_does_not_keep_the_page_from_being_shown(
    server: Server, root: Visitor, config: bytes
) -> None:
    root.post("create", name="odd")
    digest = push_image(server.ecr(), "odd", image_of(config, 10))

    answer = root.get(f"r/odd/-/image/{digest}")

    assert answer.status_code == 200
    assert digest in answer.text


def test_files_of_a_layer_are_listed_and_searched(server: Server, root: Visitor) -> None:
    root.post("create", name="files")
    packed = layer({"etc/passwd": b"root", "app/.wh.old": b"", f"x/{TURNED}": SCRIPT.encode()})
    push_image(server.ecr(), "files", MadeImage(make_image(1).config, (Blob(packed),)))
    path = f"r/files/-/files?layer={Blob(packed).digest}"

    page = root.get(path).text
    found = root.get(f"{path}&search=passwd").text

    assert "<bdi>etc/passwd</bdi>" in page
    assert "-rw-r--r--" in page
    assert "deleted</span> <bdi>app/old</bdi>" in page
    assert "\u202e" not in page
    assert re.findall("<bdi>(.*?)</bdi></td>", found) == ["etc/passwd"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(b"no archive" * 100, "it is no tar archive", id="no archive"),
        pytest.param(gzip.compress(b"x" * 2000)[:-9], "it is no tar archive", id="cut off"),
        pytest.param(gzip.compress(bytes(300 << 20), 1), "No file is so", id="zeros"),
        pytest.param(b"", "No file is so", id="empty"),
    ],
)
def test_layer_that_is_no_archive_is_told_so(content: bytes, told: str) -> None:
    files, objection = list_files(cast("io.RawIOBase", io.BytesIO(content)), "")

    text = Pages().render(
        "files.html", files=files, objection=objection, layer="a:b", search="", files_path=""
    )
    assert told in text


@pytest.mark.parametrize("digest", ["", "sha256:0", f"sha256:{'0' * 64}"])
def test_files_of_a_layer_that_is_not_there_are_refused(root: Visitor, digest: str) -> None:
    root.post("create", name="files")

    assert root.get(f"r/files/-/files?layer={digest}").status_code in {400, 404}


def test_search_is_repeated_as_text(root: Visitor) -> None:
    page = root.get(f"repositories?search={SCRIPT}").text

    assert "<script>alert" not in page
    assert "&lt;script&gt;" in page


def test_message_of_an_address_is_never_shown(root: Visitor) -> None:
    assert "call this number" not in root.get("repositories?told=call this number").text


def test_policy_with_hidden_characters_is_edited_as_the_same_policy(
    server: Server, root: Visitor
) -> None:
    root.post("create", name="hidden")
    rule = {"Effect": "Allow", "Principal": "*", "Action": "ecr:*"}
    document = {"Version": "2012-10-17", "Id": "a\u202eb", "Statement": [rule]}
    text = json.dumps(document, ensure_ascii=False)
    server.ecr().set_repository_policy(repositoryName="hidden", policyText=text)

    page = root.get("r/hidden/-/policy").text

    edited = re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)
    assert edited is not None
    assert "\u202e" not in edited[1]
    assert json.loads(html.unescape(edited[1])) == document


def test_findings_are_sorted_and_filtered(server: Server, root: Visitor, tmp_path: Path) -> None:
    ecr = server.ecr()
    low = advisory("T-LOW", "aaa", ("introduced", "0"), summary=SCRIPT)
    high = advisory("T-HIGH", "zzz", ("introduced", "0"))
    high["severity"] = [
        {"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}
    ]
    for one in (low, high):
        (tmp_path / f"{one['id']}.json").write_text(json.dumps(one), encoding="utf-8")
    run_advisories(server, "import", str(tmp_path))
    root.post("create", name="scanned")
    image = image_with(python("aaa", "1.0"), python("zzz", "1.0"))
    digest = push_image(ecr, "scanned", image, "v1")
    assert "has not been scanned" in root.get(f"r/scanned/-/image/{digest}/findings").text
    assert root.post(f"r/scanned/-/image/{digest}/scan").status_code == 303
    ecr.get_waiter("image_scan_complete").wait(
        repositoryName="scanned",
        imageId={"imageDigest": digest},
        WaiterConfig={"Delay": 1, "MaxAttempts": 60},
    )

    page = root.get(f"r/scanned/-/image/{digest}/findings").text
    by_package = root.get(f"r/scanned/-/image/{digest}/findings?order=package").text
    only = root.get(f"r/scanned/-/image/{digest}/findings?search=zzz").text

    assert page.index("T-HIGH") < page.index("T-LOW")
    assert by_package.index("T-LOW") < by_package.index("T-HIGH")
    assert "T-LOW" not in only
    assert SCRIPT not in page


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        pytest.param("plain é 漢 עברית\t\n", "plain é 漢 עברית\t\n", id="text"),
        pytest.param("\0\x1b\x7f\x85", r"\u0000\u001b\u007f\u0085", id="controls"),
        pytest.param("\u202e\u2069\u061c", r"\u202e\u2069\u061c", id="order"),
        pytest.param("\ud800", r"\ud800", id="half a pair"),
    ],
)
def test_shown_spells_out_what_would_not_show(text: str, seen: str) -> None:
    assert shown(text) == seen


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (10**19, "10000.0 PB")]
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert human_bytes(count) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [(0, "just now"), (120, "2 min ago"), (7200, "2 h ago"), (864_000, "10 days ago")],
)
def test_times_for_people(age: float, text: str) -> None:
    assert ago(1_000_000, 1_000_000 + age) == text


def test_layers_of_no_bytes_are_drawn() -> None:
    image = make_image(0, 0)

    drawn = draw_layers(parse_manifest(image.manifest.encode()), None)

    assert [layer.width for layer in drawn] == [0.0, 0.0]


def test_templates_escape_by_themselves() -> None:
    assert "&lt;b&gt;" in Pages().render("refused.html", message="<b>")
