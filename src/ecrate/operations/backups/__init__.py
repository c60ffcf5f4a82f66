"""Backups: everything a server has, in a folder that any database and blob store can be made of."""
