"""Signing in and out, and what keeps others from acting in somebody's name."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.support.console import Visitor
from tests.support.policies import allow, policy
from tests.support.principals import iam, make_user
from tests.support.server import Server

Visit = Callable[[Server], Visitor]


def cookies_of(answer: httpx.Response) -> str:
    return next(one for one in answer.headers.get_list("Set-Cookie") if "ecrate_console" in one)


def test_page_leads_whoever_has_not_signed_in_there(server: Server, visit: Visit) -> None:
    answer = visit(server).get("repositories")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/sign-in")


def test_address_without_a_slash_leads_there(server: Server, visit: Visit) -> None:
    client = visit(server).client

    assert client.get("/console").headers["Location"] == "/console/"
    assert client.get("/consoles").status_code == 404


def test_sign_in_sets_a_cookie_for_this_site_only(server: Server, visit: Visit) -> None:
    answer = visit(server).sign_in(server.key_id, server.secret)

    cookie = cookies_of(answer)
    assert answer.status_code == 303
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/console/" in cookie


@pytest.mark.parametrize("secret", ["", "wrong", "é"])
def test_sign_in_refuses_another_secret(server: Server, visit: Visit, secret: str) -> None:
    visitor = visit(server)

    answer = visitor.sign_in(server.key_id, secret)

    assert answer.status_code == 403
    assert "There is no such access key, or its secret is another." in answer.text
    assert visitor.get("repositories").status_code == 303


def test_sign_in_without_a_form_of_ours_is_refused(server: Server, visit: Visit) -> None:
    form = {"key": server.key_id, "secret": server.secret}

    answer = visit(server).client.post("/console/sign-in", data=form)

    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


def test_sign_out_holds_at_once_for_the_cookie(root: Visitor) -> None:
    cookies = dict(root.client.cookies)

    answer = root.post("sign-out")

    assert answer.status_code == 303
    root.client.cookies.update(cookies)
    assert root.get("repositories").headers["Location"] == "/console/sign-in"


def test_session_ends_with_its_access_key(server: Server, visit: Visit) -> None:
    user = make_user(server, "short-lived", policy(allow("ecr:*", Resource="*")))
    visitor = visit(user)
    visitor.sign_in(user.key_id, user.secret)
    assert visitor.get("repositories").status_code == 200

    iam(server, "delete-access-key", user.key_id)

    assert visitor.get("repositories").status_code == 303


def test_cookie_that_was_changed_is_no_session(root: Visitor) -> None:
    cookie = root.client.cookies["ecrate_console"]
    root.client.cookies.clear()
    root.client.cookies.set("ecrate_console", f"{cookie[:-2]}AA", path="/console/")

    assert root.get("repositories").status_code == 303


@pytest.mark.parametrize("token", ["", "another"])
def test_change_without_the_sessions_token_is_refused(root: Visitor, token: str) -> None:
    root.token = token

    answer = root.post("create", name="forged")

    assert answer.status_code == 403
    assert root.get("r/forged").status_code == 404


def test_change_with_the_token_of_another_session_is_refused(root: Visitor, guest: Visitor) -> None:
    root.token = guest.token

    assert root.post("create", name="forged").status_code == 403


def test_page_lets_a_browser_load_nothing_from_elsewhere(root: Visitor) -> None:
    answer = root.get("repositories")

    rules = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in rules
    assert "frame-ancestors 'none'" in rules
    assert "unsafe" not in rules
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
def test_other_methods_are_refused(root: Visitor, method: str) -> None:
    assert root.client.request(method, "/console/repositories").status_code == 405


@pytest.mark.parametrize("path", ["static/nothing", "static/../front.py", "static/%2e%2e/front.py"])
def test_static_files_are_those_listed(root: Visitor, path: str) -> None:
    assert root.client.get(f"/console/{path}").status_code == 404


def test_form_that_is_too_long_is_refused(root: Visitor) -> None:
    assert root.post("create", name="x" * 300_000).status_code == 413
