"""Background work: what a server does by itself, shared by all workers and nodes."""
