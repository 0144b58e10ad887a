// The calls about capture and graphs.
#include "world.h"

using namespace fake;

API CUresult cuStreamBeginCapture_v2(void* handle, int mode) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  if (mode < 0 || mode > 2) return kInvalidValue;
  if (stream->is_legacy) return kCaptureUnsupported;
  if (stream->capture != nullptr) return kIllegalState;
  auto capture = std::make_shared<Capture>();
  capture->number = ++world().capture_number;
  capture->mode = mode;
  capture->thread = std::this_thread::get_id();
  capture->origin = stream;
  capture->streams.push_back(stream);
  stream->capture = capture;
  stream->tail.clear();
  world().captures.push_back(capture);
  return kOk;
}

API CUresult cuStreamEndCapture(void* handle, void** into) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  auto capture = stream->capture;
  if (into == nullptr) return kInvalidValue;
  *into = nullptr;
  if (capture == nullptr) return kIllegalState;
  if (capture->origin != stream) return kCaptureUnmatched;
  if (capture->mode != kCaptureRelaxed && capture->thread != std::this_thread::get_id()) return kCaptureWrongThread;
  bool joined = is_joined(*capture);
  finish(capture);
  if (capture->is_invalid) return kCaptureInvalidated;
  if (!joined) return kCaptureUnjoined;
  *into = keep(world().graphs, capture->graph);
  return kOk;
}

API CUresult cuStreamIsCapturing(void* handle, int* state) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  return capture_state(*stream, state, nullptr);
}

API CUresult cuStreamGetCaptureInfo(void* handle, int* state, unsigned long long* number) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  return capture_state(*stream, state, number);
}

API CUresult cuStreamGetCaptureInfo_v2(void* handle, int* state, unsigned long long* number, void** graph, void***,
                                       std::size_t* count) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(handle, call.context, &stream); code != kOk) return code;
  if (graph != nullptr) *graph = stream->capture == nullptr ? nullptr : stream->capture->graph.get();
  if (count != nullptr) *count = 0;
  return capture_state(*stream, state, number);
}

API CUresult cuStreamGetCaptureInfo_v3(void* handle, int* state, unsigned long long* number, void** graph, void*** nodes,
                                       void**, std::size_t* count) {
  return cuStreamGetCaptureInfo_v2(handle, state, number, graph, nodes, count);
}

API CUresult cuThreadExchangeStreamCaptureMode(int* mode) {
  ENTER(kAnyTime);
  if (mode == nullptr || *mode < 0 || *mode > 2) return kInvalidValue;
  std::swap(thread_mode, *mode);
  return kOk;
}

API CUresult cuGraphCreate(void** into, unsigned) {
  ENTER(kInit);
  *into = keep(world().graphs, std::make_shared<Graph>());
  return kOk;
}

API CUresult cuGraphAddEmptyNode(void** into, void* handle, void* const* before, std::size_t count) {
  ENTER(kInit);
  auto graph = find(world().graphs, handle);
  if (graph == nullptr) return kInvalidValue;
  Node node{5, "empty", [](Lock&) {}, {}};
  for (std::size_t i = 0; i < count; ++i) node.after.push_back(*static_cast<std::size_t*>(before[i]));
  add_node(*graph, std::move(node));
  *into = graph->handles.back().get();
  return kOk;
}

API CUresult cuGraphDestroy(void* handle) {
  ENTER(kInit);
  return world().graphs.erase(handle) == 1 ? kOk : kInvalidValue;
}

API CUresult cuGraphGetNodes(void* handle, void** nodes, std::size_t* count) {
  ENTER(kInit);
  auto graph = find(world().graphs, handle);
  if (graph == nullptr || count == nullptr) return kInvalidValue;
  if (nodes != nullptr)
    for (std::size_t i = 0; i < graph->handles.size() && i < *count; ++i) nodes[i] = graph->handles[i].get();
  if (nodes == nullptr || *count > graph->handles.size()) *count = graph->handles.size();
  return kOk;
}

API CUresult cuGraphNodeGetType(void* handle, int* type) {
  ENTER(kInit);
  Node* node = node_of(handle);
  if (node == nullptr) return kInvalidValue;
  *type = node->type;
  return kOk;
}

API CUresult cuGraphInstantiateWithFlags(void** into, void* graph, unsigned long long) {
  ENTER(kContext);
  return instantiate(into, graph, call.context);
}

API CUresult cuGraphInstantiate_v2(void** into, void* graph, void**, char*, std::size_t) {
  ENTER(kContext);
  return instantiate(into, graph, call.context);
}

API CUresult cuGraphInstantiateWithParams(void** into, void* graph, void* parameters) {
  ENTER(kContext);
  static_cast<int*>(parameters)[6] = 0;  // result_out: success
  return instantiate(into, graph, call.context);
}

API CUresult cuGraphUpload(void* exec, void* stream_handle) {
  ENTER(kContext);
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(stream_handle, call.context, &stream); code != kOk) return code;
  return find(world().execs, exec) == nullptr ? kInvalidHandle : kOk;
}

API CUresult cuGraphLaunch(void* handle, void* stream_handle) {
  ENTER(kContext);
  auto exec = find(world().execs, handle);
  if (exec == nullptr || exec->context != call.context) return kInvalidHandle;
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(stream_handle, call.context, &stream); code != kOk) return code;
  if (stream->capture != nullptr) {  // child graphs are not played
    invalidate(*stream->capture);
    return kNotSupported;
  }
  if (stream->is_legacy && captures_in(*stream->context, true, true)) return kCaptureImplicit;
  launch(*exec, stream);
  return kOk;
}

API CUresult cuGraphExecDestroy(void* handle) {
  ENTER(kInit);
  return world().execs.erase(handle) == 1 ? kOk : kInvalidHandle;
}
