"""README and docs say what is true: their Python runs, their options exist, their links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "THIRD-PARTY.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```python run\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _blocks() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        blocks = _BLOCK.findall(page.read_text(encoding="utf-8"))
        found += [(f"{page.name}-{number}", block) for number, block in enumerate(blocks, 1)]
    return found


def test_there_are_examples() -> None:
    names = [name for name, _ in _blocks()]
    assert sum(name.startswith("README") for name in names) >= 2
    assert sum(name.startswith("from-rembg") for name in names) >= 4


@pytest.mark.parametrize(("name", "block"), _blocks(), ids=[name for name, _ in _blocks()])
def test_examples_run(name: str, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(block, name, "exec"), {"__name__": "__main__"})


def _options_of_the_commands() -> set[str]:
    from cyclopts import App

    from livematte.cli.app_command import app as page
    from livematte.cli.bench import app as bench
    from livematte.cli.convert import convert
    from livematte.cli.doctor import doctor
    from livematte.cli.evaluate import evaluate
    from livematte.cli.model import app as models
    from livematte.cli.photo import photo
    from livematte.cli.webcam import webcam

    commands = (convert, photo, webcam, page, evaluate, doctor)
    apps = [*(App(default_command=one) for one in commands), bench, models["fetch"]]
    found = {"--help", "--version"}
    for app in apps:
        for argument in app.assemble_argument_collection():
            found.update(name for name in argument.names if name.startswith("-"))
    return found


def test_commands_in_the_docs_exist_with_their_options() -> None:
    from livematte.cli.app import build

    commands = set(build())
    options = _options_of_the_commands()
    wrong = []
    for page in PAGES:
        for line in re.findall(r"`([^`\n]*livematte [^`\n]+)`", page.read_text(encoding="utf-8")):
            for part in re.findall(r"(?:^|\| |&& |/)livematte ([^|&]+)", line):
                words = part.split()
                unknown = [w for w in words[1:] if re.match(r"--[a-z]", w) and w.split("=")[0] not in options]
                if words[0] not in commands or unknown:
                    wrong.append(f"{page.name}: {line}")
    assert wrong == []


def test_links_lead_to_files() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} -> {target}"


def test_extras_in_the_readme_exist() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    named = {extra for group in re.findall(r"\[([a-z0-9,-]+)\]['\"]", text) for extra in group.split(",")}
    assert named
    assert named <= set(project["optional-dependencies"])


def test_pictures_in_the_readme_are_small() -> None:
    for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert (ROOT / target).stat().st_size < 300_000


def test_measured_tables_are_made_from_the_results() -> None:
    script = ROOT / "benchmarks" / "readme_table.py"
    done = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_of_formats_is_made_from_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")
    import make_formats

    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert text == make_formats.page(), "run: python docs/make_formats.py"
