// Copies and fills, each with the synchronisation that the driver documents for its kinds of memory.
//
// Note [Which copies wait]
//   A copy that is not "Async" runs in the legacy stream. From pageable memory the bytes are taken at the call (the
//   driver stages them), and the copy itself may come later; into pageable memory the call waits; from and to pinned
//   memory an Async copy reads and writes when its turn comes, so what is changed too early goes wrong here.
#include <cstring>

#include "world.h"

namespace fake {
namespace {

enum class Side { device, pinned, pageable };

struct Plan {
  std::uintptr_t target = 0, source = 0;
  std::size_t target_pitch = 0, source_pitch = 0, width = 0, height = 1;
  Side to = Side::pageable, from = Side::pageable;

  std::size_t target_extent() const { return target_pitch * (height - 1) + width; }
  std::size_t source_extent() const { return source_pitch * (height - 1) + width; }
};

using Staged = std::shared_ptr<std::vector<unsigned char>>;

Side side_of(std::uintptr_t address) {
  auto block = block_at(address);
  if (block == nullptr || block->base > address) return is_device_address(address) ? Side::device : Side::pageable;
  return block->kind == Kind::device ? Side::device : Side::pinned;
}

bool is_inside(std::uintptr_t address, std::size_t bytes) {  // of an allocation, which may be waiting for its turn
  auto block = block_at(address);
  return block != nullptr && block->is_live && address + bytes <= block->base + block->size;
}

void move_rows(const Plan& plan) {
  for (std::size_t row = 0; row < plan.height; ++row)
    std::memmove(reinterpret_cast<void*>(plan.target + row * plan.target_pitch),
                 reinterpret_cast<const void*>(plan.source + row * plan.source_pitch), plan.width);
}

void run_copy(Plan plan, const Staged& staged, Context* context) {
  if (plan.to != Side::pageable && live_block(plan.target, plan.target_extent()) == nullptr)
    return harm("a copy writes to memory that is freed or not yet allocated", context);
  if (staged == nullptr && plan.from != Side::pageable && live_block(plan.source, plan.source_extent()) == nullptr)
    return harm("a copy reads memory that is freed or not yet allocated", context);
  if (staged != nullptr) {
    plan.source = reinterpret_cast<std::uintptr_t>(staged->data());
    plan.source_pitch = plan.width;
  }
  move_rows(plan);
  Counts& counts = world().counts;
  bool up = plan.from != Side::device, down = plan.to != Side::device;
  int way = up ? (down ? 3 : 0) : (down ? 1 : 2);
  ++counts.copies[way];
  counts.bytes[way] += plan.width * plan.height;
  if (plan.from == Side::pageable || plan.to == Side::pageable) ++counts.pageable;
}

Staged stage(const Plan& plan) {
  auto staged = std::make_shared<std::vector<unsigned char>>(plan.width * plan.height);
  for (std::size_t row = 0; row < plan.height; ++row)
    std::memcpy(staged->data() + row * plan.width, reinterpret_cast<const void*>(plan.source + row * plan.source_pitch),
                plan.width);
  return staged;
}

CUresult copy(Call& call, const void* handle, Plan plan, bool is_async) {
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  if (!is_async && is_unsafe_now()) return kCaptureUnsupported;
  if (plan.width == 0 || plan.height == 0) return kOk;
  plan.to = side_of(plan.target);
  plan.from = side_of(plan.source);
  if (plan.target == 0 || plan.source == 0) return kInvalidValue;
  if (plan.to != Side::pageable && !is_inside(plan.target, plan.target_extent())) return kInvalidValue;
  if (plan.from != Side::pageable && !is_inside(plan.source, plan.source_extent())) return kInvalidValue;
  if (stream->capture != nullptr && (plan.to == Side::pageable || plan.from == Side::pageable)) {
    invalidate(*stream->capture);
    return kCaptureUnsupported;
  }
  Staged staged;
  if (plan.from == Side::pageable && plan.to != Side::pageable) {
    if (!is_async) wait_for(call.lock, stream->last);
    staged = stage(plan);
  }
  OpRef op;
  Context* context = stream->context.get();
  CUresult code = submit(stream, 1, "copy", [plan, staged, context](Lock&) { run_copy(plan, staged, context); }, &op);
  bool is_within_device = plan.to == Side::device && plan.from == Side::device;
  bool waits = plan.to == Side::pageable || (!is_async && staged == nullptr && !is_within_device);
  return code == kOk && waits && op != nullptr ? wait_for(call.lock, op) : code;
}

CUresult copy_bytes(Call& call, const void* stream, std::uintptr_t target, std::uintptr_t source, std::size_t size,
                    bool is_async) {
  Plan plan;
  plan.target = target;
  plan.source = source;
  plan.width = plan.target_pitch = plan.source_pitch = size;
  return copy(call, stream, plan, is_async);
}

CUresult copy_rows(Call& call, const void* stream, const Copy2D* given, bool is_async) {
  if (given == nullptr) return kInvalidValue;
  const Copy2D& c = *given;
  if (c.source_type == kArrayMemory || c.target_type == kArrayMemory) return kNotSupported;
  Plan plan;
  plan.width = c.width;
  plan.height = c.height;
  plan.source_pitch = c.source_pitch == 0 ? c.width : c.source_pitch;
  plan.target_pitch = c.target_pitch == 0 ? c.width : c.target_pitch;
  bool is_narrow = plan.source_pitch < c.source_x + c.width || plan.target_pitch < c.target_x + c.width;
  if (is_narrow && c.height > 1) return kInvalidValue;
  auto source = c.source_type == kHostMemory ? reinterpret_cast<std::uintptr_t>(c.source_host) : c.source_device;
  auto target = c.target_type == kHostMemory ? reinterpret_cast<std::uintptr_t>(c.target_host) : c.target_device;
  plan.source = source + c.source_y * plan.source_pitch + c.source_x;
  plan.target = target + c.target_y * plan.target_pitch + c.target_x;
  if (c.source_type == kHostMemory && side_of(plan.source) == Side::device) return kInvalidValue;
  if (c.target_type == kHostMemory && side_of(plan.target) == Side::device) return kInvalidValue;
  return copy(call, stream, plan, is_async);
}

bool is_device(CUdeviceptr pointer) { return side_of(pointer) == Side::device; }
std::uintptr_t number(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

template <class T>
CUresult fill(Call& call, const void* handle, CUdeviceptr pointer, std::size_t pitch, T value, std::size_t width,
              std::size_t height) {
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  if (width == 0 || height == 0) return kOk;
  std::size_t extent = pitch * (height - 1) + width * sizeof(T);
  if (pointer % sizeof(T) != 0 || side_of(pointer) == Side::pageable || !is_inside(pointer, extent)) return kInvalidValue;
  Context* context = stream->context.get();
  return submit(stream, 2, "fill", [=](Lock&) {
    if (live_block(pointer, extent) == nullptr) return harm("a fill writes to freed memory", context);
    for (std::size_t row = 0; row < height; ++row)
      for (std::size_t i = 0; i < width; ++i)
        std::memcpy(reinterpret_cast<void*>(pointer + row * pitch + i * sizeof(T)), &value, sizeof(T));
  });
}

}  // namespace
}  // namespace fake

using namespace fake;

API CUresult cuMemcpy(CUdeviceptr target, CUdeviceptr source, std::size_t size) {
  ENTER(kContext);
  return copy_bytes(call, nullptr, target, source, size, false);
}

API CUresult cuMemcpyAsync(CUdeviceptr target, CUdeviceptr source, std::size_t size, void* stream) {
  ENTER(kContext);
  return copy_bytes(call, stream, target, source, size, true);
}

API CUresult cuMemcpyHtoD_v2(CUdeviceptr target, const void* source, std::size_t size) {
  ENTER(kContext);
  if (is_device(number(source)) || side_of(target) == Side::pageable) return kInvalidValue;
  return copy_bytes(call, nullptr, target, number(source), size, false);
}

API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void* source, std::size_t size, void* stream) {
  ENTER(kContext);
  if (is_device(number(source)) || side_of(target) == Side::pageable) return kInvalidValue;
  return copy_bytes(call, stream, target, number(source), size, true);
}

API CUresult cuMemcpyDtoH_v2(void* target, CUdeviceptr source, std::size_t size) {
  ENTER(kContext);
  if (is_device(number(target)) || side_of(source) == Side::pageable) return kInvalidValue;
  return copy_bytes(call, nullptr, number(target), source, size, false);
}

API CUresult cuMemcpyDtoHAsync_v2(void* target, CUdeviceptr source, std::size_t size, void* stream) {
  ENTER(kContext);
  if (is_device(number(target)) || side_of(source) == Side::pageable) return kInvalidValue;
  return copy_bytes(call, stream, number(target), source, size, true);
}

API CUresult cuMemcpyDtoD_v2(CUdeviceptr target, CUdeviceptr source, std::size_t size) {
  ENTER(kContext);
  if (side_of(target) == Side::pageable || side_of(source) == Side::pageable) return kInvalidValue;
  return copy_bytes(call, nullptr, target, source, size, false);
}

API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, std::size_t size, void* stream) {
  ENTER(kContext);
  if (side_of(target) == Side::pageable || side_of(source) == Side::pageable) return kInvalidValue;
  return copy_bytes(call, stream, target, source, size, true);
}

API CUresult cuMemcpy2D_v2(const Copy2D* given) {
  ENTER(kContext);
  return copy_rows(call, nullptr, given, false);
}

API CUresult cuMemcpy2DUnaligned_v2(const Copy2D* given) {
  ENTER(kContext);
  return copy_rows(call, nullptr, given, false);
}

API CUresult cuMemcpy2DAsync_v2(const Copy2D* given, void* stream) {
  ENTER(kContext);
  return copy_rows(call, stream, given, true);
}

#define FILLS(suffix, suffix2d, type)                                                                               \
  API CUresult cuMemset##suffix##_v2(CUdeviceptr p, type value, std::size_t count) {                                \
    ENTER(kContext);                                                                                                \
    return fill(call, nullptr, p, count * sizeof(type), value, count, 1);                                           \
  }                                                                                                                 \
  API CUresult cuMemset##suffix##Async(CUdeviceptr p, type value, std::size_t count, void* stream) {                \
    ENTER(kContext);                                                                                                \
    return fill(call, stream, p, count * sizeof(type), value, count, 1);                                            \
  }                                                                                                                 \
  API CUresult cuMemset##suffix2d##_v2(CUdeviceptr p, std::size_t pitch, type value, std::size_t w, std::size_t h) { \
    ENTER(kContext);                                                                                                \
    return fill(call, nullptr, p, pitch, value, w, h);                                                              \
  }                                                                                                                 \
  API CUresult cuMemset##suffix2d##Async(CUdeviceptr p, std::size_t pitch, type value, std::size_t w, std::size_t h, \
                                         void* stream) {                                                            \
    ENTER(kContext);                                                                                                \
    return fill(call, stream, p, pitch, value, w, h);                                                               \
  }

FILLS(D8, D2D8, unsigned char)
FILLS(D16, D2D16, unsigned short)
FILLS(D32, D2D32, unsigned int)
