"""The fixture `fakecuda` for the tests of this folder."""

from fakecuda.plugin import fakecuda

__all__ = ["fakecuda"]
