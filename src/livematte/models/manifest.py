"""What a network is, as data: the schema of `engines/*.toml`.

Note [Evidence]
    Hashes and addresses come from different sources, and a manifest says which: `P` the publisher's own repository,
    page or release; `T` a widely used tool pins it; `H` somebody else's model page lists it; `C` unrelated public
    projects pin the same value; `M` read from a real copy of the file; `u` unverified.

Note [No stretch]
    Pictures are divided by 255, never by their own maximum, and a network's output is never stretched between its own
    minimum and maximum, although some published scripts do both: the two values change from frame to frame, so the
    matte would flicker, and an empty frame's noise would become a person.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from livematte.config import Quality, Refinement, Smooth, TemporalAlgorithm
from livematte.errors import ModelError

Evidence = Literal["P", "T", "H", "C", "M", "u"]
"""Where a value was seen; see Note [Evidence]."""
Positive = Annotated[float, Field(gt=0)]
Side = Annotated[int, Field(ge=1, le=16384)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Part(BaseModel):
    """Unknown keys are errors: a misspelt key must not quietly mean its default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PerQuality(_Part):
    """A number for each `--quality`."""

    fast: Positive
    good: Positive
    best: Positive

    def of(self, quality: Quality) -> float:
        """The number for this quality."""
        return {"fast": self.fast, "good": self.good, "best": self.best}[quality]


class AreaSize(_Part):
    """The picture's own aspect, each side the nearest multiple of `multiple_of`, a constant number of pixels."""

    policy: Literal["area"]
    multiple_of: Side = 32
    pixels: PerQuality


class ShortSideSize(_Part):
    """MODNet's publisher's rule (`onnx/inference_onnx.py`).

    Where the longest side is below `short_side` or the shortest above it, the picture is scaled so that its short side
    is `short_side`; else it keeps its size. Then both sides are rounded down to a multiple of `multiple_of`.
    """

    policy: Literal["short_side"]
    multiple_of: Side = 32
    short_side: PerQuality


class RatioRow(_Part):
    """One row of a publisher's table: pictures of this size (or its portrait form) take this ratio."""

    width: Side
    height: Side
    ratio: Positive


class NativeRatioSize(_Part):
    """The picture's own size; the network scales inside, by `downsample_ratio` (Robust Video Matting)."""

    policy: Literal["native_ratio"]
    longest_side: Positive
    """Without a row in the table: ratio = min(longest_side / longest side of the picture, 1)."""
    table: tuple[RatioRow, ...] = ()
    scale: PerQuality
    """What the ratio is multiplied by for each quality; never beyond a ratio of 1."""


class FixedSize(_Part):
    """One size, whatever the picture: stretched to it, or fitted into it with zero padding, centred."""

    policy: Literal["fixed"]
    width: Side
    height: Side
    fit: Literal["stretch", "letterbox"]


SizePolicy: TypeAlias = Annotated[AreaSize | ShortSideSize | NativeRatioSize | FixedSize, Field(discriminator="policy")]


class ImageInput(_Part):
    """The tensor that takes the picture: value = (pixel / 255 - mean) / std."""

    name: str | None = None
    """None: bound by `position`, because publishers' files differ in the name."""
    position: Annotated[int, Field(ge=0)] = 0
    layout: Literal["NCHW", "NHWC"] = "NCHW"
    channels: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[Positive, Positive, Positive] = (1.0, 1.0, 1.0)
    size: SizePolicy


class AlphaOutput(_Part):
    """Which numbers of which output are alpha."""

    name: str | None = None
    """None: bound by `position`."""
    position: Annotated[int, Field(ge=0)] = 0
    channel: Annotated[int, Field(ge=0)] = 0
    activation: Literal["none", "sigmoid", "softmax"] = "none"
    """What the graph leaves to us; softmax runs over the channels."""
    invert: bool = False
    """The channel is the background: alpha = 1 - value."""


class State(_Part):
    """One recurrent pair: what comes out of `output` goes into `input` at the next frame. It starts as zeros."""

    input: str
    output: str
    shape: tuple[Side, Side, Side, Side] = (1, 1, 1, 1)
    """Of the zeros at the start, where `channels` is not given; the network broadcasts them."""
    channels: Side | None = None
    """With `stride`: the full shape is (1, channels, ceil(h / stride), ceil(w / stride)), where h and w are the
    network's inner size, floor(picture side * ratio)."""
    stride: Side | None = None


class ExtraInput(_Part):
    """A further input with one value for the whole clip."""

    name: str
    value: float | Literal["ratio"]
    """A number, or `ratio`: what the size policy chose as `downsample_ratio`."""
    dtype: Literal["float32", "float16", "int64", "int32"] = "float32"
    shape: tuple[Side, ...] = (1,)


class Mirror(_Part):
    """Another place with the same bytes."""

    url: str
    evidence: Evidence


class Weights(_Part):
    """One file of weights: where it is, and how to know that it is the right one."""

    source: Literal["embedded", "url", "bring"]
    """embedded: in this package; url: `livematte model fetch` brings it; bring: nobody publishes it as ONNX."""
    precision: Literal["fp32", "fp16", "int8", "mixed"] = "fp32"
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.onnx$")]
    url: str | None = None
    url_evidence: Evidence | None = None
    size_bytes: Annotated[int, Field(gt=0)] | None = None
    sha256: Digest | None = None
    sha256_evidence: Evidence | None = None
    mirrors: tuple[Mirror, ...] = ()
    export: str | None = None
    """For `bring`: how to make the file from what the publisher does publish."""

    @model_validator(mode="after")
    def _complete(self) -> Weights:
        if self.source == "url" and (self.url is None or self.url_evidence is None):
            raise ValueError('source = "url" needs url and url_evidence')
        if self.source == "bring" and self.export is None:
            raise ValueError('source = "bring" needs export: the publisher\'s command that makes the file')
        if self.source == "embedded" and self.sha256 is None:
            raise ValueError('source = "embedded" needs sha256')
        if self.sha256 is not None and self.sha256_evidence is None:
            raise ValueError("sha256 needs sha256_evidence")
        return self


class Recognise(_Part):
    """Tensor names by which a file of the user's is known to be this network."""

    inputs: Annotated[tuple[str, ...], Field(min_length=1)]
    """All of the file's inputs."""
    outputs: Annotated[tuple[str, ...], Field(min_length=1)]
    """The first of the file's outputs."""
    output_count: Annotated[int, Field(ge=1)] | None = None
    """None: exactly those of `outputs`."""
    min_bytes: Annotated[int, Field(ge=0)] | None = None
    """The file's size, where only it tells two networks apart (RVM's two backbones name their tensors alike)."""
    max_bytes: Annotated[int, Field(ge=1)] | None = None


class Graph(_Part):
    """One ONNX graph and its contract. Most networks have one; prompted ones have an encoder and a decoder."""

    role: Literal["matte", "image_encoder", "prompt_encoder", "mask_decoder", "memory_encoder", "memory_attention"] = (
        "matte"
    )
    input: ImageInput | None = None
    """None: the graph takes no picture, only other graphs' outputs and `extra`."""
    alpha: AlphaOutput | None = None
    """None: the graph gives no matte, only what other graphs take."""
    states: tuple[State, ...] = ()
    extra: tuple[ExtraInput, ...] = ()
    recognise: tuple[Recognise, ...] = ()
    feeds: dict[str, str] = {}
    """Input of this graph -> `role.output` of another one."""
    weights: Annotated[tuple[Weights, ...], Field(min_length=1)]
    """One a precision; the first is the default."""
    keep_fp32: tuple[str, ...] = ()
    """Operators or inputs that must stay float32 in a file of lower precision."""
    output_dtype: Literal["float32", "float16"] = "float32"
    """What the publisher's default file gives out; the file's own declaration decides."""


class Prompt(_Part):
    """What a person points at, for networks that are told whom to cut out."""

    kinds: Annotated[tuple[Literal["points", "box", "mask"], ...], Field(min_length=1)]
    points_input: str | None = None
    labels_input: str | None = None
    mask_input: str | None = None
    coordinates: Literal["network_px", "picture_px", "unit"] = "network_px"


class Licence(_Part):
    """Who may use the weights for what."""

    spdx: str
    """SPDX identifier, or `LicenseRef-...` where there is none."""
    commercial: Literal["yes", "no", "unclear"]
    text: str
    """The publisher's own words where there are some, and what is not stated."""
    url: str | None = None
    evidence: Evidence


class Score(_Part):
    """Errors of a matte on five composites at 1280x720, with the network's own smoothing (`metrics.py`)."""

    mad: Annotated[float, Field(ge=0)]
    """x 1e3."""
    dtssd: Annotated[float, Field(ge=0)]
    """x 1e2."""


class Scores(_Part):
    """Errors by `--quality`."""

    fast: Score
    good: Score
    best: Score
    """On files, where a mirrored pass is taken."""

    def of(self, quality: Quality) -> Score:
        """The errors at this quality."""
        return {"fast": self.fast, "good": self.good, "best": self.best}[quality]


class Defaults(_Part):
    """What suits this network, by measurement (MAD and dtSSD on composites with exact alpha)."""

    refine: Refinement = "bicubic"
    temporal: TemporalAlgorithm = "none"
    smooth: Smooth = "normal"
    warm_runs: Annotated[int, Field(ge=0, le=30)] = 0
    """How often a recurrent network sees a clip's first frame (and each cut's) before it counts."""
    measured: str = ""
    """The figures behind the values, or that there are none."""
    scores: Scores | None = None
    """What benchmarks show beside a speed (benchmarks/study_matting.py); None: not measured."""


class Manifest(_Part):
    """One network."""

    format: Literal[1]
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
    title: str
    subjects: Annotated[tuple[Literal["people", "things", "animals"], ...], Field(min_length=1)]
    about: str
    homepage: str | None = None
    licence: Licence
    graphs: Annotated[tuple[Graph, ...], Field(min_length=1)]
    prompt: Prompt | None = None
    defaults: Defaults = Defaults()
    notes: tuple[str, ...] = ()
    """What to know before trusting it, each with its evidence mark."""

    @field_validator("graphs")
    @classmethod
    def _roles(cls, graphs: tuple[Graph, ...]) -> tuple[Graph, ...]:
        roles = [graph.role for graph in graphs]
        if len(set(roles)) != len(roles):
            raise ValueError("two graphs have the same role")
        if len(graphs) == 1 and (graphs[0].input is None or graphs[0].alpha is None):
            raise ValueError("a network of one graph needs input and alpha")
        return graphs

    @property
    def graph(self) -> Graph:
        """The graph that makes the matte; ModelError for networks of several graphs, which need their own driver."""
        if len(self.graphs) != 1:
            raise ModelError(
                f"the network '{self.name}' has {len(self.graphs)} graphs; this version runs networks of one graph. "
                "Choose another one: 'livematte model list'."
            )
        return self.graphs[0]

    @property
    def is_recurrent(self) -> bool:
        """True where a frame's matte depends on the frames before."""
        return any(graph.states for graph in self.graphs)

    def weights(self, precision: str = "auto") -> Weights:
        """The file for this precision; `auto`: the first. ModelError names the precisions that exist."""
        files = self.graph.weights
        if precision == "auto":
            return files[0]
        found = next((file for file in files if file.precision == precision), None)
        if found is None:
            allowed = ", ".join(file.precision for file in files)
            raise ModelError(
                f"the network '{self.name}' has no file in {precision}; it exists in {allowed}. "
                "Choose one of these with --precision, or leave it at auto."
            )
        return found
