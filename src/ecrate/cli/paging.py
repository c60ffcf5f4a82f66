"""Results that come in pages, put together as `aws` does.

Which operations have pages, and which members carry tokens and results, stands in botocore's
`paginators-1.json`. The token that the user sees and gives back is of the client's making, and
the same as that of `aws`: base64 of JSON with the service's token, and how many items of its page
have been seen where `--max-items` cut it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from typing_extensions import override

from ecrate.aws.model import data_file
from ecrate.cli.failures import CommandError

_SEEN: Final = "boto_truncate_amount"

Call = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Paging:
    """How one operation pages; a result is a path of members."""

    input_token: str
    output_token: str
    limit: str
    results: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def members(self) -> tuple[str, str]:
        """The input's members that `--starting-token` and `--page-size` stand for."""
        return self.input_token, self.limit


def paging_of(operation_name: str) -> Paging | None:
    """Give how the operation pages, None where it does not."""
    every = json.loads(data_file("paginators-1.json").read_bytes())["pagination"]
    found = every.get(operation_name)
    if found is None:
        return None
    results = found["result_key"]
    return Paging(
        input_token=found["input_token"],
        output_token=found["output_token"],
        limit=found["limit_key"],
        results=(results,) if isinstance(results, str) else tuple(results),
        others=tuple(found.get("non_aggregate_keys", ())),
    )


class Answer:
    """The answer to a call that has one page."""

    def __init__(self, page: dict[str, Any]) -> None:
        self._page = page

    def pages(self, form: str) -> Iterator[dict[str, Any]]:
        """Give what is to be shown page by page in a form of output."""
        if self._page or form == "text":
            yield self._page

    def whole(self) -> dict[str, Any]:
        """Give what is to be shown at once."""
        return self._page


class PagedAnswer(Answer):
    """The answer to a call with pages, which are fetched as they are asked for."""

    def __init__(
        self,
        call: Call,
        paging: Paging,
        parameters: dict[str, Any],
        *,
        starting_token: str | None,
        page_size: int | None,
        max_items: int | None,
    ) -> None:
        super().__init__({})
        self._call = call
        self._paging = paging
        self._parameters = dict(parameters)
        self._max_items = max_items
        self._token: str | None = None
        self._skip = 0
        self._is_resumed = starting_token is not None
        self._resume: str | None = None
        if starting_token is not None:
            self._token, self._skip = _decode_token(starting_token, paging)
            self._put_token(self._token)
        if page_size is not None:
            self._parameters[paging.limit] = page_size

    @override
    def pages(self, form: str) -> Iterator[dict[str, Any]]:
        """Give the pages as they come; for text, what is in them of results.

        Of text, the first page has what only it shows, and the last is the resume token.
        """
        if form != "text":
            yield from self._fetched()
            return
        for index, page in enumerate(self._fetched()):
            shown = self._others(page) if index == 0 else {}
            for path in self._paging.results:
                _put(shown, path, _get(page, path))
            yield shown
        if self._resume is not None:
            yield {"NextToken": {"NextToken": self._resume}}

    @override
    def whole(self) -> dict[str, Any]:
        """Fetch all pages and give their results joined."""
        joined: dict[str, Any] = {}
        others: dict[str, Any] = {}
        for index, page in enumerate(self._fetched()):
            if index == 0:
                others = self._others(page)
            for path in self._paging.results:
                found, before = _get(page, path), _get(joined, path)
                if before is None and found is not None:
                    _put(joined, path, found)
                elif isinstance(found, list):
                    before.extend(found)
        _merge(joined, others)
        if self._resume is not None:
            joined["NextToken"] = self._resume
        return joined

    def _fetched(self) -> Iterator[dict[str, Any]]:
        """Give the service's pages, the first and last cut to what was asked for."""
        main = self._paging.results[0]
        count = 0
        page = self._first_page()
        while True:
            items = _get(page, main) or []
            if self._max_items is not None and count + len(items) > self._max_items:
                kept = self._max_items - count
                _put(page, main, items[:kept])
                self._resume = _encode_token(self._paging, self._token, self._skip + kept)
                yield page
                return
            yield page
            count += len(items)
            following = _get(page, self._paging.output_token) or None
            if following is None:
                return
            if count == self._max_items:
                self._resume = _encode_token(self._paging, following, None)
                return
            if following == self._token:
                raise CommandError(f"The server gave the same page token twice: {following}")
            self._token, self._skip = following, 0
            self._put_token(following)
            page = self._call(self._parameters)

    def _first_page(self) -> dict[str, Any]:
        page = self._call(self._parameters)
        if self._is_resumed:
            main, *secondary = self._paging.results
            items = _get(page, main)
            _put(page, main, items[self._skip :] if isinstance(items, list) else None)
            for path in secondary:
                # These were shown in full with the page's first part.
                _put(page, path, [] if isinstance(_get(page, path), list) else None)
        return page

    def _others(self, page: dict[str, Any]) -> dict[str, Any]:
        # A missing one is shown as null, which is what `aws` does.
        return {name: page.get(name) for name in self._paging.others}

    def _put_token(self, token: str | None) -> None:
        if token is None:
            self._parameters.pop(self._paging.input_token, None)
        else:
            self._parameters[self._paging.input_token] = token


def _encode_token(paging: Paging, token: str | None, seen: int | None) -> str:
    content: dict[str, Any] = {paging.input_token: token}
    if seen is not None:
        content[_SEEN] = seen
    return base64.b64encode(json.dumps(content).encode()).decode()


def _decode_token(text: str, paging: Paging) -> tuple[str | None, int]:
    """Give the service's token and how much of its page was seen.

    A text that is no client's token is taken for the service's own.
    """
    try:
        content = json.loads(base64.b64decode(text.encode()).decode())
        return content[paging.input_token], int(content.get(_SEEN, 0))
    except (ValueError, TypeError, KeyError, AttributeError):
        return text, 0


def _get(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _put(value: dict[str, Any], path: str, item: Any) -> None:
    *above, last = path.split(".")
    for name in above:
        if not isinstance(value.get(name), dict):
            value[name] = {}
        value = value[name]
    value[last] = item


def _merge(into: dict[str, Any], others: dict[str, Any]) -> None:
    for name, item in others.items():
        if isinstance(item, dict) and isinstance(into.get(name), dict):
            _merge(into[name], item)
        else:
            into[name] = item
