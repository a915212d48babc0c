"""Serve the double by hand, until it is stopped:

python -m tests.engine --port 12434 --pulled ai/all-minilm --pulled ai/smollm2
"""

import os

if __name__ == "__main__":
    # before numpy is there: threads that spin for each other make small matrices slow
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from .by_hand import main

    main()
