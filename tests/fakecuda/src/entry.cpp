// How every call enters: lock, log, injected failures, context rules; and how entries are found.
#include <dlfcn.h>

#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <sstream>

#include "world.h"

namespace fake {
namespace {

std::FILE* log_file = nullptr;
int idle_ms = 30;
double last_call_ms = 0;

bool is_sticky(CUresult code) { return code == kIllegalAddress || (code >= 714 && code <= 719) || code == 214; }

CUresult injected(const char* name) {
  CUresult code = kOk;
  for (auto& failure : world().failures)
    if (base_name(failure.name) == base_name(name)) {
      ++failure.seen;
      if (failure.nth == 0 || failure.nth == failure.seen) code = failure.code;
    }
  if (code != kOk) {
    log("%s fails with %d, as asked", name, code);
    if (auto context = current(); context != nullptr && is_sticky(code)) context->sticky = code;
  }
  return code;
}

long number_of(const char* name, long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == 0 ? otherwise : std::strtol(text, nullptr, 10);
}

void read_failures(const char* text) {
  std::istringstream items(text);
  for (std::string item; std::getline(items, item, ',');) {
    Failure failure;
    std::istringstream parts(item);
    std::string nth, code;
    if (!std::getline(parts, failure.name, ':') || !std::getline(parts, nth, ':') || !std::getline(parts, code)) {
      std::fprintf(stderr, "fakecuda: FAKE_FAIL is NAME:NTH:CODE,...; got '%s'\n", item.c_str());
      std::abort();
    }
    failure.nth = nth == "*" ? 0 : std::strtol(nth.c_str(), nullptr, 10);
    failure.code = static_cast<CUresult>(std::strtol(code.c_str(), nullptr, 10));
    world().failures.push_back(failure);
  }
}

void run_when_idle() {
  for (;;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(idle_ms / 3 + 1));
    Lock lock(world().big);
    while (now_ms() - last_call_ms > idle_ms && step(lock)) {
    }
  }
}

// Names whose newer forms have another signature: the form that a program built against `version` of CUDA means.
std::string form_of(const std::string& name, int version) {
  static const std::map<std::string, std::vector<std::pair<int, const char*>>> forms = {
      {"cuCtxCreate", {{3020, "_v2"}, {11040, "_v3"}, {12050, "_v4"}}},
      {"cuStreamGetCaptureInfo", {{10010, ""}, {11030, "_v2"}, {12030, "_v3"}}},
      {"cuGraphInstantiate", {{10000, "_v2"}, {12000, "WithFlags"}}},
      {"cuStreamGetCtx", {{9020, ""}, {12050, "_v2"}}},
      {"cuGetProcAddress", {{11030, ""}, {12000, "_v2"}}},
  };
  auto found = forms.find(name);
  if (found == forms.end()) return "";
  std::string form = name + found->second.front().second;
  for (auto& [since, suffix] : found->second)
    if (version >= since) form = name + suffix;
  return form;
}

void* entry_of(const std::string& name, int version) {
  static void* self = [] {
    Dl_info info;
    dladdr(reinterpret_cast<void*>(&read_environment), &info);
    return dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
  }();
  if (std::string form = form_of(name, version); !form.empty()) return dlsym(self, form.c_str());
  for (const char* suffix : {"_v4", "_v3", "_v2", ""})
    if (void* found = dlsym(self, (name + suffix).c_str()); found != nullptr) return found;
  return nullptr;
}

}  // namespace

World& world() {
  static World& the_only_one = *new World;  // outlives exit: threads run on
  return the_only_one;
}

std::string base_name(const std::string& name) {
  auto at = name.rfind("_v");
  bool is_version = at != std::string::npos && at + 2 < name.size() &&
                    name.find_first_not_of("0123456789", at + 2) == std::string::npos;
  return is_version ? name.substr(0, at) : name;
}

void log(const char* format, ...) {
  if (log_file == nullptr) return;
  va_list list;
  va_start(list, format);
  std::fputs("[fake] ", log_file);
  std::vfprintf(log_file, format, list);
  std::fputc('\n', log_file);
  std::fflush(log_file);
  va_end(list);
}

void read_environment() {
  World& w = world();
  const char* target = std::getenv("FAKE_LOG");
  if (target != nullptr && *target != 0 && log_file == nullptr)
    log_file = std::strcmp(target, "1") == 0 ? stderr : std::fopen(target, "a");
  w.seed = static_cast<std::uint64_t>(number_of("FAKE_SEED", 0));
  w.dice.seed(w.seed);
  w.device_count = static_cast<int>(number_of("FAKE_DEVICES", 1));
  w.driver_version = static_cast<int>(number_of("FAKE_DRIVER_VERSION", 13000));
  w.total_bytes = static_cast<std::size_t>(number_of("FAKE_TOTAL_MB", 2048)) << 20;
  idle_ms = static_cast<int>(number_of("FAKE_IDLE_MS", 200));
  if (const char* text = std::getenv("FAKE_CAPABILITY"); text != nullptr)
    std::sscanf(text, "%d.%d", &w.capability_major, &w.capability_minor);
  if (const char* text = std::getenv("FAKE_POLICY"); text != nullptr)
    w.policy = std::strcmp(text, "eager") == 0 ? Policy::eager : std::strcmp(text, "lazy") == 0 ? Policy::lazy : Policy::random;
  w.failures.clear();
  if (const char* text = std::getenv("FAKE_FAIL"); text != nullptr && *text != 0) read_failures(text);
  w.primaries.assign(static_cast<std::size_t>(w.device_count), Primary{});
  w.default_pools.clear();
}

Call::Call(const char* name, int needs) : lock(world().big) {
  World& w = world();
  static bool is_read = (read_environment(), true);
  (void)is_read;
  ++w.calls[base_name(name)];
  last_call_ms = now_ms();
  log("%s", name);
  if (in_host_function()) {
    result = kNotPermitted;
    return;
  }
  if (result = injected(name); result != kOk) return;
  bool needs_context = (needs & kContext) != 0;
  if ((needs_context || (needs & kInit) != 0) && !w.is_initialized) {
    result = kNotInitialized;
    return;
  }
  if (needs_context) {
    context = current();
    if (context == nullptr) {
      result = kInvalidContext;
      return;
    }
    if (!context->is_dead && context->sticky == kOk) progress(lock);
    result = context->is_dead ? kContextDestroyed : context->sticky;
    if (result != kOk) return;
  }
  if ((needs & kUnsafe) != 0 && is_unsafe_now()) result = kCaptureUnsupported;
}

}  // namespace fake

using namespace fake;

API CUresult cuDevicePrimaryCtxRetain(void**, CUdevice);
API CUresult cuCtxSetCurrent(void*);

API CUresult fake_missing(const char* name) {  // what the generated entries return that fakecuda does not play
  Call call(name, kAnyTime);
  world().unknown.push_back(name);
  log("%s is not played by fakecuda", name);
  return call.result != kOk ? call.result : kNotSupported;
}

API CUresult cuInit(unsigned flags) {
  ENTER(kAnyTime);
  if (flags != 0) return kInvalidValue;
  if (world().device_count == 0) return kNoDevice;
  static bool has_thread = [] {
    if (idle_ms > 0) std::thread(run_when_idle).detach();
    return true;
  }();
  (void)has_thread;
  if (!world().is_initialized && std::getenv("FAKE_PRIMARY_ACTIVE") != nullptr) {
    world().is_initialized = true;
    void* context = nullptr;
    call.lock.unlock();  // another library came first
    cuDevicePrimaryCtxRetain(&context, 0);
    return cuCtxSetCurrent(context);
  }
  world().is_initialized = true;
  return kOk;
}

API CUresult cuDriverGetVersion(int* into) {
  ENTER(kAnyTime);
  if (into == nullptr) return kInvalidValue;
  *into = world().driver_version;
  return kOk;
}

API CUresult cuGetProcAddress(const char* name, void** into, int version, std::uint64_t) {
  ENTER(kAnyTime);
  if (name == nullptr || into == nullptr) return kInvalidValue;
  *into = entry_of(name, version);
  if (*into != nullptr) return kOk;
  log("unknown name: %s", name);
  world().unknown.push_back(name);
  return kNotFound;
}

API CUresult cuGetProcAddress_v2(const char* name, void** into, int version, std::uint64_t flags, int* status) {
  CUresult code = cuGetProcAddress(name, into, version, flags);
  if (code != kOk && code != kNotFound) return code;
  if (status != nullptr) *status = code == kNotFound ? 1 : 0;
  return kOk;  // "not found" is the status, not an error
}
