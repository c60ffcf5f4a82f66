"""Bundles: what a registry has, or what is new in it, carried to where no network leads."""
