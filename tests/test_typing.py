"""A user's script passes `mypy --strict` by what the package says of itself: no plug-in, no configuration."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image

from livematte import LivematteError, Session, convert, cutout, matte, matte_frames
from livematte.config import MattingSettings, OutputSettings, Settings

picture: npt.NDArray[np.uint8] = np.zeros((48, 64, 3), np.uint8)
alpha: npt.NDArray[np.uint8] = matte(picture)
array: npt.NDArray[np.uint8] = cutout(picture)
pil: Image.Image = cutout(Image.new("RGB", (64, 48)))
data: bytes = cutout(Path("p.png").read_bytes())
read: Image.Image = cutout("p.png")
frame: av.VideoFrame = cutout(av.VideoFrame.from_ndarray(picture, format="rgb24"))
with Session("auto", quality="fast", matting=MattingSettings(shrink=1.0)) as session:
    shapes: list[tuple[int, ...]] = [one.shape for one in session.matte_frames([picture], smooth="strong")]
count: int = sum(1 for _ in matte_frames(iter([picture])))
settings = Settings(output=OutputSettings(encode="fast"))
try:
    target: str = convert("clip.mp4", "out.webm", settings=settings).outputs[0].target
except LivematteError as error:
    print(error.exit_code)
"""


@pytest.mark.slow
def test_a_users_script_is_typed(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "script.py"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
