"""Every error that livematte raises on purpose.

    LivematteError                      exit code 1
    ├── UsageError        ValueError    2   an option or a combination of options that cannot work
    ├── SourceError       OSError       3   the input cannot be read
    │   └── EndedEarly                  3   the input broke off before its own end
    ├── ModelError        ValueError    4   a network is unknown, broken, or does not fit its manifest
    │   └── ModelMissing                4   a known network is not on this machine, or failed its checksum
    ├── DeviceError       RuntimeError  5   the accelerator or runtime that was asked for is not available
    ├── SinkError         OSError       1   the output cannot be written (disk full, folder not writable)
    │   └── AlphaLost                   1   what was written does not carry the matte that was meant
    ├── NobodyFound       ValueError    1   a photo without a person in it
    └── Interrupted       KeyboardInterrupt  130  Ctrl-C; what was written so far is kept

A message says what happened, what was given, what is allowed, and what to do, in one paragraph. Each class
also inherits the nearest built-in, so that `except OSError` works for people who do not know this tree.
"""

from __future__ import annotations

from typing import ClassVar


class LivematteError(Exception):
    """Base of everything that livematte raises on purpose."""

    exit_code: ClassVar[int] = 1
    """What the command line ends with when this error reaches it."""


class UsageError(LivematteError, ValueError):
    """An option, or a combination of options, that cannot work."""

    exit_code = 2


class SourceError(LivematteError, OSError):
    """The input cannot be opened or read."""

    exit_code = 3


class EndedEarly(SourceError):
    """The input broke off: an I/O error, or its own index lists more than could be read."""


class ModelError(LivematteError, ValueError):
    """A network is unknown, broken, or does not fit its manifest."""

    exit_code = 4


class ModelMissing(ModelError):
    """A known network is not on this machine, or its file failed the checksum."""


class DeviceError(LivematteError, RuntimeError):
    """The accelerator or runtime that was asked for is not available."""

    exit_code = 5


class SinkError(LivematteError, OSError):
    """The output cannot be written."""


class AlphaLost(SinkError):
    """What was written does not carry the matte that was meant; no file is left under the final name."""


class NobodyFound(LivematteError, ValueError):
    """No person in a photo (mean alpha below 0.005)."""


class Interrupted(LivematteError, KeyboardInterrupt):
    """Ctrl-C. What was written so far is finished and kept under its `.part` name."""

    exit_code = 130
