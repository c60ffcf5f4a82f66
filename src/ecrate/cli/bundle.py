"""`ecrate bundle`."""

SUMMARY = ""
