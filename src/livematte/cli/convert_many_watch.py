"""`livematte convert FOLDER --watch -o DIR/`: what is there, then what arrives, until Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from livematte.cli.console import Console
from livematte.cli.convert_many import Batch, convert_next, is_done_already, target_of
from livematte.config import Settings
from livematte.sources.folder_watch import POLL_SECONDS, FolderWatch, same_name, why_not_whole

if TYPE_CHECKING:
    from livematte.models.load import LoadedModel
    from livematte.sources import InputSpec
    from livematte.sources.folder_watch import Arrival


@dataclass(slots=True)
class Watch:
    """The loop of `--watch`: looks, converts the first clip that is whole, looks again."""

    folders: Sequence[Path]
    targets: Sequence[str]
    settings: Settings
    console: Console
    batch: Batch
    loaded: LoadedModel
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _owners: dict[str, str] = field(default_factory=dict)
    """Output -> the input that it belongs to."""

    def run(self) -> None:
        """Until Ctrl-C: then `KeyboardInterrupt` while it waits, `Interrupted` (which names what is kept) in a clip."""
        watch = FolderWatch(
            self.folders, left_out=[Path(one) for one in self.targets], opens=why_not_whole, clock=self.clock
        )
        found = watch.look()
        self._begin(watch, found)
        while True:
            arrival = watch.next_whole(found)
            if arrival is None:
                self._wait(watch.waiting(found))
            else:
                self._take(arrival)
            found = watch.look()
            watch.say_unreadable(self.console)

    def _wait(self, unfinished: Sequence[str]) -> None:
        try:
            self.wait(POLL_SECONDS)
        except KeyboardInterrupt:
            if unfinished:
                self.console.note(f"not converted, for they still grew or did not open: {', '.join(unfinished)}.")
            raise

    def _begin(self, watch: FolderWatch, found: Sequence[InputSpec]) -> None:
        """Pass over what was converted by an earlier run, in one line."""
        done = [
            (one, target)
            for one in found
            if not self.settings.output.overwrite
            and (target := target_of(one, self.targets, self.settings)) is not None
            and is_done_already(target, self.settings)
        ]
        for one, target in done:
            watch.settle(one.spec)
            self._owners[target] = one.spec
            self.batch.skipped.append(target)
        if done:
            self.console.note(f"{_clips(len(done))} skipped, for the output exists already. --overwrite replaces it.")
        names = ", ".join(str(one) for one in self.folders)
        fresh = len(found) - len(done)
        self.console.say(f"{_clips(fresh)} to convert in {names}; then waiting for more. Ctrl-C ends it.")
        self.console.event("watching", {"folders": [str(one) for one in self.folders], "found": fresh})

    def _take(self, arrival: Arrival) -> None:
        one = arrival.spec
        target = target_of(one, self.targets, self.settings)
        if arrival.error is not None:
            self.batch.fail(one.shown, arrival.error, self.console)
            return
        settings = self.settings
        if target is not None:
            owner = self._owners.setdefault(target, one.spec)
            if owner != one.spec:
                self.batch.fail(one.shown, same_name(one.shown, owner, target), self.console)
                return
            if arrival.is_again:
                self.console.note(f"{one.shown} has changed since it was taken, so {target} is made anew.")
                output = settings.output.model_copy(update={"overwrite": True})
                settings = settings.model_copy(update={"output": output})
        self.batch.forget(one.shown)
        self.console.say(f"[{self.batch.count + 1}] {one.shown}")
        self.console.event("taken", {"input": one.shown, "output": target})
        convert_next(one, target, settings, self.console, loaded=self.loaded, batch=self.batch)


def _clips(number: int) -> str:
    return f"{number} clip" if number == 1 else f"{number} clips"
