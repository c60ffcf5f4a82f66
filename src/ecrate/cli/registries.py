"""Which registry a name means, and through which API it is talked to.

ECR's API: names without a host, the configured endpoint's host, hosts named as ECR's are, and
other hosts that answer as ECR does, unless docker has credentials for them. All others are asked
through the distribution API, with docker's credentials or none.
"""

from __future__ import annotations

import argparse
import http
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from ecrate.cli.client import Client, make_client
from ecrate.cli.connections import Connections, make_endpoint
from ecrate.cli.docker_config import DOCKER_HUB, find_login
from ecrate.cli.ecr_repository import EcrRepository, repository_names
from ecrate.cli.failures import CommandError, ConnectionFailedError
from ecrate.cli.logins import read_token
from ecrate.cli.oci_repository import OciRepository
from ecrate.cli.options import CommonValues, Parser, add_connection_options, common_values
from ecrate.cli.profile import Profile
from ecrate.cli.reference import Reference, endpoint_of, is_local
from ecrate.cli.registry_client import RegistryClient
from ecrate.cli.repository import Repository
from ecrate.upstream.challenges import is_ecr, read_challenges
from ecrate.upstream.endpoints import BROKEN, Endpoint
from ecrate.upstream.logins import Login
from ecrate.web.purpose import INSPECTION

_HUB_NAMES: Final = ("docker.io", "index.docker.io", DOCKER_HUB)
_LARGEST_ANSWER: Final = 1024 * 1024


def add_registry_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all commands that talk to registries."""
    parser.add_argument(
        "--plain-http",
        action="store_true",
        help="talk to other registries without TLS, as on this machine anyway",
    )
    parser.add_argument(
        "--trust-realm",
        action="append",
        default=[],
        metavar="HOST",
        help="let a registry's credentials go to this host for a token",
    )
    add_connection_options(parser)


@dataclass(frozen=True, slots=True)
class Token:
    """A registry's authorization token: where it is good, and until when (epoch seconds)."""

    login: Login
    proxy_endpoint: str
    expires_at: float


class Registries:
    """Opens repositories by their names."""

    def __init__(
        self, given: argparse.Namespace, options: CommonValues, connections: Connections
    ) -> None:
        self.connections = connections
        self.options = options
        self.profile = Profile(options)
        self._jobs: int = getattr(given, "jobs", 4)
        self._plain_http: bool = given.plain_http
        self._trusted: list[str] = given.trust_realm

    def open(self, reference: Reference) -> Repository:
        """Give the repository of a name; raises `CommandError`."""
        address = endpoint_of(reference, self.profile)
        if address is not None:
            return self._ecr(reference, address)
        host = reference.host or ""
        if host in _HUB_NAMES:
            host = DOCKER_HUB
        login = find_login(host)
        endpoint, has_ecr = self._probe(host)
        if login is None and has_ecr and self._has_key():
            return self._ecr(reference, endpoint.url)
        return self._oci(reference, endpoint, login)

    def open_ecr(self, reference: Reference) -> EcrRepository:
        """Give the repository of a name, which has to be an ecrate's or ECR's."""
        repository = self.open(reference)
        if not isinstance(repository, EcrRepository):
            raise CommandError(
                f"{repository.text} is at a registry that does not speak ECR's API, which this "
                "command needs"
            )
        return repository

    def names(self, host: str) -> list[str]:
        """Give the names of all repositories of a registry; raises `CommandError`."""
        # Any name does to find out how the registry is talked to.
        found = self.open(Reference(host, host, "all", None, None))
        if isinstance(found, OciRepository):
            return found.neighbours()
        client = self.ecr_client(host)
        return [] if client is None else repository_names(client)

    def client(self, address: str | None = None) -> Client:
        """Give a client for the registry at an address, or at the configured endpoint."""
        return make_client(
            self.options, self.profile, endpoint=address, connections=self.connections
        )

    def ecr_client(self, host: str) -> Client | None:
        """Give a client of ECR's API for a registry's host; None where it does not speak it.

        Docker's configuration is not asked. Raises `ConnectionFailedError` where nobody is there.
        """
        reference = Reference(host, host, "", None, None)
        address = endpoint_of(reference, self.profile)
        if address is None:
            endpoint, has_ecr = self._probe(host)
            if not has_ecr:
                return None
            address = endpoint.url
        return self._client(reference, address)

    def token(self, client: Client, host: str) -> Token:
        """Get an authorization token for the registry of a host; raises `CommandError`."""
        registry_id = Reference(host, host, "", None, None).registry_id
        parameters = {"registryIds": [registry_id]} if registry_id else {}
        data = client.call("GetAuthorizationToken", parameters)["authorizationData"][0]
        return Token(
            read_token(data["authorizationToken"]),
            str(data["proxyEndpoint"]),
            float(data["expiresAt"]),
        )

    def _client(self, reference: Reference, address: str) -> Client:
        return make_client(
            self.options,
            self.profile,
            endpoint=address,
            region=reference.region,
            connections=self.connections,
        )

    def _ecr(self, reference: Reference, address: str) -> EcrRepository:
        client = self._client(reference, address)
        host = reference.host or client.endpoint.authority
        text = f"{host}/{reference.repository}"
        return EcrRepository(client, reference.members(), text, self.options)

    def _oci(self, reference: Reference, endpoint: Endpoint, login: Login | None) -> OciRepository:
        client = RegistryClient(
            endpoint, login, self.connections, self.options, trusted=self._trusted
        )
        name = reference.repository
        if endpoint.host == DOCKER_HUB and "/" not in name:
            name = f"library/{name}"
        return OciRepository(client, name, f"{reference.host}/{name}", jobs=self._jobs)

    def _probe(self, host: str) -> tuple[Endpoint, bool]:
        """Find out how a host is reached, and whether it answers as ECR does."""
        schemes: tuple[str, ...] = ("https",)
        if self._plain_http:
            schemes = ("http",)
        elif is_local(host):
            # As docker does, this machine is trusted to mean it.
            schemes = ("http", "https")
        failure: Exception | None = None
        for scheme in schemes:
            endpoint = make_endpoint(f"{scheme}://{host}", self.options)
            try:
                answer = self.connections.exchange(
                    endpoint, "GET", "/v2/", {"Host": endpoint.authority}, limit=_LARGEST_ANSWER
                )
            except BROKEN as error:
                failure = error
                continue
            # What a server of Go answers that expects TLS.
            if answer.status != http.HTTPStatus.BAD_REQUEST:
                asked = answer.headers.get_all("WWW-Authenticate") or []
                return endpoint, is_ecr(read_challenges(asked))
        raise ConnectionFailedError(
            f"{host} cannot be reached as a registry over {' or '.join(schemes)}: "
            f"{failure or 'it answers 400'}\nIs the name right? --plain-http asks without TLS, "
            "--ca-bundle FILE trusts more certificates."
        )

    def _has_key(self) -> bool:
        try:
            return self.profile.credentials() is not None
        except CommandError:
            return False


@contextmanager
def open_registries(
    given: argparse.Namespace, *, is_inspection: bool = False
) -> Iterator[Registries]:
    """Give the registries for the options of a command; all connections end with the block.

    An inspection looks at images without pulling them.
    """
    options = common_values(given)
    purpose = INSPECTION if is_inspection else ""
    with Connections(debug=options.debug, purpose=purpose) as connections:
        yield Registries(given, options, connections)


@contextmanager
def plain_registries() -> Iterator[Registries]:
    """Give the registries where there is no command line: as the environment says."""
    parser = Parser("")
    add_registry_options(parser)
    with open_registries(parser.parse_args([])) as registries:
        yield registries
