"""What publishers say about their networks' input, written down apart from the manifests in engines/.

Each entry repeats the publisher's own preprocessing in NumPy and OpenCV, from the pages named; the tests hold the
tensors that the program feeds against it. Nothing here may be taken from engines/.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Published:
    """One network as its publisher describes it."""

    manifest: str
    picture: str
    """Name of the input in the stand-in; where the publisher's is not known, one that nobody uses."""
    matte: str
    outputs: int
    sides: tuple
    preprocess: Callable[[np.ndarray], np.ndarray]
    """(h, w, 3) uint8 RGB -> (1, 3, h', w') float32."""


def modnet(rgb: np.ndarray) -> np.ndarray:
    """ZHKKKe/MODNet, onnx/inference_onnx.py: (x - 127.5) / 127.5; 512 for the short side; multiples of 32; AREA."""
    reference = 512
    height, width = rgb.shape[:2]
    if max(height, width) < reference or min(height, width) > reference:
        if width >= height:
            new_height, new_width = reference, int(width / height * reference)
        else:
            new_height, new_width = int(height / width * reference), reference
    else:
        new_height, new_width = height, width
    new_width, new_height = new_width - new_width % 32, new_height - new_height % 32
    values = (rgb.astype(np.float32) - 127.5) / 127.5
    resized = cv2.resize(values, (new_width, new_height), interpolation=cv2.INTER_AREA)
    return resized.transpose(2, 0, 1)[None]


def u2net(rgb: np.ndarray) -> np.ndarray:
    """xuebinqin/U-2-Net, data_loader.py (ToTensorLab): 320x320, ImageNet; divided by 255, not by the own maximum."""
    resized = cv2.resize(rgb.astype(np.float32), (320, 320), interpolation=cv2.INTER_AREA) / 255
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return ((resized - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)


def isnet(rgb: np.ndarray) -> np.ndarray:
    """xuebinqin/DIS, IS-Net/Inference.py: 1024x1024 stretched, / 255, normalize(0.5, 1.0)."""
    resized = cv2.resize(rgb.astype(np.float32), (1024, 1024), interpolation=cv2.INTER_AREA)
    return (resized / 255 - 0.5).transpose(2, 0, 1)[None].astype(np.float32)


PUBLISHED = [
    Published("modnet-photographic", "input", "output", 1, ("b", 3, "h", "w"), modnet),
    Published("modnet-webcam", "another name", "yet another", 1, ("b", 3, "h", "w"), modnet),
    Published("u2net", "input.1", "1959", 7, (1, 3, 320, 320), u2net),
    Published("u2netp", "x", "d0", 7, (1, 3, 320, 320), u2net),
    Published("u2net_human_seg", "input.1", "1959", 7, (1, 3, 320, 320), u2net),
    Published("isnet", "input_image", "output_image", 12, (1, 3, 1024, 1024), isnet),
]
