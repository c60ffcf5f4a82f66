"""Readers of package databases, each for files as they stand in a layer.

Bytes here are hostile. A reader takes what it understands, raises `UnreadableError` for what it
does not, and reads no more than its limit.
"""
