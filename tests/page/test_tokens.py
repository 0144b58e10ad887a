"""The token of `/obs` is kept, private, and renewed when it must be."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from livematte import resources
from livematte.errors import SinkError
from livematte.page.tokens import OBS_TOKEN_FILE, is_same, new_token, obs_token
from livematte.reporting import ListReporter


def test_tokens_are_long_and_differ() -> None:
    assert len({new_token() for _ in range(100)}) == 100
    assert len(new_token()) == 32


@pytest.mark.parametrize("given", ["", "x", "ä" * 32, "\udcff"])
def test_only_the_same_token_is_the_same(given: str) -> None:
    token = new_token()
    assert is_same(token, token)
    assert not is_same(given, token)


def test_the_obs_token_stays_until_it_is_renewed() -> None:
    reporter = ListReporter()
    first = obs_token(reporter=reporter)
    assert obs_token(reporter=reporter) == first
    renewed = obs_token(renew=True, reporter=reporter)
    assert renewed != first
    assert obs_token(reporter=reporter) == renewed
    assert not reporter.warnings


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX'")
def test_the_obs_token_is_the_users_alone() -> None:
    reporter = ListReporter()
    first = obs_token(reporter=reporter)
    path = resources.config_dir() / OBS_TOKEN_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    assert obs_token(reporter=reporter) != first, "one that others could read is no secret any more"
    assert "other users" in reporter.warnings[0]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_spoilt_obs_token_is_made_anew_and_said() -> None:
    reporter = ListReporter()
    obs_token(reporter=reporter)
    path = resources.config_dir() / OBS_TOKEN_FILE
    path.write_text("short\n")
    assert len(obs_token(reporter=reporter)) == 32
    assert "new address" in reporter.warnings[0]


def test_a_config_folder_that_cannot_be_written_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setattr(resources, "config_dir", lambda: blocked / "livematte")
    with pytest.raises(SinkError, match=r"token of /obs cannot be kept"):
        obs_token(reporter=ListReporter())
