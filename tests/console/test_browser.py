"""The console in a real browser: what scripts add, how it looks, and who can use it.

All of it is in one module, which has one browser: Playwright keeps an event loop in the thread for
as long as it is there. `-o tmp_path_retention_policy=all` keeps the screenshots.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.support.clients import find_program
from tests.support.console import image_of
from tests.support.images import MadeImage, make_image
from tests.support.policies import policy
from tests.support.pushing import push_image
from tests.support.server import Server

pytestmark = pytest.mark.clients
PATIENCE = 15_000
CONFIG = {
    "os": "linux",
    "architecture": "amd64",
    "config": {"Labels": {"team": "storage"}, "Cmd": ["/bin/run"]},
    "history": [{"created_by": "ADD rootfs.tar /"}, {"created_by": "RUN make install"}],
}
KEEP_ONE: dict[str, Any] = {
    "rules": [
        {
            "rulePriority": 3,
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
            "action": {"type": "expire"},
        }
    ]
}
LOOKS = {
    "light": {"color_scheme": "light", "viewport": {"width": 1200, "height": 800}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1200, "height": 800}},
    "phone": {"color_scheme": "light", "viewport": {"width": 375, "height": 740}},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's chromium."""
    program = find_program("chromium")
    with sync_playwright() as playwright:
        # Its sandbox takes a user of its own, and pages are ours.
        options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        opened = playwright.chromium.launch(executable_path=program, args=options)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def image(server: Server) -> MadeImage:
    """An image in the repository `app/web`, which is there."""
    ecr = server.ecr()
    ecr.create_repository(repositoryName="app/web")
    ecr.create_repository(repositoryName="app/other")
    made = image_of(json.dumps(CONFIG).encode(), 30_000, 10_000)
    push_image(ecr, "app/web", made, "v1")
    push_image(ecr, "app/web", make_image(10), "v2")
    return made


@pytest.fixture
def open_page(server: Server, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Sign in with a browser of its own look; what goes wrong on its pages fails the test."""
    contexts, wrong = [], []

    def make(key: Server = server, **look: Any) -> Page:
        context = browser.new_context(base_url=server.endpoint, **look)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda told: wrong.append(told.text) if told.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.goto("/console/")
        page.get_by_label("Access key id").fill(key.key_id)
        page.get_by_label("Secret access key").fill(key.secret)
        page.get_by_label("Secret access key").press("Enter")
        expect(page.get_by_role("heading", name="Repositories")).to_be_visible()
        return page

    yield make
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.mark.usefixtures("image")
def test_search_finds_while_it_is_typed(open_page: Callable[..., Page]) -> None:
    page = open_page()

    page.get_by_label("Search by name").press_sequentially("web")

    expect(page.get_by_role("link", name="app/other")).to_have_count(0)
    expect(page.get_by_role("link", name="app/web")).to_be_visible()


def test_repository_is_made_deleted_and_restored(open_page: Callable[..., Page]) -> None:
    page = open_page()

    page.get_by_role("link", name="Create").click()
    page.get_by_label("Name").fill("from/browser")
    page.get_by_role("button", name="Create").click()
    expect(page.get_by_role("status")).to_have_text("The repository is there.")
    page.get_by_role("link", name="Delete").click()
    page.get_by_label("Type the repository's name").fill("from/browser")
    page.get_by_role("button", name="Delete the repository").click()
    page.get_by_role("link", name="Trash").click()
    page.get_by_role("button", name="Restore from/browser").click()

    expect(page.get_by_role("heading", name="from/browser")).to_be_visible()


def test_image_is_shown_and_its_command_copied(
    server: Server, open_page: Callable[..., Page], image: MadeImage
) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])

    page.goto(f"/console/r/app/web/-/image/{image.digest}")
    page.get_by_role("button", name="Copy: docker pull by tag v1").click()

    expect(page.get_by_text("Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"docker pull {server.host}/app/web:v1"
    widths = [rect.bounding_box() for rect in page.locator("svg.layers rect").all()]
    first, second = (box["width"] if box else 0.0 for box in widths)
    assert first / second == pytest.approx(3.0, rel=0.02)


def test_files_of_a_layer_are_shown_in_its_place(
    open_page: Callable[..., Page], image: MadeImage
) -> None:
    page = open_page()

    page.goto(f"/console/r/app/web/-/image/{image.digest}")
    page.get_by_role("link", name="Files of layer 1").click()

    expect(page.locator(".layerlist")).to_contain_text("The layer is not read further")
    expect(page.locator("svg.layers")).to_be_visible()


@pytest.mark.usefixtures("image")
def test_lifecycle_preview_follows_what_is_typed(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto("/console/r/app/web/-/lifecycle")
    expect(page.locator("#preview")).to_contain_text("0 images")

    page.get_by_label("Policy").fill(json.dumps(KEEP_ONE))
    expect(page.locator("#preview")).to_contain_text("1 images")
    expect(page.locator("#preview")).to_contain_text("v1")
    page.get_by_label("Policy").fill('{"rules": 5}')

    expect(page.locator("#preview")).to_contain_text("LifecyclePolicyText")


@pytest.mark.usefixtures("image")
def test_policy_is_simulated_as_it_is_typed(reader: Server, open_page: Callable[..., Page]) -> None:
    assert reader.key_id
    page = open_page()
    page.goto("/console/r/app/web/-/policy")
    denial = {"Effect": "Deny", "Principal": "*", "Action": "ecr:BatchGetImage"}

    page.get_by_role("textbox", name="Policy").fill(policy(denial))
    page.get_by_label("Who").select_option(label="arn:aws:iam::000000000000:user/reader")

    expect(page.locator("#decision")).to_contain_text("denied")


@pytest.mark.usefixtures("image")
def test_events_come_in_as_they_happen(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.goto("/console/registry")
    expect(page.locator("#live")).to_be_visible()

    push_image(server.ecr(), "app/other", make_image(10), "just-now")

    expect(page.locator("#events")).to_contain_text("just-now")


@pytest.mark.usefixtures("image")
def test_page_is_used_by_keyboard_alone(open_page: Callable[..., Page]) -> None:
    page = open_page()

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("web")

    expect(page.get_by_role("link", name="app/other")).to_have_count(0)


@pytest.mark.parametrize("look", LOOKS)
def test_pages_are_accessible_and_fit(
    open_page: Callable[..., Page], image: MadeImage, tmp_path: Path, look: str
) -> None:
    page = open_page(**LOOKS[look])
    paths = {
        "repositories": "repositories",
        "repository": "r/app/web",
        "image": f"r/app/web/-/image/{image.digest}",
        "compare": "r/app/web/-/compare?one=v1&other=v2",
        "settings": "r/app/web/-/settings",
        "lifecycle": "r/app/web/-/lifecycle",
        "policy": "r/app/web/-/policy",
        "delete": "r/app/web/-/delete",
        "registry": "registry",
        "trash": "trash",
        "audit": "audit",
    }
    found: dict[str, str] = {}
    wide = []

    for name, path in paths.items():
        page.goto(f"/console/{path}", wait_until="load")
        page.screenshot(path=tmp_path / f"{name}-{look}.png", full_page=True)
        violations = Axe().run(page).response["violations"]
        found |= {f"{name}: {one['id']}": one["nodes"][0]["html"] for one in violations}
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            wide.append(name)

    assert found == {}
    assert wide == []
