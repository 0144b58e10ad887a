// What devices, pointers and memory pools say about themselves.
#include <cstdio>
#include <cstring>

#include "world.h"

namespace fake {
namespace {

bool is_device(int device) { return device >= 0 && device < world().device_count; }

int attribute(int which) {
  static const std::map<int, int> values = {
      {1, 1024}, {2, 1024}, {3, 1024}, {4, 64}, {5, 2147483647}, {6, 65535}, {7, 65535}, {8, 49152}, {9, 65536},
      {10, 32}, {11, 2147483647}, {12, 65536}, {13, 1980000}, {14, 512}, {15, 1}, {16, 4}, {19, 1}, {31, 1},
      {33, 1}, {34, 0}, {36, 2619000}, {37, 5120}, {38, 50 << 20}, {39, 2048}, {40, 3}, {41, 1}, {50, 0}, {78, 1},
      {79, 1}, {80, 1}, {81, 233472}, {82, 65536}, {83, 0}, {97, 232448}, {106, 32}, {115, 1},
  };
  if (which == 75) return world().capability_major;
  if (which == 76) return world().capability_minor;
  auto found = values.find(which);
  return found == values.end() ? 0 : found->second;
}

std::shared_ptr<Pool> pool_of(int device) {
  auto& pools = world().default_pools;
  if (pools.size() <= static_cast<std::size_t>(device)) pools.resize(static_cast<std::size_t>(device) + 1);
  auto& pool = pools[static_cast<std::size_t>(device)];
  if (pool == nullptr) {
    pool = std::make_shared<Pool>();
    pool->device = device;
    keep(world().pools, pool);
  }
  return pool;
}

template <class T>
void put(void* into, T value) {
  std::memcpy(into, &value, sizeof(T));
}

CUresult pointer_attribute(void* into, int which, CUdeviceptr pointer) {
  auto block = live_block(pointer, 1);
  if (into == nullptr || block == nullptr) return kInvalidValue;
  bool on_device = block->kind == Kind::device;
  if (which == 1) put<void*>(into, block->context.get());
  else if (which == 2) put<unsigned>(into, on_device ? kDeviceMemory : kHostMemory);
  else if (which == 3) put<CUdeviceptr>(into, pointer);
  else if (which == 4 && !on_device) put<CUdeviceptr>(into, pointer);
  else if (which == 6 || which == 8 || which == 10 || which == 15) put<int>(into, 0);
  else if (which == 7) put<std::uint64_t>(into, block->base);
  else if (which == 9) put<int>(into, block->context->device);
  else if (which == 11) put<CUdeviceptr>(into, block->base);
  else if (which == 12) put<std::size_t>(into, block->size);
  else if (which == 13) put<int>(into, 1);
  else if (which == 17) put<void*>(into, nullptr);
  else return kInvalidValue;
  return kOk;
}

}  // namespace
}  // namespace fake

using namespace fake;

API CUresult cuDeviceGetCount(int* into) {
  ENTER(kInit);
  *into = world().device_count;
  return kOk;
}

API CUresult cuDeviceGet(CUdevice* into, int ordinal) {
  ENTER(kInit);
  if (!is_device(ordinal)) return kInvalidDevice;
  *into = ordinal;
  return kOk;
}

API CUresult cuDeviceGetName(char* into, int size, CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  std::snprintf(into, static_cast<std::size_t>(size), "fakecuda %d", device);
  return kOk;
}

API CUresult cuDeviceGetUuid(char* into, CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  std::memset(into, 0xFA, 16);
  into[15] = static_cast<char>(device);
  return kOk;
}

API CUresult cuDeviceGetUuid_v2(char* into, CUdevice device) { return cuDeviceGetUuid(into, device); }

API CUresult cuDeviceTotalMem_v2(std::size_t* into, CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  *into = world().total_bytes;
  return kOk;
}

API CUresult cuDeviceGetAttribute(int* into, int which, CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  *into = attribute(which);
  return kOk;
}

API CUresult cuDeviceComputeCapability(int* major, int* minor, CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  *major = world().capability_major;
  *minor = world().capability_minor;
  return kOk;
}

API CUresult cuDeviceGetPCIBusId(char* into, int size, CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  std::snprintf(into, static_cast<std::size_t>(size), "0000:%02X:00.0", device + 1);
  return kOk;
}

API CUresult cuDeviceGetDefaultMemPool(void** into, CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  *into = pool_of(device).get();
  return kOk;
}

API CUresult cuDeviceGetMemPool(void** into, CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  *into = pool_of(device).get();
  return kOk;
}

API CUresult cuDeviceSetMemPool(CUdevice device, void* pool) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  return find(world().pools, pool) == nullptr ? kInvalidHandle : kOk;
}

API CUresult cuMemPoolCreate(void** into, const void*) {
  ENTER(kInit);
  *into = keep(world().pools, std::make_shared<Pool>());
  return kOk;
}

API CUresult cuMemPoolDestroy(void* pool) {
  ENTER(kInit);
  return world().pools.erase(pool) == 1 ? kOk : kInvalidHandle;
}

API CUresult cuMemPoolTrimTo(void* pool, std::size_t) {
  ENTER(kInit);
  return find(world().pools, pool) == nullptr ? kInvalidHandle : kOk;
}

API CUresult cuMemPoolSetAccess(void* pool, const void*, std::size_t) {
  ENTER(kInit);
  return find(world().pools, pool) == nullptr ? kInvalidHandle : kOk;
}

API CUresult cuMemPoolSetAttribute(void* handle, int which, void* value) {
  ENTER(kInit);
  auto pool = find(world().pools, handle);
  if (pool == nullptr) return kInvalidHandle;
  std::memcpy(&pool->attributes[which], value, which <= 3 ? 4 : 8);
  return kOk;
}

API CUresult cuMemPoolGetAttribute(void* handle, int which, void* value) {
  ENTER(kInit);
  auto pool = find(world().pools, handle);
  if (pool == nullptr) return kInvalidHandle;
  bool is_usage = which >= 5 && which <= 8;  // reserved now and at most, used now and at most
  std::uint64_t answer = is_usage ? world().used_bytes : pool->attributes[which];
  std::memcpy(value, &answer, which <= 3 ? 4 : 8);
  return kOk;
}

API CUresult cuPointerGetAttribute(void* into, int which, CUdeviceptr pointer) {
  ENTER(kInit);
  return pointer_attribute(into, which, pointer);
}

API CUresult cuPointerGetAttributes(unsigned count, int* which, void** into, CUdeviceptr pointer) {
  ENTER(kInit);
  for (unsigned i = 0; i < count; ++i)
    if (pointer_attribute(into[i], which[i], pointer) != kOk) {
      std::size_t size = which[i] == 2 || which[i] == 6 || which[i] == 8 || which[i] == 9 ? 4 : 8;
      std::memset(into[i], 0, size);  // unknown memory is no error here: its attributes are 0
      if (which[i] == 9) put<int>(into[i], -2);
    }
  return kOk;
}

API CUresult cuModuleGetLoadingMode(int* into) {
  ENTER(kInit);
  *into = 2;
  return kOk;
}

API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* into, void*, int threads, std::size_t) {
  ENTER(kContext);
  *into = threads <= 0 ? 0 : 2048 / threads;
  return kOk;
}
