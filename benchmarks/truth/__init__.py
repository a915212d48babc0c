"""Whether what is indexed is what is on the disk: under edits, kills, crowds, in large trees.

`python -m benchmarks.truth` measures it, see `__main__`; each module is one part of it.
"""
