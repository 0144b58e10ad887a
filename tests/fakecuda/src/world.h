// What fakecuda knows: contexts, streams, events, memory, pending work. One lock guards all of it.
//
// Note [Order]
//   Every piece of work is an Op that names the Ops it must come after: the one before it in its stream, what its
//   stream waited for, and what the legacy stream's rules add. Nothing runs when it is enqueued. Calls run some Ops
//   that are ready, picked at random by a seed, and a call that waits runs random ready Ops until what it waits for
//   is done. So two Ops that no rule orders come in either order, and a missing wait shows for some seed. Each stream
//   has a weight of its own a seed: whole streams lag behind others, as they do on a GPU.
// Note [Idle]
//   A program may wait, without a call of ours, for something that a host function does. A thread of ours runs what
//   is ready after FAKE_IDLE_MS (default 30) without a call.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "abi.h"

#define API extern "C" __attribute__((visibility("default")))

namespace fake {

using Lock = std::unique_lock<std::mutex>;

struct Context;
struct Op;
using OpRef = std::shared_ptr<Op>;
using Body = std::function<void(Lock&)>;

struct Op {
  std::uint64_t number = 0;
  std::string what;
  std::shared_ptr<Context> context;
  std::uint64_t lane = 0;  // its stream's serial number: picks the weight
  std::vector<OpRef> after;
  Body body;
  bool is_done = false, is_running = false;
  double finished_ms = 0;
};

struct Node {
  int type = 0;  // CUgraphNodeType: kernel 0, memcpy 1, memset 2, host 3, empty 5
  std::string what;
  Body body;
  std::vector<std::size_t> after;
};

struct Graph {
  std::vector<Node> nodes;
  std::vector<std::unique_ptr<std::size_t>> handles;  // what a CUgraphNode points at: the node's number
};

struct GraphExec {
  std::vector<Node> nodes;
  std::shared_ptr<Context> context;
  OpRef last;  // launches of one graph run one after another
};

struct Stream;

struct Capture {
  std::uint64_t number = 0;
  int mode = kCaptureGlobal;
  std::thread::id thread;
  std::shared_ptr<Stream> origin;
  std::shared_ptr<Graph> graph = std::make_shared<Graph>();
  std::vector<std::shared_ptr<Stream>> streams;
  bool is_invalid = false, is_over = false;
};

struct Stream {
  std::uint64_t serial = 0;
  std::shared_ptr<Context> context;
  unsigned flags = 0;  // 1: non-blocking
  int priority = 0;
  bool is_legacy = false;
  OpRef last;
  std::vector<OpRef> waits;  // what the next Op must come after besides `last`
  std::shared_ptr<Capture> capture;
  std::vector<std::size_t> tail;  // nodes that the next captured one comes after
};

struct Event {
  std::shared_ptr<Context> context;
  unsigned flags = 0;  // 2: no timing
  OpRef record;
  std::shared_ptr<Capture> capture;
  std::vector<std::size_t> nodes;
};

struct Context {
  std::uint64_t serial = 0;
  int device = 0;
  unsigned flags = 0;
  bool is_primary = false, is_dead = false;
  CUresult sticky = kOk;
  std::shared_ptr<Stream> legacy;
  std::map<std::thread::id, std::shared_ptr<Stream>> of_thread;
  std::map<int, std::size_t> limits;
  std::vector<std::weak_ptr<Stream>> streams;
};

struct Primary {
  std::shared_ptr<Context> context;
  unsigned flags = 0;
  int users = 0;
};

enum class Kind { device, pinned, registered };

struct Block {
  std::uintptr_t base = 0;
  std::size_t size = 0, room = 0;  // room: with guards, from base - kGuard
  Kind kind = Kind::device;
  std::shared_ptr<Context> context;
  bool is_live = true;
  OpRef born;  // the allocation's place in its stream; null: at once
  unsigned flags = 0;
};

using Run = void (*)(unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void**);

struct Function {
  std::string name;
  Run run = nullptr;
  std::vector<unsigned> sizes;
  bool is_callback = false;  // needs other locks (Python's): runs without ours
  int most_shared = 48 << 10;
  struct Module* module = nullptr;
};

struct Module {
  void* library = nullptr;  // null with `is_registry`: kernels that tests registered
  bool is_registry = false;
  std::string path;
  std::map<std::string, std::shared_ptr<Function>> functions;
};

struct Pool {
  int device = 0;
  std::map<int, std::uint64_t> attributes;
};

struct Failure {
  std::string name;
  long nth = 0;  // 0: every time
  long seen = 0;
  CUresult code = kOk;
};

struct Counts {
  std::uint64_t copies[4] = {}, bytes[4] = {};  // HtoD, DtoH, DtoD, HtoH
  std::uint64_t pageable = 0, kernels = 0, graphs = 0;
};

enum class Policy { random, eager, lazy };

template <class T>
using Handles = std::unordered_map<const void*, std::shared_ptr<T>>;

struct World {
  std::mutex big;
  std::condition_variable changed;
  std::mt19937_64 dice{0};
  std::uint64_t seed = 0, serial = 0, op_number = 0, generation = 1, capture_number = 0, call_number = 0;
  Policy policy = Policy::random;
  bool is_initialized = false;
  int device_count = 1, driver_version = 13000, capability_major = 9, capability_minor = 0;
  std::size_t total_bytes = std::size_t{2048} << 20, used_bytes = 0;

  std::vector<OpRef> pending;
  Handles<Context> contexts;
  Handles<Stream> streams;
  Handles<Event> events;
  Handles<Graph> graphs;
  Handles<GraphExec> execs;
  Handles<Module> modules;
  Handles<Function> functions;
  Handles<Pool> pools;
  std::vector<Primary> primaries;
  std::vector<std::shared_ptr<Pool>> default_pools;
  std::vector<std::shared_ptr<Capture>> captures;
  std::map<std::uintptr_t, std::shared_ptr<Block>> blocks;
  std::map<std::string, std::shared_ptr<Function>> registered;

  std::vector<Failure> failures;
  std::map<std::string, std::uint64_t> calls;
  std::vector<std::string> damage, unknown;
  Counts counts;
};

World& world();

// --- memory.cpp ---
constexpr std::size_t kGuard = 512;
constexpr int kFresh = 0xCB, kFreed = 0xDD, kEdge = 0xFB;

struct OpenMemory {  // device memory can be touched while one of these lives
  OpenMemory();
  ~OpenMemory();
};

std::shared_ptr<Block> allocate(std::size_t size, Kind kind, const std::shared_ptr<Context>& context);
void release(const std::shared_ptr<Block>& block);
std::shared_ptr<Block> block_at(std::uintptr_t address);                      // the block that holds it, live or not
std::shared_ptr<Block> live_block(std::uintptr_t address, std::size_t bytes);  // null: not wholly inside a live one
bool is_device_address(std::uintptr_t address);
void check_guards(const std::string& after, Context* blame);
void check_freed();
void harm(const std::string& what, Context* blame);
void forget_memory();

// --- queue.cpp ---
OpRef enqueue(const std::shared_ptr<Stream>& stream, std::string what, Body body);
bool step(Lock& lock);
void progress(Lock& lock);
bool wait_until(Lock& lock, const std::function<bool()>& is_done);
CUresult wait_for(Lock& lock, const OpRef& op);
std::vector<OpRef> order_before(const std::shared_ptr<Stream>& stream);
OpRef add_op(std::string what, const std::shared_ptr<Context>& context, std::uint64_t lane, std::vector<OpRef> after, Body body);
double now_ms();
bool in_host_function();
void run_host_function(Lock& lock, const std::function<void()>& function);

// --- contexts.cpp ---
std::shared_ptr<Context> current();
std::shared_ptr<Stream> new_stream(const std::shared_ptr<Context>& context, unsigned flags, int priority);
CUresult stream_of(const void* handle, const std::shared_ptr<Context>& context, std::shared_ptr<Stream>* found);
void end_context(const std::shared_ptr<Context>& context);

// --- capture.cpp ---
bool is_unsafe_now();  // a call that capture modes prohibit; invalidates the captures that prohibit it
void invalidate(Capture& capture);
CUresult capture_node(Stream& stream, int type, std::string what, Body body, bool* was_captured);
CUresult capture_wait(const std::shared_ptr<Stream>& stream, Event& event, bool* was_captured);
bool captures_in(const Context& context, bool blocking_only, bool spoil);

// A captured call, or an Op in the stream. `op` may be null.
CUresult submit(const std::shared_ptr<Stream>& stream, int type, std::string what, Body body, OpRef* op = nullptr);


// for graph_calls.cpp
extern thread_local int thread_mode;
bool is_joined(const Capture& capture);
void finish(const std::shared_ptr<Capture>& capture);
void add_node(Graph& graph, Node node);
CUresult instantiate(void** into, void* handle, const std::shared_ptr<Context>& context);
void launch(GraphExec& exec, const std::shared_ptr<Stream>& stream);
CUresult capture_state(Stream& stream, int* state, unsigned long long* number);
Node* node_of(const void* handle);

// --- entry.cpp ---
enum : int { kAnyTime = 0, kInit = 1, kContext = 2, kUnsafe = 4 };

struct Call {  // one entered call: holds the lock, or holds the result that the call must end with
  Call(const char* name, int needs);
  Lock lock;
  std::shared_ptr<Context> context;
  CUresult result = kOk;
  int open = 0;
};

void log(const char* format, ...) __attribute__((format(printf, 1, 2)));
std::string base_name(const std::string& name);
void read_environment();

// --- modules.cpp ---
Function* function_of(const void* handle);
CUresult load_into(void** into, const void* image);
CUresult unload(void* handle);
CUresult get_function(void** into, void* handle, const char* name);
CUresult attribute(int* into, int which, const Function* function);
CUresult set_attribute(Function* function, int which, int value);
CUresult module_into(void** into, const void* handle);
CUresult name_into(const char** into, const void* handle);
CUresult parameter(const Function* function, std::size_t index, std::size_t* offset, std::size_t* size);
CUresult launch(Call& call, const void* function, const unsigned* grid, const unsigned* block, unsigned shared,
                const void* stream, void** parameters, void** extra);

template <class T>
T* keep(Handles<T>& table, const std::shared_ptr<T>& made) {
  table[made.get()] = made;
  return made.get();
}

template <class T>
std::shared_ptr<T> find(const Handles<T>& table, const void* handle) {
  auto found = table.find(handle);
  return found == table.end() ? nullptr : found->second;
}

}  // namespace fake

#define ENTER(needs)                \
  fake::Call call(__func__, needs); \
  if (call.result != kOk) return call.result
