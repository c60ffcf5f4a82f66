"""What a registry does, once, for every door: authorize, one transaction, the rules.

Operations are plain functions named as ECR's API names them. They take the `Core`, the caller
and domain values, and raise the errors of `domain/errors.py`.
"""

from __future__ import annotations
