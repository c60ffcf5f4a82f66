"""What the console's pages show and do, without scripts."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest

from tests.support.console import Visitor, image_of
from tests.support.images import OCI_CONFIG, Blob, MadeImage, make_image
from tests.support.policies import allow, policy
from tests.support.pushing import make_index, push_image
from tests.support.server import ACCOUNT, Server

CONFIG = {
    "architecture": "amd64",
    "os": "linux",
    "config": {"Labels": {"team": "storage"}, "Env": ["A=1"], "Cmd": ["/bin/run"]},
    "history": [
        {"created_by": "ADD rootfs.tar /"},
        {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": "RUN make install"},
    ],
}
EXPIRE_ALL = {
    "rules": [
        {
            "rulePriority": 7,
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
            "action": {"type": "expire"},
        }
    ]
}


def refusals(text: str) -> list[str]:
    return re.findall(r'class="refused" role="alert">([^<]*)<', text)


def test_repository_is_made_set_locked_and_unlocked(root: Visitor) -> None:
    assert root.post("create", name="made/here", mode="IMMUTABLE").status_code == 303

    page = root.get("r/made/here/-/settings")
    assert '<option value="IMMUTABLE" selected>' in page.text
    root.post("r/made/here/-/lock")
    assert "locked" in root.get("r/made/here").text
    refused = root.post("r/made/here/-/delete", confirmed="made/here")
    assert refused.status_code == 400
    assert "is locked against deletion" in refused.text
    root.post("r/made/here/-/unlock")
    assert root.post("r/made/here/-/delete", confirmed="made/here").status_code == 303


def test_creation_that_is_refused_keeps_what_was_typed(root: Visitor) -> None:
    answer = root.post("create", name="Bad Name")

    assert answer.status_code == 400
    assert 'value="Bad Name"' in answer.text
    assert "repositoryName" in refusals(answer.text)[0]


def test_deletion_says_what_goes_and_is_undone(server: Server, root: Visitor) -> None:
    root.post("create", name="to/delete")
    image = make_image(5000)
    push_image(server.ecr(), "to/delete", image, "v1")

    page = root.get("r/to/delete/-/delete")
    assert "1 images with all their tags" in page.text
    assert "that are nowhere else" in page.text
    assert root.post("r/to/delete/-/delete", confirmed="other").status_code == 400
    root.post("r/to/delete/-/delete", confirmed="to/delete")
    assert root.get("r/to/delete").status_code == 404
    trash = root.get("trash").text
    found = re.search(r'value="to/delete"><input type="hidden" name="id" value="(\d+)', trash)
    assert found is not None
    assert root.post("trash", name="to/delete", id=found[1]).status_code == 303

    assert image.digest in root.get("r/to/delete").text


def test_repositories_are_searched_and_paged(server: Server, root: Visitor) -> None:
    ecr = server.ecr()
    for number in range(60):
        ecr.create_repository(repositoryName=f"page/{number:02d}")

    first = root.get("repositories?search=page/")
    following = re.search(r'rel="next" href="/console/([^"]+)"', first.text)
    assert following is not None
    second = root.get(following[1].replace("&amp;", "&"))
    found = root.get("repositories?search=AGE/4", **{"HX-Request": "true"})

    assert "page/49" in first.text
    assert "page/50" not in first.text
    assert "page/59" in second.text
    assert len(re.findall("href=./console/r/page/4", found.text)) == 10
    assert "<html" not in found.text
    assert "There is no repository" in root.get("repositories?search=%25").text


def test_image_shows_layers_config_labels_and_how_to_pull(server: Server, root: Visitor) -> None:
    root.post("create", name="shown")
    image = image_of(json.dumps(CONFIG).encode(), 3000, 1000)
    push_image(server.ecr(), "shown", image, "v1", "latest")

    page = root.get(f"r/shown/-/image/{image.digest}").text

    assert re.findall(r'<rect class="tone\d" x="([0-9.]+)" y="0" width="([0-9.]+)"', page) == [
        ("0.0", "750.0"),
        ("750.0", "250.0"),
    ]
    assert "RUN make install" in page
    assert "storage" in page
    assert f"docker pull {server.host}/shown:latest" in page
    assert f"docker pull {server.host}/shown@{image.digest}" in page
    assert "v1" in root.get("r/shown?search=v1").text
    assert "There is no image" in root.get("r/shown?search=v2").text


def test_index_shows_its_platforms(server: Server, root: Visitor) -> None:
    root.post("create", name="many")
    image = make_image(100)
    push_image(server.ecr(), "many", image)
    document = json.loads(make_index(image))
    document["manifests"][0]["platform"] = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    made = server.ecr().put_image(repositoryName="many", imageManifest=json.dumps(document))

    page = root.get(f"r/many/-/image/{made['image']['imageId']['imageDigest']}").text

    assert "linux/arm64/v8" in page
    assert f"/console/r/many/-/image/{image.digest}" in page


def test_two_images_are_compared(server: Server, root: Visitor) -> None:
    ecr = server.ecr()
    root.post("create", name="compared")
    one = image_of(json.dumps(CONFIG).encode(), 3000, 1000)
    changed = {**CONFIG, "config": {"Labels": {"team": "network"}, "Env": ["A=1", "B=2"]}}
    more = image_of(json.dumps(changed).encode(), 500)
    other = MadeImage(more.config, (one.layers[0], *more.layers))
    push_image(ecr, "compared", one, "one")
    push_image(ecr, "compared", more)
    ecr.put_image(repositoryName="compared", imageManifest=other.manifest, imageTag="other")

    page = root.get("r/compared/-/compare?one=one&other=other").text

    assert "1 in both (3.0 kB); whoever has the one pulls 500 B for the other." in page
    rows = re.findall("<tr><td><bdi>(.*?)</bdi></td><td>(.*?)</td><td>(.*?)</td></tr>", page)
    plain = {name: (re.sub("<.*?>", "", a), re.sub("<.*?>", "", b)) for name, a, b in rows}
    assert plain == {
        "Cmd": ("[&#34;/bin/run&#34;]", "not there"),
        "Env B": ("not there", "2"),
        "Labels team": ("storage", "network"),
    }
    assert "does not exist" in root.get("r/compared/-/compare?one=one&other=none").text
    assert 'name="one"' in root.get("r/compared/-/compare").text


def test_sizes_and_times_are_shown_where_they_are_asked_for(server: Server, root: Visitor) -> None:
    root.post("create", name="sized/one")
    root.post("create", name="sized/two")
    push_image(server.ecr(), "sized/one", MadeImage(Blob(b"{}", OCI_CONFIG), (Blob(b"x" * 998),)))

    page = root.get("repositories?search=sized&sizes=yes").text

    sizes = re.findall(r'class="number">([^<]*)<', page)
    assert sizes == ["Images", "Layers", "Only here", "1", "1.0 kB", "1.0 kB", "0", "0 B", "0 B"]


def test_image_is_deleted(server: Server, root: Visitor) -> None:
    root.post("create", name="one-less")
    digest = push_image(server.ecr(), "one-less", make_image(10), "v1")

    assert root.post(f"r/one-less/-/image/{digest}/delete").status_code == 303

    assert root.get(f"r/one-less/-/image/{digest}").status_code == 404


def test_lifecycle_preview_names_images_and_rules_and_keeps_nothing(
    server: Server, root: Visitor
) -> None:
    root.post("create", name="cycle")
    old = push_image(server.ecr(), "cycle", make_image(4000), "old")
    push_image(server.ecr(), "cycle", make_image(10), "new")
    text = json.dumps(EXPIRE_ALL)

    page = root.post("r/cycle/-/lifecycle/preview", text=text).text
    assert old in page
    assert "<td>7</td>" in page
    assert "<strong>1</strong> images" in page
    assert "LifecyclePolicyText" in root.post("r/cycle/-/lifecycle/preview", text="{").text
    assert "no lifecycle policy" in root.get("r/cycle/-/lifecycle").text
    assert root.post("r/cycle/-/lifecycle", text=text).status_code == 303

    kept = server.ecr().get_lifecycle_policy(repositoryName="cycle")["lifecyclePolicyText"]
    assert json.loads(kept) == EXPIRE_ALL
    assert root.post("r/cycle/-/lifecycle/delete").status_code == 303


def test_policy_is_checked_simulated_and_set(server: Server, reader: Server, root: Visitor) -> None:
    root.post("create", name="guarded")
    name = f"arn:aws:iam::{ACCOUNT}:user/reader"
    text = policy({"Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage", "Sid": "No"})
    asked = {"principal": name, "action": "BatchGetImage", "text": text}

    assert "denied" in root.post("r/guarded/-/policy/check", **asked).text
    allowed = root.post("r/guarded/-/policy/check", **{**asked, "text": '{"Statement": []}'})
    assert "This is no repository policy" in allowed.text
    text = policy(allow("ecr:PutImage", Principal={"AWS": name}))
    asked = {"principal": name, "action": "PutImage", "text": text}
    assert ">allowed</strong>" in root.post("r/guarded/-/policy/check", **asked).text
    assert reader.key_id != server.key_id
    assert root.post("r/guarded/-/policy", text=text).status_code == 303

    found = server.ecr().get_repository_policy(repositoryName="guarded")["policyText"]
    assert json.loads(found) == json.loads(text)


def test_audit_log_has_what_was_done_here_and_is_searched(root: Visitor) -> None:
    root.post("create", name="audited-one")

    page = root.get("audit?search=audited-one").text

    assert "CreateRepository" in page
    assert "audited-one" in page
    assert "No line is so" in root.get("audit?search=no-such-thing").text


def test_registry_shows_counts_and_background_work(root: Visitor) -> None:
    page = root.get("registry").text

    assert "<dt>Repositories</dt>" in page
    assert "Background work" in page


HIDDEN = (
    "Create</a>",
    "Delete</a>",
    "Save</button>",
    "Lock</button>",
    "Scan now",
    "Audit log",
    "Trash",
)
CHANGES: tuple[tuple[str, dict[str, str]], ...] = (
    ("create", {"name": "mine"}),
    ("r/readable/-/settings", {"mode": "IMMUTABLE"}),
    ("r/readable/-/scanning", {"scan_on_push": "yes"}),
    ("r/readable/-/lock", {}),
    ("r/readable/-/unlock", {}),
    ("r/readable/-/delete", {"confirmed": "readable"}),
    ("r/readable/-/lifecycle", {"text": json.dumps(EXPIRE_ALL)}),
    ("r/readable/-/lifecycle/preview", {"text": json.dumps(EXPIRE_ALL)}),
    ("r/readable/-/policy", {"text": policy(allow("ecr:*", Principal="*"))}),
    ("trash", {"name": "readable", "id": "1"}),
)


def test_reader_is_shown_nothing_that_it_may_not_do(
    server: Server, root: Visitor, guest: Visitor
) -> None:
    root.post("create", name="readable")
    digest = push_image(server.ecr(), "readable", make_image(10), "v1")
    paths = ["repositories", "r/readable", "r/readable/-/settings", "registry"]

    pages = [guest.get(path) for path in (*paths, f"r/readable/-/image/{digest}")]

    assert [page.status_code for page in pages] == [200] * 5
    text = "".join(page.text for page in pages)
    assert [word for word in HIDDEN if word in text] == []
    assert "Delete this image" not in text
    assert "Background work" not in text


@pytest.mark.parametrize(("path", "form"), CHANGES, ids=[path for path, _ in CHANGES])
def test_reader_cannot_do_what_it_may_not(
    root: Visitor, guest: Visitor, path: str, form: dict[str, str]
) -> None:
    root.post("create", name="readable")

    answer = guest.post(path, **form)

    assert answer.status_code == 403 or "not authorized" in answer.text
    assert "is not authorized to perform" in answer.text


@pytest.mark.parametrize("path", ["trash", "audit"])
def test_reader_cannot_see_what_it_may_not(guest: Visitor, path: str) -> None:
    assert guest.get(path).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        *("nope", "r", "r/", "r/x", "r/a/-/nope", "image", "r/Bad Name", "r/a\0b", "r/a/../b"),
        *("r/a/-/image/sha256:00", f"r/a/-/image/sha256:{'0' * 64}", "r/a/-/image/md5:00"),
        *("r/a?before=x", "r/a?before=99999999999999999999", "repositories?after=%00%ff"),
        *("r/a/-/compare?one=x&other=%00", "r/a/-/compare?one=sha256:0&other=x"),
        *("audit?search=%ff%00", "r/a/-/usage", "r/a/-/lifecycle/preview", "%ff", "r/%ff"),
    ],
)
def test_bad_path_is_told_so(root: Visitor, path: str) -> None:
    answer = root.get(quote(path, safe="/?=%:"))

    assert answer.status_code in {200, 400, 404}
    assert "The server failed" not in answer.text
