"""What runs in a child process over fakecuda: `python child.py MODULE:FUNCTION JSON RESULT`."""

from __future__ import annotations

import faulthandler
import importlib
import json
import sys
from pathlib import Path


def main() -> None:
    faulthandler.enable()
    name, arguments, result = sys.argv[1:4]
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    module, _, function = name.partition(":")
    answer = getattr(importlib.import_module(module), function)(**json.loads(arguments))
    Path(result).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
