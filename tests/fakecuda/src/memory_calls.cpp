// The calls about device and pinned memory.
#include "world.h"

using namespace fake;

namespace {

std::shared_ptr<Block> freeable(std::uintptr_t address, Kind kind) {
  auto found = world().blocks.find(address);
  bool fits = found != world().blocks.end() && found->second->is_live && found->second->kind == kind;
  return fits ? found->second : nullptr;
}

CUresult give(Call& call, std::size_t size, Kind kind, std::uintptr_t* into) {
  if (into == nullptr || size == 0) return kInvalidValue;
  auto block = allocate(size, kind, call.context);
  if (block == nullptr) return kOutOfMemory;
  *into = block->base;
  return kOk;
}

CUresult give_later(Call& call, std::size_t size, const void* handle, CUdeviceptr* into) {
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  if (stream->capture != nullptr) {
    invalidate(*stream->capture);
    return kNotSupported;  // memory nodes of graphs are not played
  }
  if (CUresult code = give(call, size, Kind::device, into); code != kOk) return code;
  block_at(*into)->born = enqueue(stream, "allocation", [](Lock&) {});
  return kOk;
}

}  // namespace

API CUresult cuMemAlloc_v2(CUdeviceptr* into, std::size_t size) {
  ENTER(kContext | kUnsafe);
  return give(call, size, Kind::device, into);
}

API CUresult cuMemAllocPitch_v2(CUdeviceptr* into, std::size_t* pitch, std::size_t width, std::size_t height, unsigned) {
  ENTER(kContext | kUnsafe);
  if (pitch == nullptr || width == 0 || height == 0) return kInvalidValue;
  *pitch = (width + 511) / 512 * 512;
  return give(call, *pitch * height, Kind::device, into);
}

API CUresult cuMemFree_v2(CUdeviceptr pointer) {
  ENTER(kContext | kUnsafe);
  auto block = freeable(pointer, Kind::device);
  if (block == nullptr) return pointer == 0 ? kOk : kInvalidValue;
  release(block);
  return kOk;
}

API CUresult cuMemAllocAsync(CUdeviceptr* into, std::size_t size, void* stream) {
  ENTER(kContext);
  return give_later(call, size, stream, into);
}

API CUresult cuMemAllocFromPoolAsync(CUdeviceptr* into, std::size_t size, void* pool, void* stream) {
  ENTER(kContext);
  if (find(world().pools, pool) == nullptr) return kInvalidHandle;
  return give_later(call, size, stream, into);
}

API CUresult cuMemFreeAsync(CUdeviceptr pointer, void* handle) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  auto block = freeable(pointer, Kind::device);
  if (block == nullptr) return pointer == 0 ? kOk : kInvalidValue;
  if (stream->capture != nullptr) {
    invalidate(*stream->capture);
    return kNotSupported;
  }
  enqueue(stream, "release", [block](Lock&) {
    if (block->is_live) release(block);
  });
  return kOk;
}

API CUresult cuMemHostAlloc(void** into, std::size_t size, unsigned flags) {
  ENTER(kContext | kUnsafe);
  std::uintptr_t address = 0;
  CUresult code = into == nullptr ? kInvalidValue : give(call, size, Kind::pinned, &address);
  if (code != kOk) return code;
  block_at(address)->flags = flags;
  *into = reinterpret_cast<void*>(address);
  return kOk;
}

API CUresult cuMemAllocHost_v2(void** into, std::size_t size) {
  ENTER(kContext | kUnsafe);
  std::uintptr_t address = 0;
  CUresult code = into == nullptr ? kInvalidValue : give(call, size, Kind::pinned, &address);
  if (code == kOk) *into = reinterpret_cast<void*>(address);
  return code;
}

API CUresult cuMemFreeHost(void* pointer) {
  ENTER(kContext | kUnsafe);
  auto block = freeable(reinterpret_cast<std::uintptr_t>(pointer), Kind::pinned);
  if (block == nullptr) return kInvalidValue;
  release(block);
  return kOk;
}

API CUresult cuMemHostRegister_v2(void* pointer, std::size_t size, unsigned flags) {
  ENTER(kContext | kUnsafe);
  auto address = reinterpret_cast<std::uintptr_t>(pointer);
  if (pointer == nullptr || size == 0) return kInvalidValue;
  if (block_at(address) != nullptr) return kAlreadyRegistered;
  auto block = std::make_shared<Block>();
  block->base = address;
  block->size = size;
  block->kind = Kind::registered;
  block->context = call.context;
  block->flags = flags;
  world().blocks[address] = block;
  return kOk;
}

API CUresult cuMemHostUnregister(void* pointer) {
  ENTER(kContext | kUnsafe);
  auto block = freeable(reinterpret_cast<std::uintptr_t>(pointer), Kind::registered);
  if (block == nullptr) return kNotRegistered;
  release(block);
  return kOk;
}

API CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* into, void* pointer, unsigned) {
  ENTER(kContext);
  auto block = live_block(reinterpret_cast<std::uintptr_t>(pointer), 1);
  if (into == nullptr || block == nullptr || block->kind == Kind::device) return kInvalidValue;
  *into = reinterpret_cast<CUdeviceptr>(pointer);
  return kOk;
}

API CUresult cuMemHostGetFlags(unsigned* into, void* pointer) {
  ENTER(kContext);
  auto block = live_block(reinterpret_cast<std::uintptr_t>(pointer), 1);
  if (into == nullptr || block == nullptr || block->kind == Kind::device) return kInvalidValue;
  *into = block->flags;
  return kOk;
}

API CUresult cuMemGetInfo_v2(std::size_t* free_bytes, std::size_t* total) {
  ENTER(kContext);
  *free_bytes = world().total_bytes - world().used_bytes;
  *total = world().total_bytes;
  return kOk;
}

API CUresult cuMemGetAddressRange_v2(CUdeviceptr* base, std::size_t* size, CUdeviceptr pointer) {
  ENTER(kContext);
  auto block = live_block(pointer, 1);
  if (block == nullptr) return kNotFound;
  if (base != nullptr) *base = block->base;
  if (size != nullptr) *size = block->size;
  return kOk;
}
