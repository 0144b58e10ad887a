"""One conversion: a source, a network, and the files that come out. What `livematte convert` and `convert()` run."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

from livematte import outputs as naming
from livematte.compositing import Compositor
from livematte.config import Settings
from livematte.frames import StreamInfo
from livematte.matting.base import Matting
from livematte.matting.device.network import DeviceEngine, DrivingEngine
from livematte.matting.host import HostMatting
from livematte.models.load import LoadedModel, load_model
from livematte.models.session import Session, second_sessions
from livematte.pipeline import Compositing, Pipeline
from livematte.progress import Observer, Watch
from livematte.rate import ConstantRate, constant_rate
from livematte.reporting import LogReporter, Once, Reporter
from livematte.runtimes.base import Engine
from livematte.sinks import open_sink
from livematte.sinks.base import Sink
from livematte.sinks.formats import Advice, advice_for, files_of, format_for
from livematte.sources import open_source
from livematte.sources.base import Source
from livematte.sources.video import VideoSource
from livematte.stats import Progress, Stats


@dataclass(frozen=True, slots=True)
class OutputFile:
    """One output that a conversion wrote."""

    target: str
    format: str
    bytes: int
    advice: Advice
    """Which programs show its alpha, which do not, and what to click."""


@dataclass(frozen=True, slots=True)
class ConvertSummary:
    """What a conversion did."""

    input: str
    frames: int
    dropped: int
    repeated: int
    damaged: int
    empty_frames: int
    seconds: float
    fps: float
    limiting_stage: str | None
    stages: dict[str, float]
    """Busy seconds of each stage."""
    outputs: tuple[OutputFile, ...]

    def as_dict(self) -> dict[str, Any]:
        """The same as plain values, for `--json` and `--report`."""
        return {
            "input": self.input,
            "output": [{"path": one.target, "format": one.format, "bytes": one.bytes} for one in self.outputs],
            "frames": self.frames,
            "dropped": self.dropped,
            "repeated": self.repeated,
            "damaged": self.damaged,
            "empty_frames": self.empty_frames,
            "seconds": round(self.seconds, 3),
            "fps": round(self.fps, 2),
            "limiting_stage": self.limiting_stage,
            "stages": {name: round(seconds, 3) for name, seconds in self.stages.items()},
        }


class Probe(Protocol):
    """Stands between the pipeline and its ends, to measure (`livematte.bench`); may replace what it is given."""

    def source(self, source: Source) -> Source: ...

    def sink(self, sink: Sink, info: StreamInfo) -> Sink: ...

    def starts(self, pipeline: Pipeline) -> None:
        """The run begins now."""


@dataclass(slots=True)
class Conversion:
    """One conversion in two steps, so that what will happen can be said before it does.

    `prepare` checks every option, opens the source and loads the network; `run` does the work. Nothing is written
    before `run`. Whoever prepares and does not run calls `close`.
    """

    source_spec: str
    """A file, image folder or pattern, `-`, or URL."""
    targets: Sequence[str] = ()
    """Outputs; none: named after the input."""
    settings: Settings = field(default_factory=Settings)
    reporter: Reporter = field(default_factory=LogReporter)
    loaded: LoadedModel | None = None
    """A network loaded before, for several conversions in a row; the caller closes it."""
    probe: Probe | None = None
    """Looks on, for a benchmark."""
    status: str = ""
    """After `prepare`: device, runtime, model, precision, decoder, encoders, in one line."""

    _source: Source | None = None
    _info: StreamInfo | None = None
    _sinks: list[Sink] = field(default_factory=list)
    _compositor: Compositing | None = None
    _matting: Matting | None = None
    _rate: ConstantRate | None = None
    stats: Stats = field(default_factory=Stats)
    """Busy time of each stage, filled by `run`."""
    _owns_model: bool = False

    @property
    def info(self) -> StreamInfo:
        """What the source says about itself; after `prepare`."""
        assert self._info is not None, "prepare() comes first"
        return self._info

    def prepare(self) -> None:
        """Check, open, load. Raises `UsageError`, `SourceError`, `ModelError` or `DeviceError`; then all is closed."""
        self.reporter = Once(self.reporter)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        settings = self.settings
        targets = naming.resolve_targets(self.source_spec, self.targets, settings.output)
        if settings.output.constant_rate is not None:
            constant_rate(settings.output.constant_rate)
        self._source = open_source(self.source_spec, settings.input, reporter=self.reporter)
        if self.probe is not None:
            self._source = self.probe.source(self._source)
        info = self._info = self._source.info
        if info.color.is_hdr:
            self.reporter.note("HDR: the network sees the picture tone-mapped; mastering metadata is not passed on.")
        self._sinks = [
            open_sink(target, settings=settings.output, info=info, reporter=self.reporter) for target in targets
        ]
        if self.probe is not None:
            self._sinks = [self.probe.sink(sink, info) for sink in self._sinks]
        if settings.output.constant_rate is not None:
            self._rate = ConstantRate(constant_rate(settings.output.constant_rate, info))
            self.reporter.note(f"the output gets a constant {float(self._rate.rate):.6g} frames a second.")
        elif info.is_variable_rate:
            self.reporter.note("every picture keeps its own time. For editors that drift, use --constant-rate.")
        if self.loaded is None:
            self.loaded, self._owns_model = load_model(settings.model, reporter=self.reporter), True
        self._open_matting(info)
        encoders = ", ".join(sink.encoder for sink in self._sinks)
        self.status = f"{self.loaded.describe()} | {self._source.decoder} -> {encoders}"

    def _open_matting(self, info: StreamInfo) -> None:
        """Matting and, where a sink wants one, what makes composites: on the GPU where all of it can be done there."""
        assert self.loaded is not None
        assert self._source is not None
        settings, is_live = self.settings, self._source.is_live
        background = settings.output.background
        wants_composite = background is not None and any(sink.wants == "composite" for sink in self._sinks)
        wide_alpha = any(sink.alpha_bits > 8 for sink in self._sinks)
        wants_foreground = any(sink.wants != "alpha" for sink in self._sinks)
        if isinstance(self.loaded.engine, DeviceEngine) and self._opened_on_device(
            self.loaded, info, wide_alpha=wide_alpha, wants_composite=wants_composite
        ):
            return
        if wants_composite:
            assert background is not None
            self._compositor = Compositor(background, info, reporter=self.reporter)
        self._matting = HostMatting(
            Session(self.loaded, is_file=not is_live),
            settings.matting,
            info=info,
            wide_alpha=wide_alpha,
            wants_foreground=wants_foreground,
            reporter=self.reporter,
            timer=self.stats,
            is_live=is_live,
            second=second_sessions(self.loaded, is_file=not is_live),
        )

    def _opened_on_device(
        self, loaded: LoadedModel, info: StreamInfo, *, wide_alpha: bool, wants_composite: bool
    ) -> bool:
        """Open matting on the network's GPU; False, and said why, where something asked for cannot be done there."""
        # Not at import: 0.1 s that a start without a GPU need not spend.
        from livematte.matting.device.backdrop import ReadyCompositor
        from livematte.matting.device.opening import open_device_matting, runs_on_device

        assert self._source is not None
        is_live = self._source.is_live
        if not runs_on_device(loaded, self.settings, info, is_live=is_live, reporter=self.reporter):
            return False
        self._decode_on_device(loaded.engine)
        self._matting = open_device_matting(
            loaded,
            self.settings,
            info,
            wide_alpha=wide_alpha,
            wants_foreground=any(sink.wants == "straight" for sink in self._sinks),
            wants_composite=wants_composite,
            reporter=self.reporter,
            timer=self.stats,
            is_live=is_live,
        )
        self._compositor = ReadyCompositor() if wants_composite else None
        return True

    def _decode_on_device(self, engine: Engine) -> None:
        """Let the network's GPU decode the clip too; what it cannot decode stays with the processor, which is said."""
        from livematte.sources.nvdec import open_nvdec

        if isinstance(engine, DrivingEngine) and isinstance(self._source, VideoSource) and self.probe is None:
            self._source.close()
            self._source = open_nvdec(
                self.source_spec, self.settings.input, driver=engine.driver, reporter=self.reporter
            )

    def run(self, observer: Observer | None = None, stop: threading.Event | None = None) -> ConvertSummary:
        """Convert. `observer` gets a `Progress` about five times a second; `stop`, once set, ends as Ctrl-C does.

        Raises what `prepare` raises, and `SinkError`, `AlphaLost`, `EndedEarly`, `Interrupted`.
        """
        assert self._source is not None
        assert self._matting is not None
        pipeline = Pipeline(
            self._source,
            self._matting,
            self._sinks,
            info=self._output_info(),
            compositor=self._compositor,
            rate=self._rate,
            stats=self.stats,
        )
        watch = Watch(pipeline, reporter=self.reporter, observer=observer)
        damaged = self._source
        if self.probe is not None:
            self.probe.starts(pipeline)
        try:
            pipeline.run(watch.tick, stop)
        finally:
            self._source = self._matting = self._compositor = None  # the pipeline has closed them
            self.close()
        return self._summary(pipeline, watch.finish(), damaged.damaged)

    def _output_info(self) -> StreamInfo:
        """What the sinks are opened with: the source's description, at a constant rate where one is asked."""
        if self._rate is None:
            return self.info
        rate = self._rate.rate
        return replace(self.info, frame_rate=rate, time_base=Fraction(1) / rate, is_variable_rate=False)

    def _summary(self, pipeline: Pipeline, progress: Progress, damaged: int) -> ConvertSummary:
        return ConvertSummary(
            input=self.info.name,
            frames=progress.frames,
            dropped=progress.dropped,
            repeated=progress.repeated,
            damaged=damaged,
            empty_frames=progress.empty_frames,
            seconds=progress.seconds,
            fps=progress.fps,
            limiting_stage=progress.limiting_stage,
            stages=self.stats.seconds_by_stage(),
            outputs=tuple(one for sink in pipeline.sinks for one in self._output_files(sink)),
        )

    def _output_files(self, sink: Sink) -> list[OutputFile]:
        """One for each file that the sink wrote: of a pair, two."""
        format_ = format_for(sink.name, self.settings.output)
        advice = advice_for(format_, self.settings.output)
        names = files_of(sink.name, self.settings.output)
        if len(names) == 1:
            return [OutputFile(sink.name, format_.name, sink.bytes_written, advice)]
        return [OutputFile(name, format_.name, Path(name).stat().st_size, advice) for name in names]

    def close(self) -> None:
        """Give back what `prepare` opened. After `run` it has nothing left to do."""
        for part in (self._matting, self._compositor, self._source):
            if part is not None:
                part.close()
        self._source = self._matting = self._compositor = None
        if self._owns_model and self.loaded is not None:
            self.loaded.close()
            self.loaded, self._owns_model = None, False


def convert(
    source: str | Path,
    outputs: str | Path | Sequence[str | Path] | None = None,
    *,
    settings: Settings | None = None,
    reporter: Reporter | None = None,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
) -> ConvertSummary:
    """Take the background out of a clip.

    `source` is a video file, an image folder or `%04d` pattern, `-` or a URL. `outputs` names one or several files,
    whose suffixes choose the formats; None: `<stem>_alpha.mov` beside the input. `settings` holds every option
    (`livematte.config.Settings`); messages go to `reporter` (default: `logging`), progress to `observer`.

    >>> from livematte import convert
    >>> from livematte.config import OutputSettings, Settings
    >>> summary = convert("synthetic:64x48@25:10", settings=Settings(output=OutputSettings(format="null")))
    >>> summary.frames
    10

    Raises `UsageError`, `SourceError`, `ModelError`, `DeviceError`, `SinkError` or `Interrupted`; no broken file is
    ever left under an output's name.
    """
    given = [] if outputs is None else [outputs] if isinstance(outputs, str | Path) else list(outputs)
    conversion = Conversion(str(source), [str(one) for one in given], settings or Settings(), reporter or LogReporter())
    conversion.prepare()
    return conversion.run(observer, stop)
