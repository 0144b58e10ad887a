"""`training/` lies beside `src/`, not in it; its tests need PyTorch and say so where it is absent."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)
