"""Replication to other servers, through the API of ECR: what they lack of an image, and no more."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Final

from ecrate.domain.images import Manifest
from ecrate.domain.layers import Layer
from ecrate.domain.names import RegistryRef, RepositoryRef
from ecrate.domain.templates import REPLICATION, Template, choose_template
from ecrate.operations.core import Core
from ecrate.operations.pace import Pace
from ecrate.operations.replication.copying import Source, find_source, read_source
from ecrate.store.layers import find_layer
from ecrate.upstream.ecr import BadCallAnswerError, CallRefusedError, EcrClient

_MOST: Final = 100  # layers in one call
_MOST_PAGES: Final = 20
# AWS: API reference of UploadLayerPart: each but the last has at least 5 MiB.
_PART: Final = 5 * 1024 * 1024
# Members of a template, and what CreateRepository calls them.
_FROM_TEMPLATE: Final = {
    "imageTagMutability": "imageTagMutability",
    "imageTagMutabilityExclusionFilters": "imageTagMutabilityExclusionFilters",
    "encryptionConfiguration": "encryptionConfiguration",
    "resourceTags": "tags",
}
_NO_REPOSITORY: Final = "RepositoryNotFoundException"
_TAG_EXISTS: Final = "ImageTagAlreadyExistsException"


class Destination:
    """One registry at another server. Safe to use from several threads."""

    def __init__(
        self, core: Core, client: EcrClient, registry: RegistryRef, rate: float | None
    ) -> None:
        self._core = core
        self._client = client
        self._registry = registry
        self._stop = threading.Event()
        self._pace = Pace(rate, sleep=self._sleep)

    def close(self) -> None:
        """Wait no longer for the pace."""
        self._stop.set()

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise ConnectionAbortedError("the server stops")

    def send(self, source: Source, tag: str | None) -> None:
        """Put the image, its children first, into the repository of the same name.

        Raises `CallRefusedError`, `BadCallAnswerError`, and what `Http.ask` raises.
        """
        manifest, children = read_source(self._core, source)
        for child in children:
            self.send(child, None)
        name = source.repository.ref.name
        self._send_layers(source, self._missing(name, manifest))
        try:
            self._put(name, manifest, tag)
        except CallRefusedError as error:
            if error.code != _TAG_EXISTS:
                raise
            self._put(name, manifest, None)

    def _call(
        self, operation: str, name: str, blob: tuple[str, bytes] | None = None, **members: Any
    ) -> dict[str, Any]:
        place = {"registryId": self._registry.id, "repositoryName": name}
        return self._client.call(operation, place | members, blob)

    def _missing(self, name: str, manifest: Manifest) -> list[str]:
        digests = list(
            dict.fromkeys(one.digest.text for one in manifest.layers if not one.is_foreign)
        )
        if not digests:
            self._check_repository(name)
        there: set[str] = set()
        for start in range(0, len(digests), _MOST):
            some = digests[start : start + _MOST]
            try:
                answer = self._call("BatchCheckLayerAvailability", name, layerDigests=some)
            except CallRefusedError as error:
                if error.code != _NO_REPOSITORY:
                    raise
                self._create(name)
                return digests
            there |= _available(answer)
        return [digest for digest in digests if digest not in there]

    def _check_repository(self, name: str) -> None:
        names = {"registryId": self._registry.id, "repositoryNames": [name]}
        try:
            self._client.call("DescribeRepositories", names)
        except CallRefusedError as error:
            if error.code != _NO_REPOSITORY:
                raise
            self._create(name)

    def _create(self, name: str) -> None:
        """Create the repository as its registry's templates say."""
        template = self._find_template(name)
        members = {to: template[of] for of, to in _FROM_TEMPLATE.items() if of in template}
        try:
            self._call("CreateRepository", name, **members)
        except CallRefusedError as error:
            # Another thread may just have made it.
            if error.code != "RepositoryAlreadyExistsException":
                raise
            return
        if template.get("repositoryPolicy"):
            self._call("SetRepositoryPolicy", name, policyText=template["repositoryPolicy"])
        if template.get("lifecyclePolicy"):
            self._call("PutLifecyclePolicy", name, lifecyclePolicyText=template["lifecyclePolicy"])

    def _find_template(self, name: str) -> dict[str, Any]:
        """Give the template for the repository as the API shows it, `{}` where there is none."""
        found: dict[str, dict[str, Any]] = {}
        members: dict[str, Any] = {}
        for _ in range(_MOST_PAGES):
            try:
                page = self._client.call("DescribeRepositoryCreationTemplates", members)
            except CallRefusedError as error:
                if error.is_passing:
                    raise
                return {}  # it need not show us its templates
            for one in list_of(page, "repositoryCreationTemplates"):
                found[str(one.get("prefix"))] = one
            if not isinstance(page.get("nextToken"), str):
                break
            members = {"nextToken": page["nextToken"]}
        templates = [
            Template(prefix, tuple(map(str, one.get("appliedFor") or ())), 0.0, 0.0)
            for prefix, one in found.items()
        ]
        chosen = choose_template(templates, name, REPLICATION)
        return {} if chosen is None else found[chosen.prefix]

    def _send_layers(self, source: Source, digests: list[str]) -> None:
        for digest in digests:
            with self._core.database.look() as tx:
                layer = find_layer(tx, source.repository.id, digest)
            # One that is not here either, the other server will miss or not, as its rules are.
            if layer is not None:
                self._send_layer(source.repository.ref.name, layer)

    def _send_layer(self, name: str, layer: Layer) -> None:
        upload = self._call("InitiateLayerUpload", name).get("uploadId")
        if not isinstance(upload, str):
            raise BadCallAnswerError("it gives an upload no id")
        with self._core.blobs.open_blob(layer.key, 0) as file:
            offset = 0
            while offset < layer.size:
                part = file.read(min(_PART, layer.size - offset))
                self._pace.spend(len(part))
                self._send_part(name, upload, offset, part)
                offset += len(part)
        try:
            self._call(
                "CompleteLayerUpload", name, uploadId=upload, layerDigests=[layer.digest.text]
            )
        except CallRefusedError as error:
            if error.code != "LayerAlreadyExistsException":
                raise

    def _send_part(self, name: str, upload: str, offset: int, part: bytes) -> None:
        last = offset + len(part) - 1
        answer = self._call(
            "UploadLayerPart",
            name,
            ("layerPartBlob", part),
            uploadId=upload,
            partFirstByte=offset,
            partLastByte=last,
        )
        if not part or answer.get("lastByteReceived") != last:
            raise BadCallAnswerError("it has not received the bytes it was sent")

    def _put(self, name: str, manifest: Manifest, tag: str | None) -> None:
        members: dict[str, Any] = {} if tag is None else {"imageTag": tag}
        try:
            self._call(
                "PutImage",
                name,
                imageManifest=manifest.content.decode(),
                imageManifestMediaType=manifest.media_type,
                imageDigest=manifest.digest.text,
                **members,
            )
        except CallRefusedError as error:
            if error.code != "ImageAlreadyExistsException":
                raise

    def delete(self, ref: RepositoryRef, digest: str, tag: str | None) -> None:
        """Take the tag, or an image without one, away as at the source, if it is still so.

        Raises as `send` does.
        """
        name, source = ref.name, find_source(self._core, ref, digest)
        try:
            answer = self._call("DescribeImages", name, imageIds=[{"imageDigest": digest}])
        except CallRefusedError as error:
            if error.code in {_NO_REPOSITORY, "ImageNotFoundException"}:
                return
            raise
        details = list_of(answer, "imageDetails")
        tags = details[0].get("imageTags") or [] if details else []
        if tag is None and (source is not None or tags or not details):
            return
        if tag is not None and tag not in tags:
            return
        gone = {"imageDigest": digest} if tag is None else {"imageTag": tag}
        failures = list_of(self._call("BatchDeleteImage", name, imageIds=[gone]), "failures")
        if failures and failures[0].get("failureCode") != "ImageNotFound":
            code = str(failures[0].get("failureCode"))[:_MOST]
            is_passing = code == "ImageReferencedByManifestList"
            raise CallRefusedError(code, "", is_passing=is_passing)
        if tag is not None and source is not None and tags == [tag]:
            # There the image has gone with its last tag; here it has not.
            self.send(source, None)


def _available(answer: Mapping[str, Any]) -> set[str]:
    return {
        str(layer.get("layerDigest"))
        for layer in list_of(answer, "layers")
        if layer.get("layerAvailability") == "AVAILABLE"
    }


def list_of(answer: Mapping[str, Any], member: str) -> list[dict[str, Any]]:
    found = answer.get(member, [])
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise BadCallAnswerError(f"its '{member}' are no list of objects")
    return found
