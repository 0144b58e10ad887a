"""The loop that the pipeline is held against: the same functions, one after the other, on one thread."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av

from livematte.config import Settings
from livematte.frames import Frame, Matte, MattedFrame, Timestamp
from livematte.matting.edges import Edges
from livematte.matting.foreground import clean
from livematte.matting.refine import make_refiner
from livematte.matting.temporal import make_smoother
from livematte.models.load import LoadedModel
from livematte.models.session import Session
from livematte.planes import layout, plane_arrays
from livematte.reporting import LogReporter
from livematte.sinks import open_sink
from livematte.sources import open_source

REPORTER = LogReporter()


def looped(clip: Path, frames: int, folder: Path) -> Path:
    """The clip's packets again and again, without re-encoding, until there are `frames` pictures."""
    target = folder / f"looped{clip.suffix}"
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        template = source.streams.video[0]
        packets = [packet for packet in source.demux(template) if packet.dts is not None]
        stream = out.add_stream_from_template(template)
        first = packets[0].dts or 0
        step = (packets[-1].dts or 0) - first + (packets[-1].duration or 1)
        for turn in range(-(-frames // len(packets))):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts = (packet.pts or 0) + turn * step
                copy.dts = (packet.dts or 0) + turn * step
                copy.duration, copy.time_base, copy.stream = packet.duration, packet.time_base, stream
                copy.is_keyframe = packet.is_keyframe
                out.mux(copy)
    return target


def enlarged(clip: Path, size: tuple[int, int], frames: int, folder: Path) -> Path:
    """The clip's first pictures at another size, H.264 as a camera would write it."""
    target = folder / f"clip{size[1]}.mp4"
    with av.open(str(clip)) as source, av.open(str(target), "w") as out:
        given = source.streams.video[0]
        rate = Fraction(given.average_rate or 30)
        video = out.add_stream("libx264", rate=rate, options={"crf": "18", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
            setattr(video.codec_context, name, getattr(given.codec_context, name))
        for index, picture in enumerate(source.decode(given)):
            if index == frames:
                break
            bigger = picture.reformat(*size)
            bigger.pts, bigger.time_base, bigger.pict_type = index, 1 / rate, 0
            out.mux(video.encode(bigger))
        out.mux(video.encode())
    return target


def plain_loop(clip: Path, loaded: LoadedModel, settings: Settings) -> int:
    """Decode and matte on one thread, with nothing between the functions; gives the number of frames."""
    source = open_source(str(clip), settings.input, reporter=REPORTER)
    info = source.info
    source.close()
    sink = open_sink("null", settings=settings.output, info=info, reporter=REPORTER)
    sink.open(info)
    session = Session(loaded, is_file=True)
    defaults = loaded.manifest.defaults
    smoother = make_smoother(defaults.temporal, settings.matting.smooth)
    refiner = make_refiner(defaults.refine, wide=False)
    edges = Edges(0.0, 0.0, 0.0, 1.0)
    count = 0
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        base = Fraction(stream.time_base.numerator, stream.time_base.denominator)
        for picture in container.decode(stream):
            frame = Frame(picture, Timestamp(picture.pts, base), picture.duration, count, info.color)
            if count == 0 and session.is_recurrent:
                session.warm(frame)
            luma, peak = plane_arrays(picture)[0], layout(picture.format.name).peak
            small = smoother.push(session.estimate(frame).alpha, float(frame.time.seconds), luma, peak)
            assert small is not None, "the network's default smoothing delays frames; the plain loop does not"
            alpha = edges.apply(refiner.refine(small, luma, peak))
            sink.write(MattedFrame(frame, Matte(alpha, clean(picture, alpha))))
            count += 1
    sink.close()
    session.close()
    return count
