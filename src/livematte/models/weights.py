"""Where weights are, and how they get there. Only `fetch` uses the network."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from livematte import resources
from livematte.errors import LivematteError, ModelError, ModelMissing, UsageError
from livematte.models.manifest import Manifest, Weights
from livematte.reporting import Reporter

Progress = Callable[[int, int | None], None]
"""(bytes so far, bytes in all or None); called while a file comes in."""

_TIMEOUT_SECONDS = 30


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """What the person has agreed to."""

    precision: str = "auto"
    accept_licence: bool = False
    trust_first_use: bool = False


@dataclass(frozen=True, slots=True)
class Verified:
    """One file of weights, hashed anew."""

    name: str
    precision: str
    path: Path
    sha256: str
    expected: str | None
    """The manifest's hash, else the one recorded at the first use; None: nobody ever stated one."""

    @property
    def is_good(self) -> bool:
        return self.expected is None or self.sha256 == self.expected


def weights_dir() -> Path:
    """Folder of fetched weights, in the user's cache."""
    return resources.cache_dir() / "weights"


def place_of(weights: Weights) -> Path:
    """Where this file belongs on this machine; it need not be there."""
    if weights.source == "embedded":
        return resources.root() / "engines" / weights.file
    return weights_dir() / weights.file


def is_here(weights: Weights) -> bool:
    """True where the file is in its place; says nothing about its bytes."""
    return place_of(weights).is_file()


def locate(manifest: Manifest, weights: Weights) -> Path:
    """The file, checked once against its hash. ModelMissing (4) says how to get it; nothing is downloaded."""
    path = place_of(weights)
    if not path.is_file():
        raise ModelMissing(_how_to_get(manifest, weights))
    _check_once(manifest, weights, path)
    return path


def fetch(manifest: Manifest, options: FetchOptions, *, reporter: Reporter, progress: Progress | None = None) -> Path:
    """Bring a network's weights into the cache and return their path.

    Looks first in rembg's folders (`U2NET_HOME`, `~/.u2net`) for a file with the right hash. UsageError (2) where a
    licence must be accepted or a hash is not known; ModelMissing (4) for what cannot be fetched, with URL, hash and
    where to put the file. The file appears whole or not at all.
    """
    weights = manifest.weights(options.precision)
    path = place_of(weights)
    reporter.note(f"{manifest.title}: licence {manifest.licence.spdx}, commercial use: {manifest.licence.commercial}. "
                  f"{manifest.licence.text}")  # fmt: skip
    if weights.source == "embedded":
        _check_once(manifest, weights, path)
        reporter.note(f"{manifest.name} is part of this package; there is nothing to fetch.")
        return path
    _check_consent(manifest, weights, options)
    if path.is_file():
        _check_once(manifest, weights, path)
        reporter.note(f"{path} is already here.")
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    found = _in_other_tools(weights)
    if found is not None:
        reporter.note(f"{found} has the right bytes; copied from there instead of downloading.")
        _copy(found, path)
    elif weights.source == "bring":
        raise ModelMissing(_how_to_get(manifest, weights))
    else:
        _download(manifest, weights, path, progress)
    _stamp(path, hash_file(path), first_use=weights.sha256 is None)
    return path


def verify(manifests: Iterator[Manifest] | list[Manifest]) -> list[Verified]:
    """Hash anew every file of these networks that is on this machine."""
    found: list[Verified] = []
    for manifest in manifests:
        for weights in (weights for graph in manifest.graphs for weights in graph.weights):
            path = place_of(weights)
            if path.is_file():
                expected = weights.sha256 or _stamped(path).get("sha256")
                found.append(Verified(manifest.name, weights.precision, path, hash_file(path), expected))
    return found


def hash_file(path: Path) -> str:
    """SHA-256 of a file, in lower-case hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _how_to_get(manifest: Manifest, weights: Weights) -> str:
    """What to do about a file that is not here: one paragraph, ending with the line to run."""
    size = f"{weights.size_bytes / 1e6:.0f} MB" if weights.size_bytes else "size not known"
    licence = f"licence {manifest.licence.spdx}, commercial use: {manifest.licence.commercial}"
    place = place_of(weights)
    if weights.source == "bring":
        return (
            f"the network '{manifest.name}' ({size}, {licence}) is not on this machine, and nobody publishes it as an "
            f"ONNX file that could be fetched. Make or copy it as its publisher describes, and put the file at {place} "
            f"(or give its path to --model):\n{weights.export}"
        )
    if weights.source == "embedded":
        return (
            f"the network '{manifest.name}' belongs to this package, and {place} is not there. The installation is "
            "incomplete: reinstall with 'pip install --force-reinstall livematte'."
        )
    precision = "" if weights == manifest.graph.weights[0] else f" --precision {weights.precision}"
    consent = " --accept-licence" if manifest.licence.commercial == "no" else ""
    consent += " --trust-first-use" if weights.sha256 is None else ""
    return (
        f"the network '{manifest.name}' is not on this machine ({size}, {licence}). Fetch it with: livematte model "
        f"fetch {manifest.name}{precision}{consent}"
    )


def _check_consent(manifest: Manifest, weights: Weights, options: FetchOptions) -> None:
    if manifest.licence.commercial == "no" and not options.accept_licence:
        raise UsageError(
            f"the weights of '{manifest.name}' may not be used commercially ({manifest.licence.spdx}: "
            f"{manifest.licence.text}). If that suits you, add --accept-licence."
        )
    if weights.sha256 is None and weights.source == "url" and not options.trust_first_use:
        raise UsageError(
            f"nobody publishes a hash for {weights.url}, so a changed file could not be told from the right one. To "
            "take what comes now and hold every later file against it, add --trust-first-use."
        )


def _in_other_tools(weights: Weights) -> Path | None:
    """A file with the right hash in rembg's folders, whatever its name."""
    if weights.sha256 is None:
        return None
    moved = os.environ.get("U2NET_HOME")
    folders = [Path(moved).expanduser()] if moved else []
    for folder in (*folders, Path.home() / ".u2net"):
        if not folder.is_dir():
            continue
        for path in sorted(folder.glob("*.onnx")):
            same_size = weights.size_bytes is None or path.stat().st_size == weights.size_bytes
            if same_size and hash_file(path) == weights.sha256:
                return path
    return None


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    shutil.copyfile(source, part)
    os.replace(part, target)


class _ProgressBar:
    """What pooch wants of a progress bar, handing the numbers to our callback."""

    def __init__(self, callback: Progress) -> None:
        self._callback = callback
        self.total: int | None = None
        self._done = 0

    def update(self, count: int) -> None:
        # pooch counts whole chunks of 1 KiB, so the last one overshoots.
        self._done = min(self._done + count, self.total) if self.total else self._done + count
        self._callback(self._done, self.total or None)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        """Nothing is held."""


def _download(manifest: Manifest, weights: Weights, path: Path, progress: Progress | None) -> None:
    """The publisher's address, then the mirrors with the same hash, through pooch (proxies by the environment)."""
    import pooch

    addresses = [weights.url, *(mirror.url for mirror in weights.mirrors if weights.sha256)]
    failures: list[str] = []
    for url in filter(None, addresses):
        _check_address(url)
        bar: Any = _ProgressBar(progress) if progress else False
        downloader = pooch.HTTPDownloader(progressbar=bar, timeout=_TIMEOUT_SECONDS)
        known = f"sha256:{weights.sha256}" if weights.sha256 else None
        try:
            pooch.get_logger().disabled = True  # its lines would name temporary files
            pooch.retrieve(url, known, fname=path.name, path=path.parent, downloader=downloader)
        except Exception as error:  # requests, urllib3, OSError, and ValueError for a wrong hash
            if isinstance(error, LivematteError):
                raise
            failures.append(f"{url}: {_short(error)}")
        else:
            return
    raise ModelMissing(
        f"the weights of '{manifest.name}' could not be fetched. {'; '.join(failures)}. Fetch the file by other means "
        f"and put it at {path}; its sha256 must be {weights.sha256 or 'recorded at the first use'}. Proxies are taken "
        "from HTTPS_PROXY."
    )


_REASONS = {
    "ConnectionError": "the host cannot be reached (no network, or a proxy that is not named)",
    "ConnectTimeout": f"no answer within {_TIMEOUT_SECONDS} s",
    "ReadTimeout": f"no answer within {_TIMEOUT_SECONDS} s",
    "ProxyError": "the proxy does not let it through",
    "SSLError": "the server's certificate is not accepted",
}
"""What the exceptions of requests (pooch's library) mean; their own text is a page of internals."""


def _short(error: Exception) -> str:
    if isinstance(error, ValueError) and "hash" in str(error):
        return "what came has another sha256, and was thrown away"
    reason = _REASONS.get(type(error).__name__)
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None:
        reason = f"the server answers with {status}"
    return reason or " ".join(str(error).split())[:300] or type(error).__name__


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname == "127.0.0.1"):
        raise ModelError(f"weights are fetched over https only, and this manifest says {url}. Correct its url.")


def _stamp_path(path: Path) -> Path:
    return weights_dir() / f"{path.name}.checked.json"


def _stamped(path: Path) -> dict[str, Any]:
    """What is recorded about this file; empty where nothing is, or the record cannot be read."""
    try:
        found = json.loads(_stamp_path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _stamp(path: Path, sha256: str, *, first_use: bool) -> None:
    """Record a good hash with size and time, so that a file is hashed once and not at every start."""
    state = path.stat()
    record = {"path": str(path), "sha256": sha256, "bytes": state.st_size, "mtime_ns": state.st_mtime_ns,
              "trusted_at_first_use": first_use}  # fmt: skip
    target = _stamp_path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f"{target.name}.{os.getpid()}.part")
        part.write_text(json.dumps(record), encoding="utf-8")
        os.replace(part, target)
    except OSError:
        return  # a cache that cannot be written costs a hash at every start, nothing else


def _check_once(manifest: Manifest, weights: Weights, path: Path) -> None:
    """ModelMissing where the bytes are not those of the manifest; hashed only when the file changed since."""
    record, state = _stamped(path), path.stat()
    known = weights.sha256 or record.get("sha256")
    unchanged = (record.get("path"), record.get("bytes"), record.get("mtime_ns")) == (
        str(path),
        state.st_size,
        state.st_mtime_ns,
    )
    if unchanged and record.get("sha256") == known:
        return
    got = hash_file(path)
    if known is not None and got != known:
        raise ModelMissing(
            f"{path} is not the file that the network '{manifest.name}' needs: its sha256 is {got}, and it must be "
            f"{known}. Delete it and fetch it again: livematte model fetch {manifest.name}"
        )
    _stamp(path, got, first_use=weights.sha256 is None)
