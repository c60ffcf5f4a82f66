"""A client that pushes, moves, deletes and pulls at random through both doors of all nodes.

It owns what it makes, and reads what anybody made.
"""

from __future__ import annotations

import json
import random
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import httpx
from typing_extensions import override

from tests.support.chaos.doors import Doors, Told
from tests.support.chaos.model import History, Image, Tag, World, Write
from tests.support.chaos.reading import Reader
from tests.support.images import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, Blob, MadeImage, digest_of

V = TypeVar("V")

MIB: Final = 1024 * 1024
_TRIES: Final = 3
_REST: Final = 0.1
_KEPT: Final = 6
_AT_API: Final = 0.4
_REMEMBERED: Final = 40
# A tag about which too much is uncertain tells little.
_DOUBTS: Final = 3

Change = tuple[History[bool], bool] | tuple[History[str | None], str | None]


class Client(threading.Thread):
    """One of the clients of a world."""

    def __init__(
        self, number: int, world: World, doors: Sequence[Doors], seed: str, over: threading.Event
    ) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self.number = number
        self.world = world
        self.random = random.Random(f"{seed}/{number}")  # noqa: S311 - no secrets here
        self._doors = doors
        self._reader = Reader(world)
        self._over = over
        self._made = 0
        self._latest = 0

    @override
    def run(self) -> None:
        deeds = {
            self.push: 4,
            self.push_index: 1,
            self.move_latest: 2,
            self.delete_tag: 1,
            self.delete_image: 2,
            self.pull: 6,
            self.list_tags: 2,
        }
        try:
            while not self._over.is_set():
                (deed,) = self.random.choices(list(deeds), list(deeds.values()))
                deed()
        except Exception:  # noqa: BLE001 - a client that broke down has found something
            self.world.check(self.name, is_true=False, told=traceback.format_exc())

    def _door(self) -> Doors:
        return self.random.choice(self._doors)

    def _at_api(self) -> bool:
        return self.world.trusts_clock and self.random.random() < _AT_API

    def _mine(self) -> list[Image]:
        """Give the images of mine that are certainly there, the oldest first."""
        return [
            image
            for image in self.world.all_images()
            if image.owner == self.number and image.exists.possible(self.world.now()) == {True}
        ]

    # Writing

    def push(self) -> None:
        """Push an image of shared and own layers under a tag of its own."""
        self._made += 1
        repository = self.random.choice(self.world.repositories)
        name = f"c{self.number}-{self._made}"
        config = {"architecture": "amd64", "os": "linux", "note": name}
        own = [Blob(self.random.randbytes(self.random.choice((10, 3000, 200_000))))]
        shared = self.random.sample(self.world.shared, self.random.randint(0, 2))
        made = MadeImage(Blob(json.dumps(config).encode(), OCI_CONFIG), (*own, *shared))
        for blob in made.blobs:
            if not self._push_blob(repository, blob):
                return
        image = self.world.add_image(
            Image(self.number, repository, made.manifest, made.digest, OCI_MANIFEST, made.blobs)
        )
        self._put(image, self.world.add_tag(self.number, repository, name))

    def push_index(self) -> None:
        """Push an index of two images that are there, without a tag."""
        repository = self.random.choice(self.world.repositories)
        mine = [one for one in self._mine() if one.repository == repository and one.blobs]
        if len(mine) < 2:
            return
        self._made += 1
        children = self.random.sample(mine, 2)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_INDEX,
            "annotations": {"note": f"{self.number}-{self._made}"},
            "manifests": [Blob(one.manifest.encode(), OCI_MANIFEST).descriptor for one in children],
        }
        manifest = json.dumps(document)
        digests = tuple(one.digest for one in children)
        made = Image(
            self.number, repository, manifest, digest_of(manifest.encode()), OCI_INDEX, (), digests
        )
        self._put(self.world.add_image(made), None)

    def move_latest(self) -> None:
        """Put a tag of mine at another image."""
        if not (mine := self._mine()):
            return
        image = self.random.choice(mine)
        tag = self.world.add_tag(self.number, image.repository, f"l{self.number}-{self._latest}")
        self._put(image, tag)
        if tag.digest.losses > _DOUBTS:
            self._latest += 1

    def delete_tag(self) -> None:
        """Take a tag away, and no more than the tag."""
        mine = [
            tag
            for tag in self.world.all_tags()
            if tag.owner == self.number
            and tag.digest.is_certain
            and None not in tag.digest.possible(self.world.now())
        ]
        if not mine:
            return
        tag = self.random.choice(mine)

        def delete(door: Doors) -> bool | None:
            answer = door.ask("DELETE", f"/v2/{tag.repository}/manifests/{tag.name}")
            return None if answer is None else answer.status_code == httpx.codes.ACCEPTED

        self._write(f"DELETE {tag.repository}:{tag.name}", [(tag.digest, None)], delete)

    def delete_image(self) -> None:
        """Delete the oldest image that nothing of mine refers to."""
        mine = self._mine()
        needed = {
            (image.repository, child)
            for image in self.world.all_images()
            if True in image.exists.possible(self.world.now())
            for child in image.children
        }
        free = [one for one in mine if (one.repository, one.digest) not in needed]
        if len(mine) < _KEPT or not free:
            return
        image = free[0]
        tags = [
            tag
            for tag in self.world.all_tags()
            if tag.repository == image.repository
            and image.digest in tag.digest.possible(self.world.now())
        ]
        changes: list[Change] = [(image.exists, False)]
        for tag in tags:
            if tag.digest.possible(self.world.now()) == {image.digest}:
                changes.append((tag.digest, None))
            else:
                # It may be at another image, and stays there.
                tag.digest.begin(None).is_lost = True
        what = f"delete {image.repository}@{image.digest}"
        self._write(what, changes, self.random.choice(self._deletions(image)))
        self._forget_old()

    def _deletions(self, image: Image) -> list[Callable[[Doors], bool | None]]:
        def at_registry(door: Doors) -> bool | None:
            answer = door.ask("DELETE", f"/v2/{image.repository}/manifests/{image.digest}")
            return None if answer is None else answer.status_code == httpx.codes.ACCEPTED

        def at_api(door: Doors) -> bool | None:
            told = door.call(
                lambda ecr: ecr.batch_delete_image(
                    repositoryName=image.repository, imageIds=[{"imageDigest": image.digest}]
                )
            )
            return None if told is None else not told.code and not told.document["failures"]

        return [at_registry, at_api] if self.world.trusts_clock else [at_registry]

    def _forget_old(self) -> None:
        gone: list[Image | Tag] = [
            one
            for one in self.world.all_images()
            if one.owner == self.number and one.exists.possible(self.world.now()) == {False}
        ]
        tags: list[Image | Tag] = [
            one
            for one in self.world.all_tags()
            if one.owner == self.number and one.digest.possible(self.world.now()) == {None}
        ]
        self.world.forget([*gone[:-_REMEMBERED], *tags[:-_REMEMBERED]])

    def _put(self, image: Image, tag: Tag | None) -> None:
        changes: list[Change] = [(image.exists, True)]
        if tag is not None:
            changes.append((tag.digest, image.digest))
        reference = image.digest if tag is None else tag.name

        def at_registry(door: Doors) -> bool | None:
            answer = door.ask(
                "PUT",
                f"/v2/{image.repository}/manifests/{reference}",
                content=image.manifest,
                headers={"Content-Type": image.media_type},
            )
            return None if answer is None else answer.status_code == httpx.codes.CREATED

        def at_api(door: Doors) -> bool | None:
            named = {} if tag is None else {"imageTag": tag.name}
            told = door.call(
                lambda ecr: ecr.put_image(
                    repositoryName=image.repository, imageManifest=image.manifest, **named
                )
            )
            return None if told is None else told.code in {"", "ImageAlreadyExistsException"}

        ways = [at_registry, at_api] if self.world.trusts_clock else [at_registry]
        digests = [blob.digest for blob in image.blobs]
        is_new = image.exists.possible(self.world.now()) != {True}
        self._write(
            f"put {image.repository}:{reference}",
            changes,
            self.random.choice(ways),
            # An image that is there keeps its layers; those of a new one may have lapsed.
            may_refuse=lambda: (
                bool(digests) and is_new and not self.world.can_rely(image.repository, digests)
            ),
        )

    def _write(
        self,
        what: str,
        changes: Sequence[Change],
        attempt: Callable[[Doors], bool | None],
        *,
        may_refuse: Callable[[], bool] = lambda: False,
    ) -> None:
        """Try until it is acknowledged or refused, a few times; nothing lets it be refused, unless
        an earlier try may have been carried out.
        """
        begun = [(history, _begin(history, value)) for history, value in changes]
        is_lost = False
        for _ in range(_TRIES):
            outcome = attempt(self._door())
            if outcome:
                now = self.world.now()
                for history, write in begun:
                    history.succeed(write, now)
                self.world.check(what, is_true=True)
                return
            if outcome is False:
                self.world.check(f"{what} was refused", is_true=is_lost or may_refuse())
                break
            is_lost = True
            self.world.count("writes without an answer")
            self._rest()
        for history, write in begun:
            if is_lost:
                write.is_lost = True
            else:
                history.refuse(write)

    def _rest(self) -> None:
        self._over.wait(_REST)

    # Layers

    def _push_blob(self, repository: str, blob: Blob) -> bool:
        """Tell whether the registry has it now."""
        way = self.random.choice(self._ways())
        for _ in range(_TRIES):
            since = time.monotonic()
            if way(self._door(), repository, blob):
                self.world.rely(repository, blob.digest, since)
                self.world.check("blob", is_true=True)
                return True
            self.world.count("pushes of layers broken off")
            self._rest()
        return False

    def _ways(self) -> list[Callable[[Doors, str, Blob], bool]]:
        ways: list[Callable[[Doors, str, Blob], bool]] = [
            self._push_whole,
            self._push_in_pieces,
            self._push_if_missing,
            self._mount,
        ]
        return [*ways, self._push_parts] if self.world.trusts_clock else ways

    def _push_whole(self, door: Doors, repository: str, blob: Blob) -> bool:
        begun = door.ask("POST", f"/v2/{repository}/blobs/uploads/")
        return begun is not None and self._finish(door, begun, blob, blob.content)

    def _push_in_pieces(self, door: Doors, repository: str, blob: Blob) -> bool:
        begun = door.ask("POST", f"/v2/{repository}/blobs/uploads/")
        if begun is None:
            return False
        middle = self.random.randint(1, len(blob.content))
        # The rest may come to another node.
        sent = self._door().ask("PATCH", begun.headers["Location"], content=blob.content[:middle])
        if sent is None:
            return False
        if self._has_lapsed(sent):
            return False
        self.world.check("PATCH", is_true=sent.status_code == httpx.codes.ACCEPTED, told=sent.text)
        return self._finish(self._door(), begun, blob, blob.content[middle:])

    def _has_lapsed(self, answer: httpx.Response) -> bool:
        """Tell whether an upload is gone because days went by in a moment."""
        return answer.status_code == httpx.codes.NOT_FOUND and not self.world.trusts_clock

    def _push_if_missing(self, door: Doors, repository: str, blob: Blob) -> bool:
        found = door.ask("HEAD", f"/v2/{repository}/blobs/{blob.digest}")
        if found is not None and found.status_code == httpx.codes.OK:
            return True
        return self._push_whole(door, repository, blob)

    def _mount(self, door: Doors, repository: str, blob: Blob) -> bool:
        origin = self.random.choice(self.world.repositories)
        begun = door.ask(
            "POST",
            f"/v2/{repository}/blobs/uploads/",
            params={"mount": blob.digest, "from": origin},
        )
        if begun is not None and begun.status_code == httpx.codes.CREATED:
            return True
        return begun is not None and self._finish(door, begun, blob, blob.content)

    def _finish(self, door: Doors, begun: httpx.Response, blob: Blob, rest: bytes) -> bool:
        location = begun.headers["Location"]
        done = door.ask("PUT", location, params={"digest": blob.digest}, content=rest)
        if done is None or self._has_lapsed(done):
            return False
        is_stored = done.status_code == httpx.codes.CREATED
        self.world.check("PUT blob", is_true=is_stored, told=f"{done.status_code} {done.text}")
        return is_stored

    def _push_parts(self, door: Doors, repository: str, blob: Blob) -> bool:
        begun = door.call(lambda ecr: ecr.initiate_layer_upload(repositoryName=repository))
        if begun is None or begun.code:
            return False
        upload_id = begun.document["uploadId"]
        sent = self._door().call(
            lambda ecr: ecr.upload_layer_part(
                repositoryName=repository,
                uploadId=upload_id,
                partFirstByte=0,
                partLastByte=len(blob.content) - 1,
                layerPartBlob=blob.content,
            )
        )
        if sent is None or not self._accept("UploadLayerPart", sent):
            return False
        done = self._door().call(
            lambda ecr: ecr.complete_layer_upload(
                repositoryName=repository, uploadId=upload_id, layerDigests=[blob.digest]
            )
        )
        return done is not None and self._accept("CompleteLayerUpload", done)

    def _accept(self, what: str, told: Told) -> bool:
        is_good = told.code in {"", "LayerAlreadyExistsException"}
        self.world.check(what, is_true=is_good, told=f"{told.code} {told.message}")
        return is_good

    # Reading

    def pull(self) -> None:
        """Pull an image by its tag or digest, and a layer of it."""
        by_tag = self.random.random() < 0.5
        things: Sequence[Image | Tag] = self.world.all_tags() if by_tag else self.world.all_images()
        if things:
            # The newer ones are those about which something happens.
            self._pull(self.random.choice(things[-3 * _KEPT :]))

    def _pull(self, thing: Image | Tag) -> None:
        since = self.world.now()
        reference = thing.name if isinstance(thing, Tag) else thing.digest
        found = self._reader.read_manifest(
            self._door(), thing.repository, reference, at_api=self._at_api()
        )
        if found is None:
            return
        digest = digest_of(found.encode()) if found else None
        if isinstance(thing, Tag):
            possible: set[str | None] = thing.digest.possible(since)
        else:
            there = thing.exists.possible(since)
            possible = {thing.digest if one else None for one in there}
        self.world.check(
            f"{thing.repository}:{reference}",
            is_true=digest in possible,
            told=f"is {digest}, may be {possible}",
        )
        image = self.world.images.get((thing.repository, digest or ""))
        if image is not None:
            self._read_below(image)

    def _read_below(self, image: Image) -> None:
        """Read something that has to be there as long as the image is."""
        since = self.world.now()
        if image.children:
            digest = self.random.choice(image.children)
            found = self._reader.read_manifest(
                self._door(), image.repository, digest, at_api=self._at_api()
            )
            status = None if found is None else bool(found)
        else:
            digest = self.random.choice(image.blobs).digest
            status = self._reader.read_blob(
                self._door(), image.repository, digest, at_api=self._at_api()
            )
        if status is not None:
            self.world.check(
                f"{image.repository} has {image.digest} but not its {digest}",
                is_true=status or False in image.exists.possible(since),
            )

    def list_tags(self) -> None:
        """Compare a listing with all that is known of the repository's tags."""
        repository = self.random.choice(self.world.repositories)
        known, since = self.world.all_tags(), self.world.now()
        listed = self._reader.read_tags(self._door(), repository, at_api=self._at_api())
        if listed is None:
            return
        for tag in known:
            if tag.repository == repository and tag.made < since:
                possible = tag.digest.possible(since)
                self.world.check(
                    f"the listing of {repository}",
                    is_true=listed.get(tag.name, None) in possible
                    or (tag.name in listed and not listed[tag.name] and possible != {None}),
                    told=f"{tag.name} is {listed.get(tag.name)}, may be {possible}",
                )


def _begin(history: History[V], value: V) -> Write[V]:
    return history.begin(value)
