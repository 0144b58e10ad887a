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


def rmbg_1(rgb: np.ndarray) -> np.ndarray:
    """briaai/RMBG-1.4, model card: 1024x1024, / 255, normalize([0.5] * 3, [1.0] * 3)."""
    return isnet(rgb)


def birefnet(rgb: np.ndarray) -> np.ndarray:
    """ZhengPeng7/BiRefNet, tutorials/BiRefNet_pth2onnx.ipynb, and RMBG-2.0's preprocessor_config.json: ImageNet."""
    resized = cv2.resize(rgb.astype(np.float32), (1024, 1024), interpolation=cv2.INTER_AREA) / 255
    mean, std = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    return ((resized - mean) / std).transpose(2, 0, 1)[None].astype(np.float32)


def isnet_anime(rgb: np.ndarray) -> np.ndarray:
    """SkyTNT/anime-segmentation, inference.py: fitted into 1024x1024, zeros around, plain 0..1; the picture's part."""
    height, width = rgb.shape[:2]
    if height > width:
        height, width = 1024, int(1024 * width / height)
    else:
        height, width = int(1024 * height / width), 1024
    inner = cv2.resize(rgb.astype(np.float32) / 255, (width, height), interpolation=cv2.INTER_AREA)
    whole = np.zeros((1024, 1024, 3), np.float32)
    top, left = (1024 - height) // 2, (1024 - width) // 2
    whole[top : top + height, left : left + width] = inner
    assert not whole[:top].any()
    return whole[top : top + height, left : left + width].transpose(2, 0, 1)[None]


def ben2(rgb: np.ndarray) -> np.ndarray:
    """PramaLLC/BEN2, onnx_run.py, as two projects report it: 1024x1024, / 255 and nothing else."""
    resized = cv2.resize(rgb.astype(np.float32), (1024, 1024), interpolation=cv2.INTER_AREA) / 255
    return resized.transpose(2, 0, 1)[None].astype(np.float32)


def pp_humanseg(rgb: np.ndarray) -> np.ndarray:
    """opencv/opencv_zoo, pphumanseg.py and demo.py: 192x192, / 255, mean 0.5, std 0.5."""
    resized = cv2.resize(rgb.astype(np.float32), (192, 192), interpolation=cv2.INTER_AREA) / 255
    return ((resized - 0.5) / 0.5).transpose(2, 0, 1)[None].astype(np.float32)


PUBLISHED = [
    Published("modnet-photographic", "input", "output", 1, ("b", 3, "h", "w"), modnet),
    Published("modnet-webcam", "another name", "yet another", 1, ("b", 3, "h", "w"), modnet),
    Published("u2net", "input.1", "1959", 7, (1, 3, 320, 320), u2net),
    Published("u2netp", "x", "d0", 7, (1, 3, 320, 320), u2net),
    Published("u2net_human_seg", "input.1", "1959", 7, (1, 3, 320, 320), u2net),
    Published("isnet", "input_image", "output_image", 12, (1, 3, 1024, 1024), isnet),
    Published("rmbg-1.4", "input", "output", 1, (1, 3, 1024, 1024), rmbg_1),
    Published("rmbg-2.0", "pixel_values", "alphas", 1, (1, 3, 1024, 1024), birefnet),
    Published("isnet-anime", "img", "mask", 1, ("b", 3, 1024, 1024), isnet_anime),
    Published("birefnet-general", "input_image", "output_image", 1, (1, 3, 1024, 1024), birefnet),
    Published("birefnet-general-lite", "input_image", "output_image", 1, (1, 3, 1024, 1024), birefnet),
    Published("birefnet-portrait", "input_image", "output_image", 1, (1, 3, 1024, 1024), birefnet),
    Published("birefnet-matting", "input_image", "output_image", 1, (1, 3, 1024, 1024), birefnet),
    Published("inspyrenet", "image", "alpha", 1, (1, 3, 1024, 1024), birefnet),
    Published("ben2", "input.1", "17728", 1, (1, 3, 1024, 1024), ben2),
    Published("pp-humanseg", "x", "save_infer_model/scale_0.tmp_1", 1, (1, 3, 192, 192), pp_humanseg),
]
