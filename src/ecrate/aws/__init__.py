"""The AWS door: ECR's JSON 1.1 API over SigV4, driven by the service model."""

from __future__ import annotations
