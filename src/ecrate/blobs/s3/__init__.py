"""The blob store on S3 and what speaks its language: SeaweedFS, MinIO, Ceph, AWS itself."""

from __future__ import annotations
