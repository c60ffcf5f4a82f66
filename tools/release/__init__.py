"""What a release is made of, and how: the same bytes from the same commit, wherever it is built."""
