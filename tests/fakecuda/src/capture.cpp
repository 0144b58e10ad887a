// Stream capture and graphs: which calls each capture mode prohibits, fork and join by events, replay.
#include <algorithm>

#include "world.h"

namespace fake {

thread_local int thread_mode = kCaptureGlobal;

namespace {



std::vector<bool> ancestors(const Graph& graph, const std::vector<std::size_t>& of) {
  std::vector<bool> seen(graph.nodes.size(), false);
  std::vector<std::size_t> open = of;
  while (!open.empty()) {
    std::size_t at = open.back();
    open.pop_back();
    if (seen[at]) continue;
    seen[at] = true;
    open.insert(open.end(), graph.nodes[at].after.begin(), graph.nodes[at].after.end());
  }
  return seen;
}

}  // namespace

bool is_joined(const Capture& capture) {
  auto reached = ancestors(*capture.graph, capture.origin->tail);
  for (auto& stream : capture.streams)
    for (std::size_t node : stream->tail)
      if (!reached[node]) return false;
  return true;
}

void finish(const std::shared_ptr<Capture>& capture) {
  capture->is_over = true;
  for (auto& stream : capture->streams) {
    stream->capture = nullptr;
    stream->tail.clear();
  }
  capture->streams.clear();
  auto& all = world().captures;
  all.erase(std::remove(all.begin(), all.end(), capture), all.end());
}

void add_node(Graph& graph, Node node) {
  graph.handles.push_back(std::make_unique<std::size_t>(graph.nodes.size()));
  graph.nodes.push_back(std::move(node));
}

CUresult instantiate(void** into, void* handle, const std::shared_ptr<Context>& context) {
  auto graph = find(world().graphs, handle);
  if (into == nullptr || graph == nullptr) return kInvalidValue;
  auto exec = std::make_shared<GraphExec>();
  exec->nodes = graph->nodes;
  exec->context = context;
  *into = keep(world().execs, exec);
  return kOk;
}

void launch(GraphExec& exec, const std::shared_ptr<Stream>& stream) {
  auto after = order_before(stream);
  after.push_back(exec.last);
  auto head = add_op("graph begins", stream->context, stream->serial, after, [](Lock&) {});
  std::vector<OpRef> ops;
  for (std::size_t i = 0; i < exec.nodes.size(); ++i) {
    std::vector<OpRef> before = {head};
    for (std::size_t node : exec.nodes[i].after) before.push_back(ops[node]);
    ops.push_back(add_op("graph: " + exec.nodes[i].what, stream->context, stream->serial * 977 + i, before, exec.nodes[i].body));
  }
  ops.push_back(head);
  auto tail = add_op("graph ends", stream->context, stream->serial, ops, [](Lock&) {});
  stream->last = exec.last = tail;
  ++world().counts.graphs;
}

CUresult capture_state(Stream& stream, int* state, unsigned long long* number) {
  if (stream.capture == nullptr && stream.is_legacy && captures_in(*stream.context, true, false)) return kCaptureImplicit;
  *state = stream.capture == nullptr ? 0 : stream.capture->is_invalid ? 2 : 1;
  if (number != nullptr && stream.capture != nullptr) *number = stream.capture->number;
  return kOk;
}

Node* node_of(const void* handle) {
  for (auto& [key, graph] : world().graphs)
    for (auto& mine : graph->handles)
      if (mine.get() == handle) return &graph->nodes[*mine];
  return nullptr;
}

void invalidate(Capture& capture) { capture.is_invalid = true; }

bool is_unsafe_now() {
  bool is_prohibited = false;
  if (thread_mode == kCaptureRelaxed) return false;
  for (auto& capture : world().captures) {
    bool is_mine = capture->thread == std::this_thread::get_id();
    bool counts = is_mine ? capture->mode != kCaptureRelaxed : thread_mode == kCaptureGlobal && capture->mode == kCaptureGlobal;
    if (!counts) continue;
    invalidate(*capture);
    is_prohibited = true;
  }
  return is_prohibited;
}

bool captures_in(const Context& context, bool blocking_only, bool spoil) {
  bool found = false;
  for (auto& capture : world().captures)
    for (auto& stream : capture->streams) {
      if (stream->context.get() != &context || (blocking_only && (stream->flags & 1) != 0)) continue;
      found = true;
      if (spoil) invalidate(*capture);
    }
  return found;
}

CUresult capture_node(Stream& stream, int type, std::string what, Body body, bool* was_captured) {
  *was_captured = stream.capture != nullptr;
  if (stream.capture == nullptr) return kOk;
  if (stream.capture->is_invalid) return kCaptureInvalidated;
  Graph& graph = *stream.capture->graph;
  add_node(graph, {type, std::move(what), std::move(body), stream.tail});
  stream.tail = {graph.nodes.size() - 1};
  return kOk;
}

CUresult capture_wait(const std::shared_ptr<Stream>& stream, Event& event, bool* was_captured) {
  auto mine = stream->capture, theirs = event.capture;
  *was_captured = mine != nullptr || theirs != nullptr;
  if (!*was_captured) return kOk;
  if (theirs != nullptr && theirs->is_over) {
    if (mine != nullptr) invalidate(*mine);
    return kCapturedEvent;
  }
  if ((mine != nullptr && mine->is_invalid) || (theirs != nullptr && theirs->is_invalid)) return kCaptureInvalidated;
  if (theirs == nullptr) {
    if (event.record == nullptr) return kOk;  // never recorded: nothing to wait for
    invalidate(*mine);
    return kCaptureIsolation;
  }
  if (mine == nullptr) {
    if (stream->is_legacy) {
      invalidate(*theirs);
      return kCaptureImplicit;
    }
    stream->capture = theirs;
    stream->tail = event.nodes;
    theirs->streams.push_back(stream);
    return kOk;
  }
  if (mine != theirs) {
    invalidate(*mine);
    invalidate(*theirs);
    return kCaptureMerge;
  }
  for (std::size_t node : event.nodes)
    if (std::find(stream->tail.begin(), stream->tail.end(), node) == stream->tail.end()) stream->tail.push_back(node);
  return kOk;
}

CUresult submit(const std::shared_ptr<Stream>& stream, int type, std::string what, Body body, OpRef* op) {
  bool was_captured = false;
  CUresult code = capture_node(*stream, type, what, body, &was_captured);
  if (code != kOk || was_captured) return code;
  if (stream->is_legacy && captures_in(*stream->context, true, true)) return kCaptureImplicit;
  auto made = enqueue(stream, std::move(what), std::move(body));
  if (op != nullptr) *op = made;
  return kOk;
}

}  // namespace fake
