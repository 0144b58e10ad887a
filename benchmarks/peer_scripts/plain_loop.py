"""The loop that tutorials show: OpenCV reads, ONNX Runtime runs, NumPy blends over green, OpenCV writes.

    python plain_loop.py MODEL.onnx CLIP OUT.mp4

Networks with one picture input are fed at 448x256 in 0..1; Robust Video Matting (an input `src`) at the clip's own size
with the ratio that its authors give for HD. Run by benchmarks/peers.py in an environment of its own.
"""

import sys

import cv2
import numpy as np
import onnxruntime

model, clip, out = sys.argv[1:4]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
names = [item.name for item in session.get_inputs()]
capture = cv2.VideoCapture(clip)
width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
writer = cv2.VideoWriter(out, cv2.VideoWriter_fourcc(*"mp4v"), capture.get(cv2.CAP_PROP_FPS), (width, height))
green = np.array([0, 255, 0], np.float32) / 255
states = [np.zeros((1, 1, 1, 1), np.float32)] * 4
ratio = np.array([0.375 if height < 1080 else 0.25], np.float32)
while True:
    ok, frame = capture.read()
    if not ok:
        break
    rgb = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    if "src" in names:
        src = rgb.astype(np.float32).transpose(2, 0, 1)[None] / 255
        feeds = {"src": src, "downsample_ratio": ratio, **dict(zip(("r1i", "r2i", "r3i", "r4i"), states, strict=True))}
        _, alpha, *states = session.run(["fgr", "pha", "r1o", "r2o", "r3o", "r4o"], feeds)
        alpha = alpha[0, 0]
    else:
        small = cv2.resize(rgb, (448, 256)).astype(np.float32).transpose(2, 0, 1)[None] / 255
        alpha = cv2.resize(session.run(None, {names[0]: small})[0][0, 0], (width, height))
    alpha = alpha[..., None]
    blended = alpha * (frame.astype(np.float32) / 255) + (1 - alpha) * green
    writer.write((np.clip(blended, 0, 1) * 255).astype(np.uint8))
writer.release()
