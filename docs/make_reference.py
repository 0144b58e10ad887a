"""Writes configs/reference.toml from src/livematte/config.py: python docs/make_reference.py"""

from pathlib import Path

from livematte.presets import reference_toml

if __name__ == "__main__":
    Path(__file__).resolve().parents[1].joinpath("configs", "reference.toml").write_text(
        reference_toml(), encoding="utf-8", newline="\n"
    )
