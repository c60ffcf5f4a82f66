"""Ways to break a site, each of which heals what it broke before it returns."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Final

from typing_extensions import override

from tests.support.chaos.model import World
from tests.support.chaos.site import Node, Site
from tests.support.clients import find_program, miss
from tests.support.disks import Ballast
from tests.support.images import Blob
from tests.support.wire import Wire

MIB: Final = 1024 * 1024
_DAY: Final = 86_400.0
_YOUNG: Final = 2.5


@dataclass
class Fault(ABC):
    """One way; `longest` is for how many seconds it lasts at the most. Where the clock is no longer
    to be trusted, signatures are not of the server's time, and layers lapse early.
    """

    site: Site
    world: World
    random: random.Random
    longest: float = 1.5
    kills: ClassVar[bool] = False
    trusts_clock: ClassVar[bool] = True

    @abstractmethod
    def strike(self) -> None:
        """Break something, for a while, and heal it."""

    def last(self) -> None:
        """Let some time pass."""
        time.sleep(self.random.uniform(0.2, 1) * self.longest)

    def node(self) -> Node:
        return self.random.choice(self.site.nodes)


class KillWorker(Fault):
    """A worker process dies; its supervisor starts another."""

    kills = True

    @override
    def strike(self) -> None:
        # A server whose workers keep dying as they start ends.
        old = time.time() - _YOUNG
        workers = [one for node in self.site.nodes for one in node.workers()]
        workers = [one for one in workers if one.create_time() < old]
        if not workers:
            time.sleep(_YOUNG)
            self.strike()
            return
        self.random.choice(workers).send_signal(signal.SIGKILL)
        self.site.expire_leases()


class KillNode(Fault):
    """All processes of a node die at once; it is started again."""

    kills = True

    @override
    def strike(self) -> None:
        node = self.node()
        node.kill()
        self.site.expire_leases()
        node.start()


class KillPostgres(Fault):
    """PostgreSQL ends as in a crash, and comes back after a while."""

    kills = True

    @override
    def strike(self) -> None:
        assert self.site.postgres is not None
        self.site.postgres.stop(signal.SIGQUIT)
        self.last()
        self.site.postgres.start()
        self.site.expire_leases()


class KillStore(Fault):
    """The S3 server dies, and comes back after a while."""

    kills = True

    @override
    def strike(self) -> None:
        assert self.site.store is not None
        self.site.store.kill()
        self.last()
        self.site.store.start()


class CutNetwork(Fault):
    """The first node's packets to the database and the store get lost, and theirs to it."""

    @override
    def strike(self) -> None:
        assert self.site.cable is not None
        self.site.cable.cut()
        try:
            self.last()
        finally:
            self.site.cable.mend()


class FillDisk(Fault):
    """The disk is full for a while."""

    @override
    def strike(self) -> None:
        assert self.site.disk is not None
        ballast = Ballast(self.site.disk)
        try:
            but, is_full = self.random.choice((0, 100_000)), False
            while not is_full:
                # A client may be quicker.
                with contextlib.suppress(OSError):
                    ballast.fill(but=but)
                    is_full = True
            self.last()
        finally:
            ballast.clear()


class FailCalls(Fault):
    """System calls of all workers fail with EIO now and then."""

    _CALLS: Final = ("fsync,fdatasync", "pwrite64", "write", "pread64", "sendfile", "rename")

    @override
    def strike(self) -> None:
        calls = self.random.choice(self._CALLS)
        when = f"{self.random.randint(1, 3)}+{self.random.randint(2, 5)}"
        processes = [word for one in self.node().workers() for word in ("-p", str(one.pid))]
        command = [
            *(find_program("strace"), "-f", "-qqq", "-o", "/dev/null"),
            *("-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:when={when}"),
            *processes,
        ]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
            self.last()
            if tracer.poll() == 1:
                miss("processes cannot be traced")
            # Whom it traces goes on as if it had never been there.
            tracer.terminate()


class StepClock(Fault):
    """The nodes' clock jumps ahead or back, and later is right again."""

    trusts_clock = False

    @override
    def strike(self) -> None:
        assert self.site.clock is not None
        step = self.random.choice((-3600, -2 * _DAY, 400, 2 * _DAY, 400 * _DAY))
        try:
            self.site.clock.step(step)
            self.last()
        finally:
            self.site.clock.step(0)


class LoseClient(Fault):
    """A client breaks its connection off in the middle of a push, and then of a pull."""

    @override
    def strike(self) -> None:
        node, repository = self.node(), self.random.choice(self.world.repositories)
        blob = Blob(self.random.randbytes(self.random.choice((200_000, MIB + 7, 3 * MIB))))
        begun = node.doors.ask("POST", f"/v2/{repository}/blobs/uploads/")
        if begun is None:
            return
        location = begun.headers["Location"]
        sent = self._push_a_part(node, location, blob)
        since = time.monotonic()
        if not self._send_the_rest(node, location, blob, sent):
            return
        done = node.doors.ask("PUT", location, params={"digest": blob.digest})
        if done is None or not self.world.trusts_clock:
            return
        self.world.check("an upload gone on with", is_true=done.status_code == 201, told=done.text)
        self.world.rely(repository, blob.digest, since)
        path = f"/v2/{repository}/blobs/{blob.digest}"
        self._pull_a_part(node, path)
        pulled = node.doors.ask("GET", path)
        if pulled is None or (
            pulled.status_code == 404 and not self.world.can_rely(repository, [blob.digest])
        ):
            return
        self.world.check(
            "a layer pushed in two goes",
            is_true=pulled.content == blob.content,
            told=f"{pulled.status_code}, {len(pulled.content)} bytes",
        )

    def _push_a_part(self, node: Node, location: str, blob: Blob) -> int:
        count = self.random.randint(1, len(blob.content) - 1)
        with contextlib.suppress(OSError), Wire(node.server) as wire:
            # With its place, since it may be late and come behind what is sent afterwards.
            size = len(blob.content)
            headers: dict[str, str | int] = {
                "Content-Length": size,
                "Content-Range": f"0-{size - 1}",
            }
            wire.head("PATCH", location, headers)
            wire.send(blob.content[:count])
            self.linger()
            wire.reset()
        return count

    def _pull_a_part(self, node: Node, path: str) -> None:
        with contextlib.suppress(OSError), Wire(node.server) as wire:
            wire.head("GET", path)
            wire.socket.recv(1000)
            self.linger()
            wire.reset()

    def linger(self) -> None:
        """Wait before the connection is broken off."""

    def _send_the_rest(self, node: Node, location: str, blob: Blob, sent: int) -> bool:
        """Go on where the server says the upload is; it may not have noticed yet that no more comes
        of what was sent before, and then says that something does not follow.
        """
        for _ in range(50):
            status = node.doors.ask("GET", location)
            if status is not None and status.status_code == 204:
                last = int(status.headers["Range"].partition("-")[2])
                received = last + 1 if last else 0
                self.world.check(
                    "an upload broken off",
                    is_true=received <= sent,
                    told=f"{received} bytes received, {sent} sent",
                )
                if received == len(blob.content):
                    return True
                # Without an answer, all of it may be there.
                sent = len(blob.content)
                span = f"{received}-{len(blob.content) - 1}"
                answer = node.doors.ask(
                    "PATCH",
                    location,
                    content=blob.content[received:],
                    headers={"Content-Range": span},
                )
                if answer is not None and answer.status_code == 202:
                    return True
            time.sleep(0.1)
        return False


class StallClient(LoseClient):
    """A client that sends and takes nothing for a while, before it goes."""

    @override
    def linger(self) -> None:
        self.last()


KINDS: Final[dict[str, list[type[Fault]]]] = {
    "sqlite": [
        KillWorker,
        KillNode,
        FillDisk,
        FailCalls,
        StepClock,
        LoseClient,
        StallClient,
    ],
    "postgres-s3": [
        KillWorker,
        KillNode,
        KillPostgres,
        KillStore,
        CutNetwork,
        LoseClient,
        StallClient,
    ],
}
