"""Log lines: for people, or as JSON for machines; on request, one for each request."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

import msgspec
from aiohttp.web import BaseRequest, StreamResponse
from typing_extensions import override

from ecrate.web.metrics import OPERATION

_LOG: Final = logging.getLogger("ecrate.requests")
_IDS: Final = ("x-amzn-RequestId", "X-Request-Id")
_LONGEST: Final = 500
# What the library puts on each record; anything else was added for this line.
_USUAL: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "taskName"}


class JsonLines(logging.Formatter):
    """A JSON object a line: time (ISO 8601, UTC), level, process, logger, message, and members of
    the line's own, such as request_id; where something failed, its stack as `exception`.
    """

    converter = staticmethod(time.gmtime)

    @override
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "process": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: text for name, text in vars(record).items() if name not in _USUAL}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=str).decode()


def set_up_logs(form: str) -> None:
    """Send the log to standard error; `form` is console or json."""
    handler = logging.StreamHandler()
    text = "%(asctime)s %(process)d %(levelname)s %(message)s"
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(text))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("yoyo").setLevel(logging.WARNING)


def log_request(door: str, request: BaseRequest, response: StreamResponse, begun: float) -> None:
    """Write the line of a request that has its answer. No header is in it, and no query: either
    may hold a secret. A download's path is one.
    """
    seconds = time.perf_counter() - begun
    path = door if door == "/layers/" else request.raw_path.partition("?")[0][:_LONGEST]
    request_id = next((response.headers[name] for name in _IDS if name in response.headers), "")
    operation = request.get(OPERATION, "none")
    _LOG.info(
        "%s %s %s %d %.1f ms %s",
        request.method,
        path,
        operation,
        response.status,
        1000 * seconds,
        request_id,
        extra={
            "method": request.method,
            "path": path,
            "operation": operation,
            "status": response.status,
            "seconds": round(seconds, 6),
            "remote": request.remote,
            "request_id": request_id,
        },
    )
