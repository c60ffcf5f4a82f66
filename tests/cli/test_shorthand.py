from __future__ import annotations

from typing import Any

import pytest

from ecrate.aws.model import Shape
from ecrate.cli.shorthand import ShorthandError, coerce, parse_shorthand

_TEXT = Shape("Text", "string")
_INNER = Shape("Inner", "structure", members={"count": Shape("Count", "integer")})
_SHAPE = Shape(
    "All",
    "structure",
    members={
        "flag": Shape("Flag", "boolean"),
        "number": Shape("Number", "long"),
        "texts": Shape("Texts", "list", element=_TEXT),
        "inner": _INNER,
        "map": Shape("Map", "map", key=_TEXT, value=Shape("Score", "double")),
    },
)


def _read(text: str) -> str:
    return f"<{text}>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a=b", {"a": "b"}, id="one"),
        pytest.param("a=b,c=d", {"a": "b", "c": "d"}, id="two"),
        pytest.param("a=", {"a": ""}, id="empty value"),
        pytest.param("a=,b=c", {"a": "", "b": "c"}, id="empty value before another"),
        pytest.param("a=b,c", {"a": ["b", "c"]}, id="list"),
        pytest.param("a=b,c,d=e", {"a": ["b", "c"], "d": "e"}, id="list and key"),
        pytest.param("a=b=c", {"a": "b=c"}, id="equals sign in a value"),
        pytest.param("a=b=c,d=e", {"a": "b=c", "d": "e"}, id="equals sign, then key"),
        pytest.param("a=[b,c]", {"a": ["b", "c"]}, id="brackets"),
        pytest.param("a=[ b , c ]", {"a": ["b", "c"]}, id="blanks in brackets"),
        pytest.param("a=[[b],[c,d]]", {"a": [["b"], ["c", "d"]]}, id="nested lists"),
        pytest.param("a={b=c,d=[e,f]},g=h", {"a": {"b": "c", "d": ["e", "f"]}, "g": "h"}, id="map"),
        pytest.param("a=[{b=c},{b=d}]", {"a": [{"b": "c"}, {"b": "d"}]}, id="list of maps"),
        pytest.param("a='b,c',d=\"e'f\"", {"a": "b,c", "d": "e'f"}, id="quotations"),
        pytest.param(r"a='it\'s',b=x", {"a": "it's", "b": "x"}, id="escaped quotation"),
        pytest.param(r"a=b\,c,d=e", {"a": "b,c", "d": "e"}, id="escaped comma"),
        pytest.param("a='b','c',d", {"a": ["b", "c", "d"]}, id="list of quotations"),
        pytest.param(" a=b", None, id="blank before a key"),
        pytest.param("a = b , c = d", {"a": "b", "c": "d"}, id="blanks"),
        pytest.param("a@=file,b=c", {"a": "<file>", "b": "c"}, id="file"),
        pytest.param("a.b/c:d#e=f", {"a.b/c:d#e": "f"}, id="key of odd characters"),
        pytest.param("a=日本", {"a": "日本"}, id="not ASCII"),
        pytest.param("a", None, id="no value"),
        pytest.param("a=b,", None, id="comma at the end"),
        pytest.param("a=b,a=c", None, id="key twice"),
        pytest.param("a=[b", None, id="list without end"),
        pytest.param("a={b=c", None, id="map without end"),
        pytest.param("a='b", None, id="quotation without end"),
        pytest.param("a={b}", None, id="map without value"),
        pytest.param("a=b}", None, id="stray bracket"),
    ],
)
def test_parse_shorthand(text: str, expected: dict[str, Any] | None) -> None:
    try:
        parsed = parse_shorthand(text, _read)
    except ShorthandError:
        parsed = None

    assert parsed == expected


def test_parse_shorthand_marks_the_place_of_an_error() -> None:
    with pytest.raises(ShorthandError) as caught:
        parse_shorthand("a=[b,c", _read)

    assert str(caught.value) == "expected ',' and found the end at character 7"
    assert caught.value.picture == "a=[b,c\n      ^"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param({"flag": "true"}, {"flag": True}, id="true"),
        pytest.param({"flag": "False"}, {"flag": False}, id="false"),
        pytest.param({"flag": "yes"}, {"flag": "yes"}, id="no boolean"),
        pytest.param({"number": "12"}, {"number": 12}, id="number"),
        pytest.param({"number": "x"}, {"number": "x"}, id="no number"),
        pytest.param({"texts": "a"}, {"texts": ["a"]}, id="one element"),
        pytest.param({"texts": ["a", "b"]}, {"texts": ["a", "b"]}, id="elements"),
        pytest.param({"inner": {"count": "3"}}, {"inner": {"count": 3}}, id="nested"),
        pytest.param({"map": {"k": "1.5"}}, {"map": {"k": 1.5}}, id="map"),
        pytest.param({"other": "1"}, {"other": "1"}, id="unknown member"),
    ],
)
def test_coerce(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert coerce(_SHAPE, given) == expected
