"""The tiny networks (`tests/models/make_models.py`) and helpers are importable from these tests."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent)]
