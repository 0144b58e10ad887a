"""`livematte webcam --list`: the cameras of this machine."""

from __future__ import annotations

from livematte.cli.console import Console


def say_cameras(console: Console) -> int:
    """Each camera on a line: the number for `--input`, its name and path, its sizes and rates. Starts none of them."""
    from livematte.sources.camera_devices import describe_camera, survey

    found = survey()
    lines = [describe_camera(camera) for camera in found.cameras]
    for line in lines:
        console.say(line)
    if not lines:
        console.say("There is no camera here. A clip can stand in for one: livematte webcam --input clip.mp4 --loop")
    for camera in found.left_out:
        console.say(f"not offered: {camera.name} ({camera.path}): {camera.remark}")
    if found.trouble:
        console.warn(found.trouble)
    if lines:
        console.say("Choose one with --input, by its number, (a part of) its name, or its path.")
    cameras = [
        {"number": camera.number, "name": camera.name, "path": camera.path, "line": line}
        for camera, line in zip(found.cameras, lines, strict=True)
    ]
    left_out = [{"name": one.name, "path": one.path, "reason": one.remark} for one in found.left_out]
    console.event("summary", {"cameras": cameras, "left_out": left_out, "trouble": found.trouble})
    return 0
