"""Signatures: who makes them, what forms they take, and whom they are trusted from.

Only `port` and `profiles` are cheap to import: the others bring `cryptography`, which takes 0.12 s.
"""
