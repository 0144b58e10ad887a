// The calls about modules, libraries, functions and kernels.
#include "world.h"

using namespace fake;

API CUresult cuModuleLoadData(void** into, const void* image) {
  ENTER(kContext | kUnsafe);
  return load_into(into, image);
}

API CUresult cuModuleLoadDataEx(void** into, const void* image, unsigned, void*, void**) {
  ENTER(kContext | kUnsafe);
  return load_into(into, image);
}

API CUresult cuModuleLoadFatBinary(void** into, const void* image) {
  ENTER(kContext | kUnsafe);
  return load_into(into, image);
}

API CUresult cuLibraryLoadData(void** into, const void* image, void*, void**, unsigned, void*, void**, unsigned) {
  ENTER(kInit | kUnsafe);
  return load_into(into, image);
}

API CUresult cuModuleUnload(void* module) {
  ENTER(kContext);
  return unload(module);
}

API CUresult cuLibraryUnload(void* library) {
  ENTER(kInit);
  return unload(library);
}

API CUresult cuModuleGetFunction(void** into, void* module, const char* name) {
  ENTER(kContext);
  return get_function(into, module, name);
}

API CUresult cuLibraryGetKernel(void** into, void* library, const char* name) {
  ENTER(kInit);
  return get_function(into, library, name);
}

API CUresult cuModuleGetGlobal_v2(CUdeviceptr*, std::size_t*, void*, const char*) {
  ENTER(kContext);
  return kNotFound;
}

API CUresult cuLibraryGetModule(void** into, void* library) {
  ENTER(kContext);
  *into = library;
  return find(world().modules, library) == nullptr ? kInvalidHandle : kOk;
}

API CUresult cuKernelGetFunction(void** into, void* kernel) {
  ENTER(kContext);
  *into = kernel;
  return function_of(kernel) == nullptr ? kInvalidHandle : kOk;
}

API CUresult cuKernelGetLibrary(void** into, void* kernel) {
  ENTER(kInit);
  return module_into(into, kernel);
}

API CUresult cuFuncGetModule(void** into, void* function) {
  ENTER(kInit);
  return module_into(into, function);
}

API CUresult cuFuncGetName(const char** into, void* handle) {
  ENTER(kInit);
  return name_into(into, handle);
}

API CUresult cuKernelGetName(const char** into, void* handle) {
  ENTER(kInit);
  return name_into(into, handle);
}

API CUresult cuFuncGetAttribute(int* into, int which, void* function) {
  ENTER(kContext);
  return attribute(into, which, function_of(function));
}

API CUresult cuKernelGetAttribute(int* into, int which, void* function, CUdevice) {
  ENTER(kInit);
  return attribute(into, which, function_of(function));
}

API CUresult cuFuncSetAttribute(void* function, int which, int value) {
  ENTER(kContext);
  return set_attribute(function_of(function), which, value);
}

API CUresult cuKernelSetAttribute(int which, int value, void* function, CUdevice) {
  ENTER(kInit);
  return set_attribute(function_of(function), which, value);
}

API CUresult cuFuncSetCacheConfig(void* function, int) {
  ENTER(kContext);
  return function_of(function) == nullptr ? kInvalidHandle : kOk;
}

API CUresult cuFuncGetParamInfo(void* function, std::size_t index, std::size_t* offset, std::size_t* size) {
  ENTER(kInit);
  return parameter(function_of(function), index, offset, size);
}

API CUresult cuKernelGetParamInfo(void* function, std::size_t index, std::size_t* offset, std::size_t* size) {
  ENTER(kInit);
  return parameter(function_of(function), index, offset, size);
}

API CUresult cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                            unsigned shared, void* stream, void** parameters, void** extra) {
  ENTER(kContext);
  unsigned grid[] = {gx, gy, gz}, block[] = {bx, by, bz};
  return launch(call, function, grid, block, shared, stream, parameters, extra);
}

API CUresult cuLaunchKernelEx(const Launch* how, void* function, void** parameters, void** extra) {
  ENTER(kContext);
  if (how == nullptr) return kInvalidValue;
  return launch(call, function, how->grid, how->block, how->shared_bytes, how->stream, parameters, extra);
}
