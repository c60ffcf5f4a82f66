"""The AWS door under attack: signatures, parameters, whole calls, and the forms of STS."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree import ElementTree as ET

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import strategies as st
from multidict import CIMultiDict

from ecrate.aws import sts
from ecrate.aws.errors import CODES, FrontDoorError, render
from ecrate.aws.front import decode_parameters
from ecrate.aws.model import service_model
from ecrate.aws.table import OPERATIONS
from ecrate.aws.validation import Validator
from ecrate.domain.errors import EcrateError, InvalidParameter
from ecrate.domain.sigv4 import MalformedSignatureError, is_genuine, parse_signature
from tests.fuzz import texts
from tests.fuzz.target import Target, attempt
from tests.fuzz.texts import as_headers, mixed, spoiled, spoiled_bytes
from tests.fuzz.world import ROLE, world
from tests.support.answers import faults_of
from tests.support.core import CALLER
from tests.support.policies import allow, policy
from tests.support.shapes import requests, values

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def check_signature(given: tuple[dict[str, str], str]) -> None:
    """Reading and checking a signature ends in yes or no; nothing made up here is genuine."""
    headers, query = CIMultiDict(given[0]), given[1]
    try:
        signature = parse_signature(headers, query)
    except MalformedSignatureError:
        return
    is_anywhere = "Authorization" in headers or "X-Amz-Signature=" in query
    assert (signature is not None) == is_anywhere
    if signature is not None:
        assert re.fullmatch(r"\d{8}", signature.date, re.ASCII)
        assert signature.expires is None or 0 <= signature.expires < 10**9
        scope = signature.service + signature.region + signature.timestamp
        # The front lets only such through to the check.
        assert not (scope.isascii() and is_genuine(signature, "secret", "POST", headers, "0" * 64))


_scopes = mixed("AKIA", "/", "20261124", "/us-east-1/ecr", "/aws4_request")
_authorizations = spoiled(
    st.builds(
        "AWS4-HMAC-SHA256 Credential={}/20261124/us-east-1/{}/aws4_request, "
        "SignedHeaders={}, Signature={}".format,
        texts.components,
        st.sampled_from(["ecr", "s3"]),
        st.lists(st.sampled_from(["host", "x-amz-date", "x-amz-target"])).map(";".join),
        st.text(texts.HEX, min_size=64, max_size=64),
    )
)
_signed_headers = st.fixed_dictionaries(
    {},
    optional={
        "Authorization": as_headers(
            _authorizations | mixed("AWS4-HMAC-SHA256", "Credential=", "Signature=")
        ),
        "X-Amz-Date": as_headers(spoiled(st.just("20261124T000000Z"))),
        "Host": as_headers(mixed("localhost", ":5100")),
        "X-Amz-Target": as_headers(mixed("ListImages")),
        "X-Amz-Security-Token": as_headers(mixed("token")),
    },
)
_presigned = st.fixed_dictionaries(
    {"X-Amz-Signature": mixed("0" * 64)},
    optional={
        "X-Amz-Algorithm": spoiled(st.just("AWS4-HMAC-SHA256")),
        "X-Amz-Credential": spoiled(st.just("AKIA/20261124/us-east-1/ecr/aws4_request")) | _scopes,
        "X-Amz-Date": spoiled(st.just("20261124T000000Z")),
        "X-Amz-Expires": spoiled(st.just("60")),
        "X-Amz-SignedHeaders": mixed("host", ";"),
    },
).map(lambda pairs: "&".join(f"{key}={_quoted(value)}" for key, value in pairs.items()))


def _quoted(text: str) -> str:
    return quote(text, errors="surrogatepass")


_VALIDATOR = Validator()


def check_parameters(given: tuple[str, bytes]) -> None:
    name, body = given
    operation = service_model().operations[name]
    errors = (FrontDoorError, InvalidParameter)
    parameters = attempt(errors, decode_parameters, _VALIDATOR, operation, body)
    if isinstance(parameters, errors):
        assert str(parameters)
    else:
        assert set(operation.input.required) <= set(parameters) <= set(operation.input.members)


def _bodies(name: str) -> st.SearchStrategy[tuple[str, bytes]]:
    made = requests(service_model().operations[name].input).map(texts.as_json)
    return st.tuples(st.just(name), spoiled_bytes(made))


def check_genuine(given: tuple[dict[str, str], list[tuple[str, str]], bytes, int]) -> None:
    """What botocore signs is genuine, and is not with any one thing changed."""
    extra, pairs, body, place = given
    query = urlencode(pairs, quote_via=quote, safe="-_.~")
    url = f"https://localhost/?{query}" if query else "https://localhost/"
    headers = {"X-Amz-Target": "AmazonEC2ContainerRegistry_V20150921.ListImages", **extra}
    request = AWSRequest("POST", url, headers=headers, data=body)
    SigV4Auth(Credentials("AKIA", SECRET), "ecr", "us-east-1").add_auth(request)
    sent: CIMultiDict[str] = CIMultiDict({"Host": "localhost", **dict(request.headers.items())})
    signature = parse_signature(sent, "")
    assert signature is not None
    digest = hashlib.sha256(body).hexdigest()
    signed = replace(signature, query=query)
    assert is_genuine(signed, SECRET, "POST", sent, digest)
    name = sorted(extra | {"X-Amz-Target": ""})[place % (len(extra) + 1)]
    other = CIMultiDict(sent)
    other[name] = other[name] + "x"
    assert not is_genuine(signed, SECRET, "POST", other, digest)
    assert not is_genuine(signed, SECRET, "POST", sent, hashlib.sha256(body + b" ").hexdigest())
    assert not is_genuine(replace(signed, query=query + "&x=y"), SECRET, "POST", sent, digest)
    assert not is_genuine(signed, SECRET + "x", "POST", sent, digest)


def check_call(given: tuple[str, bytes]) -> None:
    """A handler raises what its operation declares, or answers in its operation's shape."""
    name, body = given
    operation = service_model().operations[name]
    errors = (FrontDoorError, EcrateError)
    parameters = attempt(errors, decode_parameters, _VALIDATOR, operation, body)
    if isinstance(parameters, errors):
        return
    answer = attempt(errors, OPERATIONS[name].handler, world().call(parameters))
    if isinstance(answer, errors):
        _, code, document = render(answer)
        assert code in {*operation.errors, "AccessDeniedException", "SerializationException"}
        msgspec.json.encode(document)
        return
    if not OPERATIONS[name].only_reads:
        world().reset()
    assert faults_of(name, answer) == []
    msgspec.json.encode(answer)


@st.composite
def _calls(draw: st.DrawFn) -> tuple[str, bytes]:
    """Give requests that mostly speak of what is there."""
    name = draw(st.sampled_from(sorted(OPERATIONS)))
    shape = service_model().operations[name].input
    known = {
        member: st.sampled_from(found)
        for member, found in world().known.items()
        if member in shape.members
    }
    request = draw(values(shape)) | draw(st.fixed_dictionaries({}, optional=known))
    return name, texts.as_json(request)


def check_form(body: bytes) -> None:
    """STS answers with XML of its action, or refuses with XML."""
    errors = (FrontDoorError, EcrateError)
    answer = attempt(errors, sts.answer, world().call({}).core, CALLER, body)
    if isinstance(answer, errors):
        code = render(answer)[1]
        assert isinstance(answer, FrontDoorError) or type(answer) in CODES
        answer = sts.error_xml(code, str(answer), "request")
    ET.fromstring(answer)  # noqa: S314 - what ecrate wrote


_actions = spoiled(st.sampled_from(sorted(sts.ACTIONS)))
_narrow = policy(allow("ecr:ListImages", Resource="*"))
_forms = st.fixed_dictionaries(
    {"Action": _actions},
    optional={
        "Version": st.just("2011-06-15"),
        "RoleArn": spoiled(st.just(ROLE)),
        "RoleSessionName": spoiled(st.just("session-1")),
        "DurationSeconds": spoiled(st.sampled_from(["900", "3600", "43200", "1"])),
        "Policy": spoiled(st.just(_narrow)) | mixed("{", "}", '"Statement":', "[]"),
    },
).map(lambda form: urlencode(form, errors="surrogatepass").encode())

_words = st.text("abcXYZ019-._~ +/%&=é", max_size=6)
AWS_TARGETS: list[Target[Any]] = [
    Target(
        "signature", st.tuples(_signed_headers, _presigned | mixed("a=b", "&")), check_signature
    ),
    Target(
        "genuine",
        st.tuples(
            st.dictionaries(
                st.sampled_from(["X-Amz-One", "X-Amz-Two", "Content-Type"]),
                st.text("ab \t;,=1", max_size=8).map(str.strip),
                max_size=3,
            ),
            st.lists(st.tuples(_words, _words), max_size=4),
            st.binary(max_size=12),
            st.integers(0, 3),
        ),
        check_genuine,
    ),
    Target("parameters", st.sampled_from(sorted(OPERATIONS)).flatmap(_bodies), check_parameters),
    Target("call", _calls(), check_call),
    Target("sts-form", spoiled_bytes(_forms), check_form),
]
