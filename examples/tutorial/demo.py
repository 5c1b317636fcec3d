"""What Leveret does, in a few seconds: `python demo.py` is `leveret demo`, and so is `make demo`.

LEVERET_URL names the broker; where it is not set, one that runs inside this process. It ends with
exit code 0 only if all of it went as it says. What it tells is in `leveret/demo/story.py`.
"""

from __future__ import annotations

import os
import sys

from leveret.demo import run_demo

if __name__ == "__main__":
    sys.exit(run_demo(os.environ.get("LEVERET_URL")))
