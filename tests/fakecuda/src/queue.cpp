// Streams as queues (world.h, Note [Order]), events, and host functions.
#include <chrono>
#include <cstdlib>

#include "world.h"

namespace fake {
namespace {

thread_local int host_function_depth = 0;

// 1, 3, 9 or 27: how eagerly a stream's work runs under this seed.
unsigned weight_of(std::uint64_t lane) {
  std::uint64_t mixed = (lane + 1) * 0x9E3779B97F4A7C15ull ^ world().seed * 0xD1B54A32D192ED03ull;
  mixed ^= mixed >> 29;
  mixed *= 0xBF58476D1CE4E5B9ull;
  static const unsigned weights[] = {1, 3, 9, 27};
  return weights[(mixed >> 60) & 3];
}

bool is_ready(const Op& op) {
  if (op.is_running || op.is_done) return false;
  for (auto& before : op.after)
    if (!before->is_done) return false;
  return true;
}

void finish(const OpRef& op) {
  World& w = world();
  op->is_running = false;
  op->is_done = true;
  op->finished_ms = now_ms();
  op->after.clear();
  op->body = nullptr;
  for (std::size_t i = 0; i < w.pending.size(); ++i)
    if (w.pending[i] == op) {
      w.pending.erase(w.pending.begin() + static_cast<std::ptrdiff_t>(i));
      break;
    }
  w.changed.notify_all();
}

void execute(Lock& lock, const OpRef& op) {
  op->is_running = true;
  log("run %s (op %llu)", op->what.c_str(), static_cast<unsigned long long>(op->number));
  if (op->body && !op->context->is_dead && op->context->sticky == kOk) {
    OpenMemory open;
    op->body(lock);
  }
  finish(op);
}

}  // namespace

double now_ms() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double, std::milli>(Clock::now().time_since_epoch()).count();
}

bool in_host_function() { return host_function_depth > 0; }

void run_host_function(Lock& lock, const std::function<void()>& function) {
  lock.unlock();
  ++host_function_depth;
  function();
  --host_function_depth;
  lock.lock();
}

OpRef add_op(std::string what, const std::shared_ptr<Context>& context, std::uint64_t lane, std::vector<OpRef> after,
             Body body) {
  World& w = world();
  auto op = std::make_shared<Op>();
  op->number = ++w.op_number;
  op->what = std::move(what);
  op->context = context;
  op->lane = lane;
  for (auto& before : after)
    if (before != nullptr && !before->is_done) op->after.push_back(before);
  op->body = std::move(body);
  w.pending.push_back(op);
  return op;
}

std::vector<OpRef> order_before(const std::shared_ptr<Stream>& stream) {
  std::vector<OpRef> after = {stream->last};
  after.insert(after.end(), stream->waits.begin(), stream->waits.end());
  stream->waits.clear();
  if (stream->is_legacy) {
    for (auto& weak : stream->context->streams)
      if (auto other = weak.lock(); other != nullptr && (other->flags & 1) == 0) {
        after.push_back(other->last);
        after.insert(after.end(), other->waits.begin(), other->waits.end());
      }
  } else if ((stream->flags & 1) == 0) {
    after.push_back(stream->context->legacy->last);
    auto& waits = stream->context->legacy->waits;
    after.insert(after.end(), waits.begin(), waits.end());
  }
  return after;
}

OpRef enqueue(const std::shared_ptr<Stream>& stream, std::string what, Body body) {
  auto op = add_op(std::move(what), stream->context, stream->serial, order_before(stream), std::move(body));
  stream->last = op;
  return op;
}

bool step(Lock& lock) {
  World& w = world();
  std::vector<OpRef> ready;
  std::vector<double> weights;
  for (auto& op : w.pending)
    if (is_ready(*op)) {
      ready.push_back(op);
      weights.push_back(weight_of(op->lane));
    }
  if (ready.empty()) return false;
  std::discrete_distribution<std::size_t> pick(weights.begin(), weights.end());
  execute(lock, ready[pick(w.dice)]);
  return true;
}

void progress(Lock& lock) {
  World& w = world();
  if (w.pending.empty() || w.policy == Policy::lazy) return;
  OpenMemory open;
  if (w.policy == Policy::eager) {
    while (step(lock)) {
    }
    return;
  }
  if (w.dice() % 3 != 0) return;
  for (auto steps = w.dice() % 5; steps > 0 && step(lock); --steps) {
  }
}

bool wait_until(Lock& lock, const std::function<bool()>& is_done) {
  World& w = world();
  OpenMemory open;
  while (!is_done()) {
    if (step(lock)) continue;
    bool is_running = false;
    for (auto& op : w.pending) is_running = is_running || op->is_running;
    if (!is_running) return false;
    w.changed.wait_for(lock, std::chrono::milliseconds(50));
  }
  return true;
}

CUresult wait_for(Lock& lock, const OpRef& op) {
  if (op == nullptr) return kOk;
  if (!wait_until(lock, [&] { return op->is_done; })) {
    harm("a call waits for work that can never run", nullptr);
    return kUnknown;
  }
  return op->context->sticky;
}

}  // namespace fake
