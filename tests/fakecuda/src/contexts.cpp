// Contexts: the primary one and its flags, others, and the stack of current ones that each thread has.
#include <algorithm>

#include "world.h"

namespace fake {
namespace {

struct Stack {
  std::uint64_t generation = 0;
  std::vector<std::shared_ptr<Context>> contexts;
};

std::vector<std::shared_ptr<Context>>& stack() {
  thread_local Stack mine;
  if (mine.generation != world().generation) {  // another test began
    mine.contexts.clear();
    mine.generation = world().generation;
  }
  return mine.contexts;
}

std::shared_ptr<Context> make_context(int device, unsigned flags) {
  World& w = world();
  auto context = std::make_shared<Context>();
  context->serial = ++w.serial;
  context->device = device;
  context->flags = flags;
  context->legacy = new_stream(context, 0, 0);
  context->legacy->is_legacy = true;
  keep(w.contexts, context);
  return context;
}

template <class T>
void drop_of(Handles<T>& table, const Context* context) {
  for (auto entry = table.begin(); entry != table.end();)
    entry = entry->second->context.get() == context ? table.erase(entry) : std::next(entry);
}

Primary& primary(int device) { return world().primaries.at(static_cast<std::size_t>(device)); }

bool is_device(int device) { return device >= 0 && device < world().device_count; }

CUresult create(void** into, unsigned flags, int device) {
  if (into == nullptr || (flags & ~0xFFu) != 0) return kInvalidValue;
  if (!is_device(device)) return kInvalidDevice;
  auto context = make_context(device, flags);
  stack().push_back(context);
  *into = context.get();
  return kOk;
}

void release_primary(Primary& found) {
  if (found.context == nullptr) return;
  end_context(found.context);
  found.context = nullptr;
  found.users = 0;
  found.flags = 0;
}

}  // namespace

std::shared_ptr<Context> current() { return stack().empty() ? nullptr : stack().back(); }

std::shared_ptr<Stream> new_stream(const std::shared_ptr<Context>& context, unsigned flags, int priority) {
  auto stream = std::make_shared<Stream>();
  stream->serial = ++world().serial;
  stream->context = context;
  stream->flags = flags;
  stream->priority = priority;
  auto& streams = context->streams;
  streams.erase(std::remove_if(streams.begin(), streams.end(), [](auto& weak) { return weak.expired(); }), streams.end());
  streams.push_back(stream);
  return stream;
}

CUresult stream_of(const void* handle, const std::shared_ptr<Context>& context, std::shared_ptr<Stream>* found) {
  auto number = reinterpret_cast<std::uintptr_t>(handle);
  if (number <= 1) {
    *found = context->legacy;
  } else if (number == 2) {
    auto& mine = context->of_thread[std::this_thread::get_id()];
    if (mine == nullptr) mine = new_stream(context, 0, 0);
    *found = mine;
  } else {
    *found = find(world().streams, handle);
    if (*found == nullptr) return kInvalidHandle;
    if ((*found)->context != context) return kInvalidHandle;
  }
  return (*found)->context->is_dead ? kContextDestroyed : kOk;
}

void end_context(const std::shared_ptr<Context>& context) {
  World& w = world();
  context->is_dead = true;
  for (auto& op : w.pending)  // work that was not waited for is lost
    if (op->context == context) op->after.clear();
  drop_of(w.streams, context.get());
  drop_of(w.events, context.get());
  drop_of(w.execs, context.get());
  std::vector<std::shared_ptr<Block>> mine;
  for (auto& [base, block] : w.blocks)
    if (block->context == context && block->is_live) mine.push_back(block);
  for (auto& block : mine) release(block);
  context->of_thread.clear();
  w.contexts.erase(context.get());
}

}  // namespace fake

using namespace fake;

API CUresult cuDevicePrimaryCtxGetState(CUdevice device, unsigned* flags, int* active) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  *flags = primary(device).flags;
  *active = primary(device).context != nullptr;
  return kOk;
}

API CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice device, unsigned flags) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  primary(device).flags = flags;  // since CUDA 11 also of an active one
  if (primary(device).context != nullptr) primary(device).context->flags = flags;
  return kOk;
}

API CUresult cuDevicePrimaryCtxSetFlags(CUdevice device, unsigned flags) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  if (primary(device).context != nullptr) return kPrimaryActive;
  primary(device).flags = flags;
  return kOk;
}

API CUresult cuDevicePrimaryCtxRetain(void** into, CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  Primary& found = primary(device);
  if (found.context == nullptr) {
    found.context = make_context(device, found.flags);
    found.context->is_primary = true;
  }
  ++found.users;
  *into = found.context.get();
  return kOk;
}

API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  Primary& found = primary(device);
  if (found.context == nullptr) return kInvalidContext;
  if (--found.users == 0) release_primary(found);
  return kOk;
}

API CUresult cuDevicePrimaryCtxRelease(CUdevice device) { return cuDevicePrimaryCtxRelease_v2(device); }

API CUresult cuDevicePrimaryCtxReset_v2(CUdevice device) {
  ENTER(kInit);
  if (!is_device(device)) return kInvalidDevice;
  release_primary(primary(device));
  return kOk;
}

API CUresult cuDevicePrimaryCtxReset(CUdevice device) { return cuDevicePrimaryCtxReset_v2(device); }

API CUresult cuCtxCreate_v2(void** into, unsigned flags, CUdevice device) {
  ENTER(kInit);
  return create(into, flags, device);
}

API CUresult cuCtxCreate_v3(void** into, void*, int, unsigned flags, CUdevice device) {
  ENTER(kInit);
  return create(into, flags, device);
}

API CUresult cuCtxCreate_v4(void** into, void*, unsigned flags, CUdevice device) {
  ENTER(kInit);
  return create(into, flags, device);
}

API CUresult cuCtxDestroy_v2(void* handle) {
  ENTER(kInit);
  auto context = find(world().contexts, handle);
  if (context == nullptr || context->is_primary) return kInvalidContext;
  wait_until(call.lock, [&] {
    for (auto& op : world().pending)
      if (op->context == context) return false;
    return true;
  });
  if (!stack().empty() && stack().back() == context) stack().pop_back();
  end_context(context);
  return kOk;
}

API CUresult cuCtxPushCurrent_v2(void* handle) {
  ENTER(kInit);
  auto context = find(world().contexts, handle);
  if (context == nullptr) return kInvalidContext;
  stack().push_back(context);
  return kOk;
}

API CUresult cuCtxPopCurrent_v2(void** into) {
  ENTER(kInit);
  if (stack().empty()) return kInvalidContext;
  if (into != nullptr) *into = stack().back().get();
  stack().pop_back();
  return kOk;
}

API CUresult cuCtxSetCurrent(void* handle) {
  ENTER(kInit);
  if (handle == nullptr) {
    if (!stack().empty()) stack().pop_back();
    return kOk;
  }
  auto context = find(world().contexts, handle);
  if (context == nullptr) return kInvalidContext;
  if (!stack().empty()) stack().pop_back();
  stack().push_back(context);
  return kOk;
}

API CUresult cuCtxGetCurrent(void** into) {
  ENTER(kInit);
  if (into == nullptr) return kInvalidValue;
  *into = current().get();
  return kOk;
}

API CUresult cuCtxGetDevice(CUdevice* into) {
  ENTER(kContext);
  *into = call.context->device;
  return kOk;
}

API CUresult cuCtxGetFlags(unsigned* into) {
  ENTER(kContext);
  *into = call.context->flags;
  return kOk;
}

API CUresult cuCtxSetFlags(unsigned flags) {
  ENTER(kContext);
  call.context->flags = flags;
  return kOk;
}

API CUresult cuCtxGetId(void* handle, unsigned long long* into) {
  ENTER(kInit);
  auto context = handle == nullptr ? current() : find(world().contexts, handle);
  if (context == nullptr) return kContextDestroyed;
  *into = context->serial;
  return kOk;
}

API CUresult cuCtxGetApiVersion(void* handle, unsigned* into) {
  ENTER(kInit);
  auto context = handle == nullptr ? current() : find(world().contexts, handle);
  if (context == nullptr) return kInvalidContext;
  *into = 3020;
  return kOk;
}

API CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  ENTER(kContext);
  if (least != nullptr) *least = 0;
  if (greatest != nullptr) *greatest = -5;
  return kOk;
}

API CUresult cuCtxSetLimit(int limit, std::size_t value) {
  ENTER(kContext);
  if (limit < 0 || limit > 8) return kUnsupportedLimit;
  call.context->limits[limit] = value;
  return kOk;
}

API CUresult cuCtxGetLimit(std::size_t* into, int limit) {
  ENTER(kContext);
  if (limit < 0 || limit > 8) return kUnsupportedLimit;
  *into = call.context->limits[limit];
  return kOk;
}

API CUresult cuCtxAttach(void** into, unsigned) {
  ENTER(kContext);
  *into = call.context.get();
  return kOk;
}

API CUresult cuCtxDetach(void* handle) {
  ENTER(kInit);
  auto context = find(world().contexts, handle);
  if (context == nullptr) return kInvalidContext;
  if (!context->is_primary) end_context(context);
  return kOk;
}
