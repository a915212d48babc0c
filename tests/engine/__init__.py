"""Docker Model Runner as the tests see it: its own behaviour in front of an engine.

The engine is llama.cpp (`llama_server.py`) or, where no true vectors are needed, a stand-in with
the same limits (`canned.py`). `fixtures.py` has what tests ask for, `python -m tests.engine` serves
it by hand.
"""
