"""Stacked pictures: colours in the upper half, alpha in the lower one, each half with even sides.

The layout of Jake Archibald (2024, jakearchibald.com/2024/video-with-transparency) and of many game engines: an
ordinary opaque video that any decoder takes, put together again by a shader. No rows lie between the halves; an even
half keeps chroma samples from belonging to both.
"""

from __future__ import annotations

import av

from livematte.planes import PlaneArray, plane_arrays


def halves(picture: av.VideoFrame) -> tuple[list[PlaneArray], list[PlaneArray]]:
    """Views onto the planes of the upper and of the lower half of a stacked picture, as `plane_arrays` gives them."""
    planes = plane_arrays(picture)
    middle = [plane.shape[0] // 2 for plane in planes]
    upper = [plane[:rows] for plane, rows in zip(planes, middle, strict=True)]
    lower = [plane[rows:] for plane, rows in zip(planes, middle, strict=True)]
    return upper, lower
