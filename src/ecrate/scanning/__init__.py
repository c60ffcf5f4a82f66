"""Scanning: what is installed in an image, and which advisories that meets.

Pure: bytes of layers and advisories come in, values go out. `readers/` reads package databases
out of layers, `matching` judges packages by advisories in OSV format. It knows no database; what
is hostile (the layers) is read in a child process, `child`, that has nothing but its pipes.
"""
