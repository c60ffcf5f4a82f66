"""Replication: rules, copies within the server and to others, and backfills."""
