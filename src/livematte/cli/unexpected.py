"""What is said of an error that is the program's own fault."""

from __future__ import annotations


def unexpected(error: Exception) -> str:
    """One paragraph: whose fault it is, and how to report it."""
    return (
        f"an error that the program does not know: {type(error).__name__}: {error}. That is its fault, "
        "not yours. Please report it as an issue of the project, with the command you typed, the lines above, what "
        "'livematte doctor' prints, and the traceback that the same command shows with --debug."
    )
