"""What other registries keep on disk, taken over."""
