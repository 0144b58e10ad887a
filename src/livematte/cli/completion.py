"""`livematte completion`: the script that completes commands and options at the Tab key."""

from __future__ import annotations

from typing import Literal

from livematte.cli.console import Console


def completion(shell: Literal["bash", "zsh", "fish"], /) -> int:
    """Print a shell's completion script, made from the table of commands. No file of yours is changed.

    bash: `livematte completion bash > ~/.local/share/bash-completion/completions/livematte` (with the package
    bash-completion), or `eval "$(livematte completion bash)"` in `~/.bashrc`.

    zsh: `livematte completion zsh > ~/.zfunc/_livematte`, with `fpath+=~/.zfunc` before `compinit` in `~/.zshrc`.

    fish: `livematte completion fish > ~/.config/fish/completions/livematte.fish`.

    Parameters
    ----------
    shell
        bash, zsh or fish.
    """
    from livematte.cli.app import build

    script = build().generate_completion(shell=shell)
    Console.for_run(quiet=False, as_json=False, stdout_taken=False).say(script.rstrip())
    return 0
