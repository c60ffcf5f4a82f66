"""One account's registry, as a test wants it: clients, variables, images."""

from __future__ import annotations

import base64
import contextlib
import functools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ecrate.domain.samples import Sample, digest_of, make_sample
from ecrate.testing.faults import FaultList, Kind

_SECRET: Final = "secret"  # noqa: S105 - development mode accepts any


@dataclass(frozen=True)
class PushedImage:
    """An image that was pushed; `uri` names it by its first tag, or by its digest."""

    uri: str
    digest: str
    manifest: str


@dataclass(frozen=True)
class Registry:
    """The registry of `account` in `region` at a server. `faults` are those its calls meet."""

    endpoint: str
    account: str
    region: str
    faults: FaultList

    @property
    def host(self) -> str:
        """Host and port for docker: `docker pull HOST/REPOSITORY:TAG`."""
        return self.endpoint.partition("://")[2]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead boto3, the aws command, Terraform and `ecrate` here."""
        return {
            "AWS_ACCESS_KEY_ID": self.account,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str = "ecr", **options: Any) -> Any:
        """Give a client of botocore, which is what `boto3.client` gives; for `ecr` or `sts`."""
        import botocore.session  # noqa: PLC0415 - it takes half a second

        return botocore.session.Session().create_client(
            service,
            region_name=self.region,
            endpoint_url=self.endpoint,
            aws_access_key_id=self.account,
            aws_secret_access_key=_SECRET,
            **options,
        )

    @functools.cached_property
    def ecr(self) -> Any:
        """A client for `ecr`, made once."""
        return self.client()

    def close(self) -> None:
        """Close the client's connections, if `ecr` was used."""
        if "ecr" in self.__dict__:
            self.ecr.close()

    def login(self) -> tuple[str, str]:
        """Give user and password for `docker login`."""
        (data,) = self.ecr.get_authorization_token()["authorizationData"]
        user, _, password = base64.b64decode(data["authorizationToken"]).decode().partition(":")
        return user, password

    def push_image(
        self,
        repository: str = "app",
        *tags: str,
        size: int = 1000,
        layers: int = 1,
        platform: str = "linux/amd64",
        content: str = "",
    ) -> PushedImage:
        """Push a sample image, which any client can pull, and make its repository if need be.

        It has `layers` layers of one file of `size` bytes. The same `content` gives the same
        image; without any it follows from repository and tags.
        """
        with contextlib.suppress(self.ecr.exceptions.RepositoryAlreadyExistsException):
            self.ecr.create_repository(repositoryName=repository)
        name = content or " ".join((repository, *tags))
        sample = make_sample(name, size=size, layers=layers, platform=platform)
        for blob in sample.blobs:
            with contextlib.suppress(self.ecr.exceptions.LayerAlreadyExistsException):
                self._push_layer(repository, blob)
        return self._put(repository, sample, tags)

    def _push_layer(self, repository: str, content: bytes) -> None:
        begun = self.ecr.initiate_layer_upload(repositoryName=repository)
        for first, piece in _pieces(content, begun["partSize"]):
            self.ecr.upload_layer_part(
                repositoryName=repository,
                uploadId=begun["uploadId"],
                partFirstByte=first,
                partLastByte=first + len(piece) - 1,
                layerPartBlob=piece,
            )
        self.ecr.complete_layer_upload(
            repositoryName=repository,
            uploadId=begun["uploadId"],
            layerDigests=[digest_of(content)],
        )

    def _put(self, repository: str, sample: Sample, tags: tuple[str, ...]) -> PushedImage:
        manifest = sample.manifest.decode()
        for tag in tags or (None,):
            with contextlib.suppress(self.ecr.exceptions.ImageAlreadyExistsException):
                self.ecr.put_image(
                    repositoryName=repository,
                    imageManifest=manifest,
                    **({} if tag is None else {"imageTag": tag}),
                )
        name = f":{tags[0]}" if tags else f"@{sample.digest}"
        return PushedImage(f"{self.host}/{repository}{name}", sample.digest, manifest)

    @contextlib.contextmanager
    def inject(self, fault: Kind, operation: str = "*", **options: Any) -> Iterator[None]:
        """Let calls meet a fault within the block: see `ecrate.testing.faults`."""
        with self.faults.inject(fault, operation, **options):
            yield


def _pieces(content: bytes, size: int) -> Iterator[tuple[int, bytes]]:
    for first in range(0, len(content), size):
        yield first, content[first : first + size]
