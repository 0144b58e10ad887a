"""The commands of `python -m training`: prepare, pack, look, train, evaluate, probe, export, rehearse."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from training.train import Settings, Trainer
from training.workspace import Workspace

DEFAULTS = Settings()


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _size(text: str) -> tuple[int, int]:
    height, width = (int(part) for part in text.split("x"))
    if height % 32 or width % 32:
        raise argparse.ArgumentTypeError(f"{text}: height and width must be multiples of 32, as in 224x384")
    return height, width


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    commands = parser.add_subparsers(required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, default=Path("../shared/training"), help="pictures, a folder or parts")
    shared.add_argument("--work", type=Path, default=Path("training-work"), help="scratch: caches, validation set")
    shared.add_argument("--side", type=int, default=448, help="longest side of a cached picture (10 bytes a pixel)")
    shared.add_argument("--without", nargs="*", default=[], metavar="SOURCE", help="sources to leave out, by name")
    shared.add_argument("--threads", type=int, default=2, help="CPU threads and decoding processes")
    shared.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")

    prepare = commands.add_parser("prepare", parents=[shared], help="decode the pictures, make the validation set")
    prepare.set_defaults(run=_prepare)
    pack = commands.add_parser("pack", help="put the pictures into parts below 60 MB")
    pack.add_argument("--data", type=Path, default=Path("../shared/training"))
    pack.add_argument("out", type=Path, help="folder for the parts")
    pack.add_argument("--part-bytes", type=int, default=55_000_000)
    pack.set_defaults(run=_pack)
    look = commands.add_parser("look", parents=[shared], help="a sheet of composed frames and their alpha, as PNG")
    look.add_argument("out", type=Path)
    look.set_defaults(run=_look)
    _add_train(commands.add_parser("train", parents=[shared], help="train, or resume"))
    _add_evaluate(commands.add_parser("evaluate", parents=[shared], help="score networks side by side"))
    export = commands.add_parser("export", help="weights to ONNX, checked against PyTorch")
    export.add_argument("weights", type=Path, help=".pt: a checkpoint or bare weights")
    export.add_argument("out", type=Path, help=".onnx")
    export.add_argument("--static", type=_size, metavar="HxW", help="one fixed size and batch 1, not dynamic ones")
    export.add_argument("--fp16", action="store_true", help="store weights in half precision (computed in fp32)")
    export.set_defaults(run=_export)
    probe = commands.add_parser("probe", parents=[shared], help="where a network fails: figures and pictures")
    probe.add_argument("model", type=Path, help=".onnx")
    probe.add_argument("--size", type=_size, default=DEFAULTS.size)
    probe.add_argument("--pictures", type=Path, help="folder for pictures, of synthetic people alone")
    probe.set_defaults(run=_probe)
    rehearse = commands.add_parser("rehearse", help="every step at toy size on generated data, within a minute")
    rehearse.add_argument("--work", type=Path, help="folder to keep; a temporary one otherwise")
    rehearse.set_defaults(run=_rehearse)
    return parser


def _add_train(train: argparse.ArgumentParser) -> None:
    train.add_argument("folder", type=Path, help="of the run: last.pt, best.pt, log.jsonl; resumed if it has them")
    train.add_argument("--start", type=Path, help="weights to begin from: .pt, or an exported .onnx")
    train.add_argument("--imagenet", type=Path, help="efficientnet-lite0-57934424.pth, for a new network's encoder")
    train.add_argument("--size", type=_size, default=DEFAULTS.size)
    train.add_argument("--batch", type=int, default=DEFAULTS.batch, help="frames a step")
    train.add_argument("--paired", type=int, default=DEFAULTS.paired, help="scenes a step painted as two frames")
    train.add_argument("--samples", type=int, default=DEFAULTS.samples, help="frames until the rate has fallen")
    train.add_argument("--minutes", type=float, help="... or minutes, whichever comes first")
    train.add_argument("--rate", type=float, default=DEFAULTS.rate)
    train.add_argument("--freeze", type=int, default=DEFAULTS.freeze, help="encoder stages that learn nothing")
    train.add_argument("--semantic", type=float, default=DEFAULTS.semantic, help="1: what is a person; 0: its edges")
    train.add_argument("--averaging", type=float, default=DEFAULTS.averaging, help="of the averaged weights, a step")
    train.add_argument("--bf16", action="store_true")
    train.add_argument("--workers", type=int, default=DEFAULTS.workers, help="planning processes; 8 for a GPU")
    train.add_argument("--seed", type=int, default=DEFAULTS.seed)
    train.add_argument("--validate-samples", type=int, default=DEFAULTS.validate_samples)
    train.add_argument("--validate-size", type=_size, default=DEFAULTS.validate_size)
    train.set_defaults(run=_train)


def _add_evaluate(evaluate: argparse.ArgumentParser) -> None:
    evaluate.add_argument("models", type=Path, nargs="+", help=".onnx with our contract")
    evaluate.add_argument("--clips", type=Path, default=Path("../shared/eval"), help="composites with exact alpha")
    evaluate.add_argument("--size", type=_size, default=DEFAULTS.size)
    evaluate.add_argument("--against", type=Path, help="RVM's ONNX, to time beside ours")
    evaluate.add_argument("--json", type=Path, help="write the figures there too")
    evaluate.set_defaults(run=_evaluate)


def _workspace(options: argparse.Namespace) -> Workspace:
    torch.set_num_threads(options.threads)
    return Workspace(options.data, options.work, options.side, options.without, options.threads)


def _prepare(options: argparse.Namespace) -> None:
    workspace = _workspace(options)
    held_out = workspace.held_out()
    loaded = workspace.load("training", torch.device("cpu"))
    counts = ", ".join(f"{len(part)} {name}" for name, part in vars(loaded.catalogue).items())
    print(f"training: {counts}; validation: {len(held_out.kinds)} stills, {len(held_out.pair_rgb)} pairs")


def _pack(options: argparse.Namespace) -> None:
    from training.files import Files, pack

    files = Files.open(options.data)
    names = [n for n in files.names() if n.endswith((".jpg", ".png", ".tsv")) and not n.startswith("prototype/")]
    for part in pack(files, names, options.out, options.part_bytes):
        print(part, part.stat().st_size)


def _look(options: argparse.Namespace) -> None:
    from training.sheets import write_sheet

    write_sheet(_workspace(options).load("training", torch.device(options.device)), options.out)
    print(options.out)


def _train(options: argparse.Namespace) -> None:
    workspace = _workspace(options)
    settings = Settings(
        size=options.size,
        batch=options.batch,
        paired=options.paired,
        samples=options.samples,
        minutes=options.minutes,
        rate=options.rate,
        freeze=options.freeze,
        semantic=options.semantic,
        averaging=options.averaging,
        bf16=options.bf16,
        workers=options.workers,
        seed=options.seed,
        validate_samples=options.validate_samples,
        validate_size=options.validate_size,
    )
    held_out = workspace.held_out()
    loaded = workspace.load("training", torch.device(options.device))
    trainer = Trainer(loaded, held_out, options.folder, settings, lambda line: print(line, flush=True))
    trainer.start(options.start, options.imagenet)
    trainer.run()


def _evaluate(options: argparse.Namespace) -> None:
    from training.evaluate import evaluate

    workspace = _workspace(options)
    table = evaluate(
        options.models,
        workspace,
        clips=options.clips,
        size=options.size,
        against=options.against,
        threads=options.threads,
    )
    for name, row in table.items():
        print(name, *(f"{key} {value:.3f}" for key, value in row.items()))
    if options.json:
        import json

        options.json.write_text(json.dumps(table, indent=1), "utf-8")


def _export(options: argparse.Namespace) -> None:
    from training.export import export

    report = export(options.weights, options.out, static=options.static, fp16=options.fp16)
    print(options.out, *(f"{key} {value:.3g}" for key, value in report.items()))


def _probe(options: argparse.Namespace) -> None:
    from training import probes
    from training.evaluate import onnx_predictor

    workspace = _workspace(options)
    predict = onnx_predictor(options.model, options.threads)
    held_out = workspace.load("validation", torch.device("cpu"))
    for name, row in probes.figures(predict, held_out, options.size).items():
        print(f"{name:14s} MAD {row['MAD']:6.1f}  lost {row['lost']:.0%}")
    if options.pictures:
        for path in probes.write_pictures(predict, workspace, options.pictures, options.size):
            print(path)


def _rehearse(options: argparse.Namespace) -> None:
    from training.rehearsal import rehearse

    with tempfile.TemporaryDirectory() as scratch:
        for name, value in rehearse(options.work or Path(scratch)).items():
            print(name, value)
