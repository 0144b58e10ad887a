"""`livematte model` on the command line."""

from __future__ import annotations

from outcome import Command

from livematte.models.catalogue import shipped


def test_list_names_every_network_with_licence_and_size(command: Command) -> None:
    done = command("model", "list")
    assert done.code == 0
    for name, manifest in shipped().items():
        (line,) = [line for line in done.out.splitlines() if line.split()[0] == name]
        assert manifest.licence.spdx in line
    rows = command("model", "list", "--json").events[-1]["models"]
    assert [row["name"] for row in rows] == list(shipped())
    assert rows[0]["here"] is True


def test_show_tells_licence_files_and_hashes(command: Command) -> None:
    done = command("model", "show", "isnet")
    assert done.code == 0
    manifest = shipped()["isnet"]
    assert manifest.licence.text in done.out
    assert str(manifest.weights().sha256) in done.out
    assert command("model", "show", "isnet", "--json").events[-1]["name"] == "isnet"


def test_show_of_an_unknown_name(command: Command) -> None:
    done = command("model", "show", "isnt")
    assert done.code == 4
    assert "isnet" in done.message


def test_fetch_of_the_embedded_network_needs_no_network(command: Command) -> None:
    done = command("model", "fetch", "livematte-s")
    assert done.code == 0
    assert "part of this package" in done.out


def test_verify_of_what_is_here(command: Command) -> None:
    done = command("model", "verify")
    assert done.code == 0
    assert "livematte-s" in done.out
    assert command("model", "verify", "isnet").code == 0
    assert command("model", "verify", "--json").events[-1]["files"][0]["good"] is True
