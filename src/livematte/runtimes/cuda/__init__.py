"""The layer over the CUDA driver: streams, events, memory, kernels and graphs, behind one contract (`base.py`).

Three back ends keep it: `cuda-core` (wheels; the default), `pycuda`, and `null` over host memory, for tests and for
machines without a GPU. `choice.open_driver` opens one by name; nothing of CUDA is imported before that.
"""
