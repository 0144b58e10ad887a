// How a test steers and looks into fakecuda. Not part of any driver.
#include <cstring>

#include "world.h"

using namespace fake;

namespace {

void write_lines(const std::vector<std::string>& lines, char* into, std::size_t size) {
  std::string text;
  for (auto& line : lines) text += line + "\n";
  if (into == nullptr || size == 0) return;
  std::size_t length = text.size() < size - 1 ? text.size() : size - 1;
  std::memcpy(into, text.data(), length);
  into[length] = 0;
}

std::uint64_t live_blocks(Kind kind) {
  std::uint64_t count = 0;
  for (auto& [base, block] : world().blocks) count += block->is_live && block->kind == kind;
  return count;
}

}  // namespace

API void fake_reset(std::uint64_t seed) {
  World& w = world();
  Lock lock(w.big);
  for (auto& op : w.pending) op->after.clear();
  w.pending.clear();
  for (auto& [handle, context] : w.contexts) {
    context->is_dead = true;
    context->of_thread.clear();
    context->legacy->context = nullptr;  // they hold each other
  }
  w.contexts.clear();
  w.streams.clear();
  w.events.clear();
  w.graphs.clear();
  w.execs.clear();
  w.modules.clear();
  w.functions.clear();
  w.pools.clear();
  w.captures.clear();
  w.damage.clear();
  w.unknown.clear();
  w.calls.clear();
  w.counts = Counts{};
  forget_memory();
  read_environment();
  w.seed = seed;
  w.dice.seed(seed);
  w.serial = w.op_number = w.capture_number = 0;  // weights follow the serial numbers
  ++w.generation;
}

API void fake_fail(const char* name, long nth, int code) {
  Lock lock(world().big);
  world().failures.push_back({name, nth, 0, code});
}

API void fake_mend() {
  Lock lock(world().big);
  world().failures.clear();
}

API void fake_policy(int policy) {
  Lock lock(world().big);
  world().policy = static_cast<Policy>(policy);
}

API std::uint64_t fake_calls(const char* name) {
  Lock lock(world().big);
  auto found = world().calls.find(base_name(name));
  return found == world().calls.end() ? 0 : found->second;
}

API std::uint64_t fake_damage(char* into, std::size_t size) {
  Lock lock(world().big);
  check_guards("all", nullptr);
  check_freed();
  write_lines(world().damage, into, size);
  return world().damage.size();
}

API std::uint64_t fake_unknown(char* into, std::size_t size) {
  Lock lock(world().big);
  write_lines(world().unknown, into, size);
  return world().unknown.size();
}

// contexts, streams, events, graphs, graph executables, modules, device blocks, pinned blocks, pending work, device bytes
API void fake_live(std::uint64_t* into) {
  World& w = world();
  Lock lock(w.big);
  std::uint64_t values[] = {w.contexts.size(), w.streams.size(), w.events.size(), w.graphs.size(), w.execs.size(),
                            w.modules.size(), live_blocks(Kind::device), live_blocks(Kind::pinned), w.pending.size(),
                            w.used_bytes};
  std::memcpy(into, values, sizeof(values));
}

// copies and bytes up, down, within the device, within the host; pageable copies, kernels, graphs
API void fake_counts(std::uint64_t* into) {
  Lock lock(world().big);
  const Counts& c = world().counts;
  std::uint64_t values[] = {c.copies[0], c.bytes[0], c.copies[1], c.bytes[1], c.copies[2], c.bytes[2],
                            c.copies[3], c.bytes[3], c.pageable, c.kernels, c.graphs};
  std::memcpy(into, values, sizeof(values));
}

API int fake_peek(void* into, std::uint64_t pointer, std::size_t size) {
  Lock lock(world().big);
  if (live_block(pointer, size) == nullptr) return kInvalidValue;
  OpenMemory open;
  std::memcpy(into, reinterpret_cast<const void*>(pointer), size);
  return kOk;
}

API int fake_poke(std::uint64_t pointer, const void* from, std::size_t size) {
  Lock lock(world().big);
  if (live_block(pointer, size) == nullptr) return kInvalidValue;
  OpenMemory open;
  std::memcpy(reinterpret_cast<void*>(pointer), from, size);
  return kOk;
}

API int fake_step() {
  Lock lock(world().big);
  OpenMemory open;
  return step(lock) ? 1 : 0;
}

API void fake_kernel(const char* name, Run run, unsigned count, const unsigned* sizes) {
  Lock lock(world().big);
  auto function = std::make_shared<Function>();
  function->name = name;
  function->run = run;
  function->sizes.assign(sizes, sizes + count);
  function->is_callback = true;
  world().registered[name] = function;
}
