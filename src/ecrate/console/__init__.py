"""The console: pages for people, on the operations and permissions of the other doors."""
