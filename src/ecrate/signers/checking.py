"""One question for signatures of either form: who that is trusted has signed this image?"""

from __future__ import annotations

from ecrate.signers import cosign, notary
from ecrate.signers.images import Signature, Target, Verified
from ecrate.signers.port import NOTARY
from ecrate.signers.trust import Trust


def check_signature(
    signature: Signature, content: bytes, target: Target, trust: Trust, now: float
) -> Verified:
    """Give who it is by; `content` is its layer's. Raises `BadSignatureError`."""
    if signature.form == NOTARY:
        return notary.verify(content, target, trust, now)
    return cosign.verify(content, signature, target, trust, now)
