"""From an ONNX file to a plan, with the library's own API. Runs in the child process only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

from livematte.errors import DeviceError, ModelError, UsageError
from livematte.runtimes.tensorrt.library import Library, Messages, implement
from livematte.runtimes.tensorrt.precision import check_graph, check_layers, read_back
from livematte.runtimes.tensorrt.progress import PhaseTree
from livematte.runtimes.tensorrt.request import BuildOptions, BuildRequest, Progress

_MOST_NODES = 3
"""How many of the nodes that a library cannot take are named in a message."""


def compile_plan(library: Library, request: BuildRequest, report: Progress) -> tuple[bytes, dict[str, Any]]:
    """The serialised plan, and what is known of it (see `request.Built.facts`)."""
    trt = library.module
    report("reading the network", 0.0)
    types = check_graph(request.onnx, request.precision)
    messages = Messages()
    logger = library.logger(messages)
    if not library.dialect.has_targets:
        _take_gpu(request.device)
    try:
        builder = trt.Builder(logger)
    except Exception as error:  # the binding raises TypeError for a null pointer
        raise DeviceError(
            f"{library.name} cannot start its builder: {messages.sum_up()}. See 'livematte doctor'."
        ) from error
    network = builder.create_network(library.network_flags())
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(request.onnx)):
        raise ModelError(_refused(library, request.onnx, parser, messages))
    report("reading the network", 0.05)
    config = _configure(library, request, builder, network)
    tree = PhaseTree(report, start=0.05, end=0.99)
    config.progress_monitor = implement(trt.IProgressMonitor, _monitor(tree))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise _failed(library, request, messages)
    _save_timing_cache(library, config, request.options)
    return bytes(plan), {
        "library": library.name,
        "inputs": _tensors(library, [network.get_input(at) for at in range(network.num_inputs)]),
        "outputs": _tensors(library, [network.get_output(at) for at in range(network.num_outputs)]),
        "operations": int(network.num_layers),
        "types": types,
        "warnings": messages.warnings(),
    }


def _take_gpu(ordinal: int) -> None:
    """Make a context of the GPU current, so that `tensorrt` measures on that one."""
    from livematte.runtimes.cuda.choice import open_driver

    open_driver("auto", ordinal).make_current()


def _monitor(tree: PhaseTree) -> dict[str, Any]:
    """The methods of an IProgressMonitor over a tree of phases."""

    def step_complete(_self: Any, name: str, step: int) -> bool:
        tree.step(name, step)
        return True  # False would cancel; the parent ends the whole process instead

    return {
        "phase_start": lambda _self, name, parent, steps: tree.start(name, parent, steps),
        "step_complete": step_complete,
        "phase_finish": lambda _self, name: tree.finish(name),
    }


def _configure(library: Library, request: BuildRequest, builder: Any, network: Any) -> Any:
    """The builder's configuration."""
    trt = library.module
    config = builder.create_builder_config()
    for name in library.dialect.builder_flags:
        config.set_flag(getattr(trt.BuilderFlag, name))
    # On by default in every library, and ten-bit mantissas put black specks into mattes of guided filters.
    (config.set_flag if request.precision == "tf32" else config.clear_flag)(trt.BuilderFlag.TF32)
    # Without it the engine inspector knows the layers' names only, and their precisions could not be read back.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if request.options.optimization_level is not None:
        config.builder_optimization_level = request.options.optimization_level
    if request.options.workspace_bytes:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.options.workspace_bytes)
    if request.targets:
        config.num_compute_capabilities = len(request.targets)
        for at, target in enumerate(request.targets):
            capability = getattr(trt.ComputeCapability, target.replace("sm_", "SM"))
            if not config.set_compute_capability(capability, at):  # it says so quietly, and builds for another chip
                raise UsageError(f"{library.name} does not take the target '{target}' in this place.")
    _add_profile(library, request, builder, network, config)
    _load_timing_cache(library, config, request.options)
    return config


def _add_profile(library: Library, request: BuildRequest, builder: Any, network: Any, config: Any) -> None:
    """Give every input its shapes. ModelError where the profile and the file do not fit."""
    inputs = [network.get_input(at) for at in range(network.num_inputs)]
    names = [tensor.name for tensor in inputs]
    if sorted(names) != sorted(name for name, _ in request.profile.inputs):
        raise ModelError(
            f"{request.onnx.name} takes {', '.join(names)}, and the profile names "
            f"{', '.join(name for name, _ in request.profile.inputs)}; a plan needs the shape of every input."
        )
    profile = builder.create_optimization_profile()
    is_needed = False
    for tensor in inputs:
        shapes = request.profile.of(tensor.name)
        assert shapes is not None
        declared = tuple(tensor.shape)
        fits = len(declared) == len(shapes.best) and all(
            side in (-1, low) and (side == -1 or low == high)
            for side, low, high in zip(declared, shapes.least, shapes.most, strict=True)
        )
        if not fits or tensor.is_shape_tensor:
            what = "is a number that shapes depend on" if tensor.is_shape_tensor else f"is {declared} in the file"
            raise ModelError(
                f"the input '{tensor.name}' of {request.onnx.name} {what}, and a plan for {shapes.least} to "
                f"{shapes.most} was asked for; {library.name} cannot make one."
            )
        if -1 in declared:
            is_needed = True
            profile.set_shape(tensor.name, shapes.least, shapes.best, shapes.most)
    if is_needed and config.add_optimization_profile(profile) < 0:
        raise ModelError(
            f"{library.name} does not take these shapes for {request.onnx.name}: {request.profile.as_json()}"
        )


def _refused(library: Library, onnx: Path, parser: Any, messages: Messages) -> str:
    """Which nodes the parser cannot take, and why."""
    errors = [parser.get_error(at) for at in range(parser.num_errors)]
    nodes: dict[str, str] = {}
    for error in errors:
        name, operator = error.node_name(), error.node_operator()
        where = f"node '{name}' ({operator})" if operator else "the file"
        nodes.setdefault(where, " ".join(error.desc().split()).rstrip(".")[:300])
    named = [f"{where}: {why}" for where, why in list(nodes.items())[:_MOST_NODES]]
    more = f"; and {len(nodes) - _MOST_NODES} more" if len(nodes) > _MOST_NODES else ""
    reasons = "; ".join(named) + more if named else messages.sum_up()
    return (
        f"{library.name} cannot take {onnx.name}: {reasons}. Run it with --runtime onnxruntime, or export the network "
        "with other operators."
    )


def _failed(library: Library, request: BuildRequest, messages: Messages) -> ModelError | DeviceError:
    """What it means that no plan came out."""
    reason = messages.sum_up()
    if any(word in reason.lower() for word in ("out of memory", "outofmemory", "cuda initialization", "no cuda")):
        return DeviceError(f"{library.name} could not build a plan for {request.onnx.name}: {reason}.")
    return ModelError(
        f"{library.name} could not build a plan for {request.onnx.name}: {reason}. Run it with --runtime onnxruntime."
    )


def _tensors(library: Library, tensors: list[Any]) -> dict[str, str]:
    """Name -> type and shape, for people and notes."""
    return {tensor.name: f"{tensor.dtype.name.lower()} {tuple(tensor.shape)}" for tensor in tensors}


def _load_timing_cache(library: Library, config: Any, options: BuildOptions) -> None:
    """Measured kernel times of earlier builds; a file that does not fit is started anew."""
    if options.timing_cache is None or not library.dialect.has_timing_cache:
        return
    try:
        kept = options.timing_cache.read_bytes()
    except OSError:  # none yet
        kept = b""
    cache = config.create_timing_cache(kept)
    if not config.set_timing_cache(cache, False):
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _save_timing_cache(library: Library, config: Any, options: BuildOptions) -> None:
    """Replace the file whole: whoever reads it meanwhile, or ends us now, has the old one or the new one."""
    if options.timing_cache is None or not library.dialect.has_timing_cache:
        return
    path = options.timing_cache
    kept = bytes(config.get_timing_cache().serialize())
    with contextlib.suppress(OSError):  # it only saves time
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".timing-")
        with os.fdopen(handle, "wb") as file:
            file.write(kept)
        Path(temporary).replace(path)


def built_layers(library: Library, plan: bytes, request: BuildRequest) -> dict[str, int]:
    """Layers of the plan by what they compute in; {} where it cannot be loaded here (RTX without a GPU, another chip).

    DeviceError (5) where they compute in another precision than was asked for.
    """
    logger = library.logger(Messages())
    try:
        runtime = library.module.Runtime(logger)
        engine = runtime.deserialize_cuda_engine(plan)
    except Exception:  # the binding raises TypeError for a null pointer, which here means: no GPU
        return {}
    if engine is None:
        return {}
    counted = read_back(library.module, engine)
    check_layers(counted, request.precision, f"the {request.runtime} plan of {request.onnx.name}")
    return counted
