"""A browser without scripts, as far as the console needs one."""

from __future__ import annotations

import re
from dataclasses import dataclass

import httpx

from tests.support.images import OCI_CONFIG, Blob, MadeImage, make_image

_TOKEN = re.compile(r'name="token" value="([^"]+)"')


@dataclass
class Visitor:
    """Keeps cookies, as its client does, and the token of the last form it saw."""

    client: httpx.Client
    token: str = ""

    def get(self, path: str, **headers: str) -> httpx.Response:
        answer = self.client.get(f"/console/{path}", headers=headers)
        found = _TOKEN.search(answer.text)
        self.token = found[1] if found else self.token
        return answer

    def post(self, path: str, **form: str) -> httpx.Response:
        """Send a form with its token."""
        return self.client.post(f"/console/{path}", data={"token": self.token, **form})

    def sign_in(self, key_id: str, secret: str, region: str = "us-east-1") -> httpx.Response:
        self.get("sign-in")
        answer = self.post("sign-in", key=key_id, secret=secret, region=region)
        if answer.status_code == httpx.codes.SEE_OTHER:
            self.get("create")
        return answer


def image_of(config: bytes, *sizes: int) -> MadeImage:
    """Make an image with this config."""
    return MadeImage(Blob(config, OCI_CONFIG), make_image(*sizes).layers)
