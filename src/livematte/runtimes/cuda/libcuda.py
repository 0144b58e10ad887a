"""Finding the NVIDIA driver's library, and the C types of its calls."""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, c_char_p, c_float, c_int, c_size_t, c_uint, c_ulonglong, c_void_p
from typing import Any

from livematte.errors import DeviceError
from livematte.runtimes.cuda.errors import NEEDED_DRIVER, check, missing_library

HOST_FUNCTION = ctypes.CFUNCTYPE(None, c_void_p)
"""`CUhostFn`: void (void* userData)."""

_DEVICE = c_int
_POINTER = c_ulonglong
_HANDLE = c_void_p
_OUT = POINTER(c_void_p)

PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "cuInit": (c_uint,),
    "cuDriverGetVersion": (POINTER(c_int),),
    "cuGetErrorString": (c_int, POINTER(c_char_p)),
    "cuDeviceGetCount": (POINTER(c_int),),
    "cuDeviceGet": (POINTER(c_int), c_int),
    "cuDeviceGetName": (c_char_p, c_int, _DEVICE),
    "cuDeviceGetAttribute": (POINTER(c_int), c_int, _DEVICE),
    "cuDeviceTotalMem_v2": (POINTER(c_size_t), _DEVICE),
    "cuDevicePrimaryCtxGetState": (_DEVICE, POINTER(c_uint), POINTER(c_int)),
    "cuDevicePrimaryCtxSetFlags_v2": (_DEVICE, c_uint),
    "cuDevicePrimaryCtxRetain": (_OUT, _DEVICE),
    "cuDevicePrimaryCtxRelease_v2": (_DEVICE,),
    "cuCtxSetCurrent": (_HANDLE,),
    "cuCtxGetCurrent": (_OUT,),
    "cuCtxPopCurrent_v2": (_OUT,),
    "cuCtxSynchronize": (),
    "cuCtxGetStreamPriorityRange": (POINTER(c_int), POINTER(c_int)),
    "cuMemGetInfo_v2": (POINTER(c_size_t), POINTER(c_size_t)),
    "cuMemAlloc_v2": (POINTER(_POINTER), c_size_t),
    "cuMemFree_v2": (_POINTER,),
    "cuMemHostAlloc": (_OUT, c_size_t, c_uint),
    "cuMemFreeHost": (_HANDLE,),
    "cuMemcpyHtoDAsync_v2": (_POINTER, c_void_p, c_size_t, _HANDLE),
    "cuMemcpyDtoHAsync_v2": (c_void_p, _POINTER, c_size_t, _HANDLE),
    "cuMemcpyDtoDAsync_v2": (_POINTER, _POINTER, c_size_t, _HANDLE),
    "cuMemsetD8Async": (_POINTER, ctypes.c_ubyte, c_size_t, _HANDLE),
    "cuStreamCreateWithPriority": (_OUT, c_uint, c_int),
    "cuStreamDestroy_v2": (_HANDLE,),
    "cuStreamWaitEvent": (_HANDLE, _HANDLE, c_uint),
    "cuStreamSynchronize": (_HANDLE,),
    "cuStreamQuery": (_HANDLE,),
    "cuLaunchHostFunc": (_HANDLE, HOST_FUNCTION, c_void_p),
    "cuEventCreate": (_OUT, c_uint),
    "cuEventDestroy_v2": (_HANDLE,),
    "cuEventRecord": (_HANDLE, _HANDLE),
    "cuEventSynchronize": (_HANDLE,),
    "cuEventQuery": (_HANDLE,),
    "cuEventElapsedTime": (POINTER(c_float), _HANDLE, _HANDLE),
    "cuModuleLoadData": (_OUT, c_char_p),
    "cuModuleUnload": (_HANDLE,),
    "cuModuleGetFunction": (_OUT, _HANDLE, c_char_p),
    "cuLaunchKernel": (_HANDLE, *(c_uint,) * 6, c_uint, _HANDLE, c_void_p, c_void_p),
    "cuStreamBeginCapture_v2": (_HANDLE, c_int),
    "cuStreamEndCapture": (_HANDLE, _OUT),
    "cuGraphGetNodes": (_HANDLE, c_void_p, POINTER(c_size_t)),
    "cuGraphDestroy": (_HANDLE,),
    "cuGraphInstantiateWithFlags": (_OUT, _HANDLE, c_ulonglong),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphExecDestroy": (_HANDLE,),
}
"""Every call we make by ourselves -> the types of its parameters. All return a CUresult. CUDA 11.4 has them all."""

OPTIONAL: dict[str, tuple[Any, ...]] = {
    "cuFuncGetParamInfo": (_HANDLE, c_size_t, POINTER(c_size_t), POINTER(c_size_t)),
}
"""Calls that drivers before CUDA 12.4 lack, and that we can do without."""

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
"""The driver's library; it comes with the driver, never with a package."""


def load_library() -> ctypes.CDLL:
    """The driver's library with the types of its calls set. DeviceError (5) where there is no driver, or an old one."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        meaning = missing_library(LIBRARY) or "there is no NVIDIA driver here"
        raise DeviceError(f"CUDA cannot be used: {LIBRARY} cannot be loaded ({error}): {meaning}.") from error
    for name, types in PROTOTYPES.items():
        try:
            call = getattr(library, name)
        except AttributeError as error:
            raise DeviceError(
                f"CUDA cannot be used: the NVIDIA driver here has no {name}, so it is older than CUDA 11.4. Install "
                f"NVIDIA's driver {NEEDED_DRIVER} or newer."
            ) from error
        call.argtypes = types
        call.restype = c_int
    for name, types in OPTIONAL.items():
        if hasattr(library, name):
            call = getattr(library, name)
            call.argtypes = types
            call.restype = c_int
    return library


def start(library: ctypes.CDLL) -> int:
    """Start CUDA (`cuInit`) and give the driver's version as CUDA numbers it. CudaError where it cannot start."""
    version = c_int()
    # This works before cuInit, and without a GPU; the errors of cuInit are clearer with it.
    if library.cuDriverGetVersion(ctypes.byref(version)) != 0:
        version.value = 0
    check(library.cuInit(0), "starting CUDA", version.value)
    return version.value
