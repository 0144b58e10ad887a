// The calls about streams, events and host functions.
#include "world.h"

using namespace fake;

namespace {

bool is_stream_idle(const Stream& stream) {
  for (auto& wait : stream.waits)
    if (!wait->is_done) return false;
  return stream.last == nullptr || stream.last->is_done;
}

// Querying or waiting for a stream that is captured spoils the capture; the legacy stream stands for all blocking ones.
CUresult refuse_captured(Stream& stream) {
  if (stream.capture != nullptr) {
    invalidate(*stream.capture);
    return kCaptureUnsupported;
  }
  return stream.is_legacy && captures_in(*stream.context, true, true) ? kCaptureImplicit : kOk;
}

CUresult wait_for_stream(Call& call, const std::shared_ptr<Stream>& stream) {
  auto marker = enqueue(stream, "synchronize", [](Lock&) {});
  return wait_for(call.lock, marker);
}

}  // namespace

API CUresult cuStreamCreate(void** into, unsigned flags) {
  ENTER(kContext);
  if (into == nullptr || flags > 1) return kInvalidValue;
  *into = keep(world().streams, new_stream(call.context, flags, 0));
  return kOk;
}

API CUresult cuStreamCreateWithPriority(void** into, unsigned flags, int priority) {
  ENTER(kContext);
  if (into == nullptr || flags > 1) return kInvalidValue;
  int clamped = priority < -5 ? -5 : priority > 0 ? 0 : priority;
  *into = keep(world().streams, new_stream(call.context, flags, clamped));
  return kOk;
}

API CUresult cuStreamDestroy_v2(void* handle) {
  ENTER(kContext);
  auto stream = find(world().streams, handle);
  if (stream == nullptr) return kInvalidHandle;
  if (stream->capture != nullptr) invalidate(*stream->capture);
  enqueue(stream, "end of a stream", [stream](Lock&) {});  // lives until its work is done
  world().streams.erase(handle);
  return kOk;
}

API CUresult cuStreamQuery(void* handle) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  if (CUresult code = refuse_captured(*stream); code != kOk) return code;
  if (is_unsafe_now()) return kCaptureUnsupported;
  if (is_stream_idle(*stream)) return kOk;
  if (world().policy != Policy::lazy || world().dice() % 2 == 0) step(call.lock);
  return is_stream_idle(*stream) ? call.context->sticky : kNotReady;
}

API CUresult cuStreamSynchronize(void* handle) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  if (CUresult code = refuse_captured(*stream); code != kOk) return code;
  if (is_unsafe_now()) return kCaptureUnsupported;
  return wait_for_stream(call, stream);
}

API CUresult cuStreamWaitEvent(void* handle, void* event_handle, unsigned) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  auto event = find(world().events, event_handle);
  if (event == nullptr) return kInvalidHandle;
  bool was_captured = false;
  if (CUresult code = capture_wait(stream, *event, &was_captured); code != kOk || was_captured) return code;
  if (event->record != nullptr && !event->record->is_done) stream->waits.push_back(event->record);
  return kOk;
}

API CUresult cuStreamGetFlags(void* handle, unsigned* into) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  *into = stream->flags;
  return kOk;
}

API CUresult cuStreamGetPriority(void* handle, int* into) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  *into = stream->priority;
  return kOk;
}

API CUresult cuStreamGetId(void* handle, unsigned long long* into) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  *into = stream->serial;
  return kOk;
}

API CUresult cuStreamGetDevice(void* handle, CUdevice* into) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  *into = stream->context->device;
  return kOk;
}

API CUresult cuStreamGetCtx(void* handle, void** into) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  *into = stream->context.get();
  return kOk;
}

API CUresult cuStreamGetCtx_v2(void* handle, void** into, void** green) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  if (into != nullptr) *into = stream->context.get();
  if (green != nullptr) *green = nullptr;
  return kOk;
}

API CUresult cuCtxSynchronize() {
  ENTER(kContext);
  if (captures_in(*call.context, false, true)) return kCaptureUnsupported;
  if (is_unsafe_now()) return kCaptureUnsupported;
  auto context = call.context;
  wait_until(call.lock, [&] {
    for (auto& op : world().pending)
      if (op->context == context) return false;
    return true;
  });
  return context->sticky;
}

API CUresult cuLaunchHostFunc(void* handle, void (*function)(void*), void* data) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  if (function == nullptr) return kInvalidValue;
  return submit(stream, 3, "host function",
                [function, data](Lock& lock) { run_host_function(lock, [&] { function(data); }); });
}

API CUresult cuStreamAddCallback(void* handle, void (*function)(void*, CUresult, void*), void* data, unsigned) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  if (stream->capture != nullptr) {
    invalidate(*stream->capture);
    return kCaptureUnsupported;
  }
  auto context = stream->context;
  enqueue(stream, "callback", [=](Lock& lock) {
    CUresult state = context->sticky;
    run_host_function(lock, [&] { function(handle, state, data); });
  });
  return kOk;
}

API CUresult cuEventCreate(void** into, unsigned flags) {
  ENTER(kContext);
  if (into == nullptr || flags > 7) return kInvalidValue;
  auto event = std::make_shared<Event>();
  event->context = call.context;
  event->flags = flags;
  *into = keep(world().events, event);
  return kOk;
}

API CUresult cuEventDestroy_v2(void* handle) {
  ENTER(kInit);
  return world().events.erase(handle) == 1 ? kOk : kInvalidHandle;
}

API CUresult cuEventRecord(void* handle, void* stream_handle) {
  ENTER(kContext);
  auto event = find(world().events, handle);
  if (event == nullptr) return kInvalidHandle;
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(stream_handle, call.context, &stream); code != kOk) return code;
  if (event->context != stream->context) return kInvalidHandle;
  if (stream->capture != nullptr) {
    if (stream->capture->is_invalid) return kCaptureInvalidated;
    event->capture = stream->capture;
    event->nodes = stream->tail;
    return kOk;
  }
  if (stream->is_legacy && captures_in(*stream->context, true, true)) return kCaptureImplicit;
  event->capture = nullptr;
  event->record = enqueue(stream, "event", [](Lock&) {});
  return kOk;
}

API CUresult cuEventRecordWithFlags(void* handle, void* stream, unsigned flags) {
  ENTER(kAnyTime);
  call.lock.unlock();
  return flags == 0 ? cuEventRecord(handle, stream) : kNotSupported;
}

API CUresult cuEventQuery(void* handle) {
  ENTER(kContext);
  auto event = find(world().events, handle);
  if (event == nullptr) return kInvalidHandle;
  if (event->capture != nullptr) {
    if (!event->capture->is_over) invalidate(*event->capture);
    return kCapturedEvent;
  }
  if (is_unsafe_now()) return kCaptureUnsupported;
  if (event->record != nullptr && !event->record->is_done) step(call.lock);
  return event->record == nullptr || event->record->is_done ? event->context->sticky : kNotReady;
}

API CUresult cuEventSynchronize(void* handle) {
  ENTER(kContext);
  auto event = find(world().events, handle);
  if (event == nullptr) return kInvalidHandle;
  if (event->capture != nullptr) {
    if (!event->capture->is_over) invalidate(*event->capture);
    return kCapturedEvent;
  }
  if (is_unsafe_now()) return kCaptureUnsupported;
  return wait_for(call.lock, event->record);
}

API CUresult cuEventElapsedTime(float* into, void* first, void* second) {
  ENTER(kContext);
  auto begin = find(world().events, first), end = find(world().events, second);
  if (begin == nullptr || end == nullptr || ((begin->flags | end->flags) & 2) != 0) return kInvalidHandle;
  if (begin->record == nullptr || end->record == nullptr) return kInvalidHandle;
  if (!begin->record->is_done || !end->record->is_done) return kNotReady;
  *into = static_cast<float>(end->record->finished_ms - begin->record->finished_ms);
  return kOk;
}

API CUresult cuEventElapsedTime_v2(float* into, void* first, void* second) {
  return cuEventElapsedTime(into, first, second);
}
