"""What fuzzing brought to light at the AWS door, case by case."""

from __future__ import annotations

import re

import pytest

from tests.support.server import Server
from tests.support.signing import error_of, post, presign


@pytest.mark.parametrize(
    "signature", ["%C3%A9", "%ED%B2%80", "", "0" * 63, "0" * 65, "A" * 64, "%D9%A0" * 64]
)
def test_presigned_signature_that_is_none_is_malformed(server: Server, signature: str) -> None:
    url, headers = presign(server, "DescribeRepositories")
    url = re.sub(r"X-Amz-Signature=[0-9a-f]{64}", f"X-Amz-Signature={signature}", url)

    answer = post(server, headers, url=url)

    message = "AWS query-string parameters are incomplete or malformed."
    assert error_of(answer) == (400, "IncompleteSignatureException", message)


def test_credential_takes_no_other_digits(server: Server) -> None:
    url, headers = presign(server, "DescribeRepositories")
    date = re.search(r"%2F(\d{8})%2F", url)
    assert date is not None
    other = "".join(f"%D9%A{digit}" for digit in date[1])

    answer = post(server, headers, url=url.replace(date[0], f"%2F{other}%2F"))

    assert error_of(answer)[:2] == (400, "IncompleteSignatureException")
