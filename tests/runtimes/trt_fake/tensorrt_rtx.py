"""The fake as `tensorrt_rtx`, for child processes: this folder on PYTHONPATH."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))
import fake_tensorrt

globals().update(fake_tensorrt.make("tensorrt_rtx", "1.7.1"))
