"""`ecrate-credential-provider`: the kubelet gets its credentials for ecrate's and ECR's hosts here.

The kubelet writes a CredentialProviderRequest to standard input for each image that it pulls from
a host of its configuration; the answer is an authorization token of that very host, which the
kubelet keeps until shortly before it ends.

Source: Kubernetes, "Configure a kubelet image credential provider", and the API reference,
"Kubelet CredentialProvider (v1)".
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ecrate.cli.registries import Registries

_VERSION: Final = "credentialprovider.kubelet.k8s.io/v1"
_LONGEST_INPUT: Final = 64 * 1024
_EARLIER: Final = 600.0


def main(words: list[str] | None = None) -> int:
    """Answer the kubelet, errors on standard error, which it logs; give the exit code."""
    from ecrate.cli.failures import CommandError

    words = sys.argv[1:] if words is None else words
    if words in (["version"], ["--version"]):
        from ecrate import __version__

        print(f"ecrate-credential-provider (ecrate) {__version__}")
        return 0
    try:
        from ecrate.cli.registries import plain_registries

        host = _host(sys.stdin.read(_LONGEST_INPUT))
        with plain_registries() as registries:
            print(json.dumps(_answer(registries, host)))
    except (CommandError, OSError) as error:
        print(f"ecrate: {error}", file=sys.stderr)
        return 1
    return 0


def _host(given: str) -> str:
    """Give the host of the image asked about; raises `CommandError`."""
    from ecrate.cli.failures import CommandError

    try:
        request = json.loads(given)
        kind, version, image = request["kind"], request["apiVersion"], request["image"]
    except (ValueError, KeyError, TypeError):
        kind = version = image = None
    if kind != "CredentialProviderRequest" or version != _VERSION or not isinstance(image, str):
        raise CommandError(
            f"standard input has to be a CredentialProviderRequest of {_VERSION} with an image"
        )
    return image.partition("/")[0]


def _answer(registries: Registries, host: str) -> dict[str, Any]:
    """Give the response; without credentials where the host speaks no ECR."""
    response = {
        "kind": "CredentialProviderResponse",
        "apiVersion": _VERSION,
        "cacheKeyType": "Registry",
    }
    client = registries.ecr_client(host)
    if client is None:
        return {**response, "cacheDuration": "0s", "auth": {}}
    token = registries.token(client, host)
    seconds = max(0, int(token.expires_at - time.time() - _EARLIER))
    auth = {host: {"username": token.login.user, "password": token.login.secret}}
    return {**response, "cacheDuration": f"{seconds}s", "auth": auth}
