"""Why the GPU's decoder does not take an input, in words; the source then decodes it on the processor."""

from __future__ import annotations

import errno

from livematte.sources.ffmpeg_errors import reason


class NvdecRefused(Exception):
    """The GPU cannot decode this input. The message is a clause for a person: `this GPU cannot ...`."""


def why(error: BaseException) -> str:
    """The clause for what PyAV or FFmpeg raised when the GPU's decoder was opened, or got its first packets."""
    number = getattr(error, "errno", None)
    if isinstance(error, PermissionError):
        return "FFmpeg found no NVIDIA driver (libcuda and libnvcuvid) on this machine"
    if isinstance(error, NotImplementedError | RuntimeError):
        return "FFmpeg has no decoder on the GPU for its codec"
    if number == errno.ENOTSUP:
        return "the GPU's context was set up by another library in a way that FFmpeg's decoder does not take (error 95)"
    if number == errno.EINVAL:
        return "the thread that opened it has no CUDA context, or this GPU does not take its codec parameters"
    if isinstance(error, MemoryError) or number == errno.ENOMEM:
        return "the GPU's memory ran out"
    if type(error).__name__ == "InvalidDataError":
        return "this GPU's decoder does not take its codec, profile, size or chroma, or its first packets are damaged"
    return f"the GPU's decoder failed ({reason(error)})"
