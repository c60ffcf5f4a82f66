"""GetAuthorizationToken."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from ecrate.aws.call import Call
from ecrate.operations import tokens

if TYPE_CHECKING:
    from types_boto3_ecr import type_defs as t


def get_authorization_token(call: Call[t.GetAuthorizationTokenRequestTypeDef]) -> dict[str, Any]:
    token = tokens.get_authorization_token(call.core, call.caller, call.session_token)
    text = b64encode(f"AWS:{token.password}".encode()).decode()
    ids = call.parameters.get("registryIds") or [call.caller.registry.id]
    return {
        "authorizationData": [
            {
                "authorizationToken": text,
                "expiresAt": token.expires_at,
                "proxyEndpoint": f"{call.hosts.scheme()}://"
                + call.registry_host(call.registry(registry_id)),
            }
            for registry_id in ids
        ]
    }
