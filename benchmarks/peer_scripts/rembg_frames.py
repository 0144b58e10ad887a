"""rembg over a clip, as its users do it: a session, frame by frame, PNG pictures out.

    python rembg_frames.py SESSION MODEL|- CLIP OUT_FOLDER

SESSION is a name of rembg's (`isnet-general-use`, whose weights lie in U2NET_HOME), or `u2net_custom` with MODEL, a
file of one's own. Run by benchmarks/peers.py in an environment of its own.
"""

import sys
from pathlib import Path

import cv2
from PIL import Image
from rembg import new_session, remove

name, model, clip, out = sys.argv[1:5]
session = new_session(name) if model == "-" else new_session(name, model_path=model)
folder = Path(out)
folder.mkdir(parents=True, exist_ok=True)
capture = cv2.VideoCapture(clip)
number = 0
while True:
    ok, frame = capture.read()
    if not ok:
        break
    picture = Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
    remove(picture, session=session).save(folder / f"{number:06}.png")
    number += 1
