"""ONNX graphs remade for a runtime: static shapes, fp16 with fp32 islands, INT8 by quantize and dequantize nodes.

    prepare      what an engine's builder calls: a file for one precision, one size and one kind of runtime, cached
    conversion   what `livematte engine quantize` calls: fp16 or INT8 made of a network, measured, refused or written

    editing      looking into a graph and changing it; folding: what is known before any picture comes is computed once
    static       one size, extra inputs folded in, states at their full shape
    islands      what must stay in fp32, by rule; half: the other nodes in fp16; typecheck: no operator mixes types
    calibrate    the ranges of a network's values on the user's own frames; quantize, exclusions: INT8 made of them
    report       what a conversion costs: MAD, MSE, dtSSD and milliseconds beside fp32

Importing this package imports none of `onnx` and ONNX Runtime; they come with the extra `quantize`.
"""

from livematte.runtimes.graphs.facts import GraphFacts, Precision, Prepared, Target, facts_of
from livematte.runtimes.graphs.prepare import prepare

__all__ = ["GraphFacts", "Precision", "Prepared", "Target", "facts_of", "prepare"]
