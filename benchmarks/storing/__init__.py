"""Stores side by side: the data, the systems, and what each is asked to do in a process of its own.

`data` makes the vectors, `system` says what a system must offer, `process` is the program that
measures one of them, and each other module holds a family of systems under `SYSTEMS`. Only `ours`
needs ragkit: the other modules also run in the environment of the peers.
"""
