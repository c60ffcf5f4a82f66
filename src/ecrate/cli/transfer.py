"""Several layers at a time: the threads of push, pull and copy, and how they end together."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Final, TypeVar

from ecrate.cli.connections import Connections, pause
from ecrate.cli.failures import ConnectionFailedError, ServiceError
from ecrate.cli.manifests import Document, Manifest

DEFAULT_JOBS: Final = 4
PATIENCE: Final = 10  # failures in a row, with pauses of more than a minute in all
_Result = TypeVar("_Result")


def add_transfer_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that push, pull and copy share."""
    add_jobs_option(parser)
    parser.add_argument("--platform", metavar="OS/ARCH", help="take one platform of an index")
    parser.add_argument("--quiet", "-q", action="store_true", help="print the result only")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_jobs_option(parser: argparse.ArgumentParser) -> None:
    """Add the option that says how much is done at a time."""
    parser.add_argument(
        "--jobs",
        type=_at_least_one,
        default=DEFAULT_JOBS,
        metavar="N",
        help=f"requests or layers at a time ({DEFAULT_JOBS})",
    )


def run_parallel(
    tasks: Iterable[Callable[[], _Result]], *, jobs: int, connections: Connections
) -> list[_Result]:
    """Run the tasks, at most `jobs` at a time, and give their results in the tasks' order.

    When one fails, or the user breaks off, `connections` are closed, so that the others end soon,
    and the error is raised when all have ended.
    """
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        try:
            futures = [pool.submit(task) for task in tasks]
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            connections.close()
            raise
    return [future.result() for future in futures]


def patiently(
    action: Callable[[], _Result], *, connections: Connections, tell: Callable[[str], None]
) -> _Result:
    """Give the action's result, tried again while the server is away, as it is in a restart.

    The client has tried thrice each time. `tell` is told of each failure.
    """
    failures = 0
    while True:
        try:
            return action()
        except (ConnectionFailedError, ServiceError) as error:
            failures += 1
            if failures > PATIENCE or not _is_passing(error):
                raise
            tell(f"{str(error).partition(chr(10))[0]}; trying on")
            connections.sleep(pause(failures))


def tell_result(
    image: Manifest | Document,
    name: str,
    short: str,
    results: dict[str, dict[str, Any]],
    *,
    is_json: bool,
) -> None:
    """Print what was moved: `name` in full, `short` as docker prints it."""
    if is_json:
        print_json(
            {
                "name": name,
                "digest": image.digest,
                "mediaType": image.media_type,
                "size": len(image.content),
                "blobs": list(results.values()),
            }
        )
    else:
        print(f"{short}: digest: {image.digest} size: {len(image.content)}")


def print_json(value: Any) -> None:
    """Print for a machine to read."""
    print(json.dumps(value, indent=4, ensure_ascii=False))


def _is_passing(error: ConnectionFailedError | ServiceError) -> bool:
    if isinstance(error, ServiceError):
        # A bare number is the status of an answer that was not the service's, but a proxy's.
        return error.code in ("ServerException", "ThrottlingException", "502", "503", "504")
    return True


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("has to be at least 1")
    return number
