"""MediaPipe's tasks API over a clip, after its own sample: a confidence mask, a threshold, a flat colour behind.

    python mediapipe_frames.py MODEL.tflite CLIP OUT.mp4

Run by benchmarks/peers.py in an environment of its own.
"""

import sys

import cv2
import mediapipe
import numpy as np
from mediapipe.tasks import python as tasks
from mediapipe.tasks.python import vision

model, clip, out = sys.argv[1:4]
options = vision.ImageSegmenterOptions(
    base_options=tasks.BaseOptions(model_asset_path=model),
    running_mode=vision.RunningMode.VIDEO,
    output_confidence_masks=True,
    output_category_mask=False,
)
capture = cv2.VideoCapture(clip)
width, height = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
rate = capture.get(cv2.CAP_PROP_FPS)
writer = cv2.VideoWriter(out, cv2.VideoWriter_fourcc(*"mp4v"), rate, (width, height))
behind = np.zeros((height, width, 3), np.uint8)
behind[:] = (0, 255, 0)
with vision.ImageSegmenter.create_from_options(options) as segmenter:
    number = 0
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))
        found = segmenter.segment_for_video(picture, int(1000 * number / rate))
        mask = found.confidence_masks[0].numpy_view().reshape(height, width)
        writer.write(np.where(mask[..., None] > 0.2, frame, behind))
        number += 1
writer.release()
