// Modules and kernels.
//
// Note [Images]
//   An image is "LMSHIM\0" and the path of a shared library: the kernels' source, compiled for the CPU. For each kernel
//   K it has K__run (runs the whole grid) and the array K__sizes (bytes of each argument, ended by 0: what a driver reads
//   from a cubin). The path "@" stands for the kernels that a test has registered.
// Note [Arguments]
//   They are copied at the launch, as the driver does, and a graph replays the copies. Each 8-byte word that lies in the
//   device's address range must point into live memory when the kernel runs; so a stale pointer in a graph is seen.
#include <dlfcn.h>

#include <cstdio>
#include <cstring>

#include "world.h"

namespace fake {
namespace {

struct Arguments {
  std::vector<std::uint64_t> bytes;  // each argument begins at a word of its own
  std::vector<std::size_t> begins;

  std::vector<void*> pointers() {
    std::vector<void*> list;
    for (std::size_t begin : begins) list.push_back(bytes.data() + begin);
    return list;
  }
};

std::shared_ptr<Module> load(const void* image, CUresult* code) {
  const char* text = static_cast<const char*>(image);
  *code = kInvalidImage;
  if (text == nullptr) return nullptr;
  if (std::memcmp(text, "LMSHIM", 7) != 0) {
    bool is_real = std::memcmp(text, "\x7f" "ELF", 4) == 0 || std::memcmp(text, "\x50\xed\x55\xba", 4) == 0 ||
                   std::memcmp(text, "//", 2) == 0 || text[0] == '.';
    if (is_real) *code = kNoBinary;  // a kernel for a real GPU
    return nullptr;
  }
  auto module = std::make_shared<Module>();
  module->path = text + 7;
  module->is_registry = module->path == "@";
  if (!module->is_registry) {
    module->library = dlopen(module->path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (module->library == nullptr) {
      std::fprintf(stderr, "fakecuda: %s\n", dlerror());
      return nullptr;
    }
  }
  *code = kOk;
  return module;
}

std::shared_ptr<Function> make_function(Module& module, const std::string& name, CUresult* code) {
  *code = kNotFound;
  if (module.is_registry) {
    auto found = world().registered.find(name);
    if (found == world().registered.end()) return nullptr;
    *code = kOk;
    return std::make_shared<Function>(*found->second);
  }
  auto run = reinterpret_cast<Run>(dlsym(module.library, (name + "__run").c_str()));
  if (run == nullptr) return nullptr;
  auto sizes = static_cast<const unsigned*>(dlsym(module.library, (name + "__sizes").c_str()));
  if (sizes == nullptr) {
    std::fprintf(stderr, "fakecuda: %s has %s__run but no %s__sizes\n", module.path.c_str(), name.c_str(), name.c_str());
    *code = kInvalidImage;
    return nullptr;
  }
  auto made = std::make_shared<Function>();
  made->name = name;
  made->run = run;
  for (; *sizes != 0; ++sizes) made->sizes.push_back(*sizes);
  *code = kOk;
  return made;
}

}  // namespace

CUresult get_function(void** into, void* handle, const char* name) {
  auto module = find(world().modules, handle);
  if (module == nullptr) return kInvalidHandle;
  if (into == nullptr || name == nullptr) return kInvalidValue;
  auto& function = module->functions[name];
  CUresult code = kOk;
  if (function == nullptr) function = make_function(*module, name, &code);
  if (function == nullptr) {
    module->functions.erase(name);
    return code;
  }
  function->module = module.get();
  *into = keep(world().functions, function);
  return kOk;
}

CUresult unload(void* handle) {
  auto module = find(world().modules, handle);
  if (module == nullptr) return kInvalidHandle;
  for (auto& [name, function] : module->functions) world().functions.erase(function.get());
  world().modules.erase(handle);  // never dlclosed: launches may be under way
  return kOk;
}

CUresult load_into(void** into, const void* image) {
  CUresult code = kOk;
  auto module = load(image, &code);
  if (module != nullptr) *into = keep(world().modules, module);
  return code;
}

namespace {

std::size_t offset_of(const Function& function, std::size_t index) {  // in the packed block of cuLaunchKernel's `extra`
  std::size_t at = 0;
  for (std::size_t i = 0;; ++i) {
    std::size_t size = function.sizes[i];
    std::size_t align = size % 8 == 0 ? 8 : size % 4 == 0 ? 4 : size % 2 == 0 ? 2 : 1;
    at = (at + align - 1) / align * align;
    if (i == index) return at;
    at += size;
  }
}

std::shared_ptr<Arguments> take_arguments(const Function& function, void** parameters, void** extra) {
  const unsigned char* packed = nullptr;
  for (void** item = extra; parameters == nullptr && item != nullptr && *item != nullptr; item += 2)
    if (reinterpret_cast<std::uintptr_t>(*item) == 1) packed = static_cast<const unsigned char*>(item[1]);
  if (parameters == nullptr && packed == nullptr && !function.sizes.empty()) return nullptr;
  auto made = std::make_shared<Arguments>();
  for (std::size_t i = 0; i < function.sizes.size(); ++i) {
    const void* from = parameters != nullptr ? parameters[i] : packed + offset_of(function, i);
    if (from == nullptr) return nullptr;
    made->begins.push_back(made->bytes.size());
    made->bytes.resize(made->bytes.size() + (function.sizes[i] + 7) / 8);
    std::memcpy(made->bytes.data() + made->begins.back(), from, function.sizes[i]);
  }
  return made;
}

bool are_pointers_live(const Function& function, const Arguments& arguments, Context* context) {
  for (std::size_t i = 0; i < arguments.begins.size(); ++i)
    for (std::size_t word = 0; word < function.sizes[i] / 8; ++word) {
      std::uint64_t value = arguments.bytes[arguments.begins[i] + word];
      if (!is_device_address(value) || live_block(value, 1) != nullptr) continue;
      harm("kernel " + function.name + ": argument " + std::to_string(i) +
               " points to device memory that is freed or not yet allocated", context);
      return false;
    }
  return true;
}

}  // namespace

CUresult launch(Call& call, const void* handle, const unsigned* grid, const unsigned* block, unsigned shared,
                const void* stream_handle, void** parameters, void** extra) {
  auto function = find(world().functions, handle);
  if (function == nullptr) return kInvalidHandle;
  std::shared_ptr<Stream> stream;
  if (CUresult code = stream_of(stream_handle, call.context, &stream); code != kOk) return code;
  std::uint64_t threads = std::uint64_t{block[0]} * block[1] * block[2];
  bool fits = threads > 0 && threads <= 1024 && block[2] <= 64 && grid[0] > 0 && grid[1] > 0 && grid[2] > 0 &&
              grid[0] <= 2147483647u && grid[1] <= 65535 && grid[2] <= 65535;
  if (!fits || shared > static_cast<unsigned>(function->most_shared)) return kInvalidValue;
  auto arguments = take_arguments(*function, parameters, extra);
  if (arguments == nullptr) return kInvalidValue;
  unsigned g[] = {grid[0], grid[1], grid[2]}, b[] = {block[0], block[1], block[2]};
  std::vector<unsigned> size = {g[0], g[1], g[2], b[0], b[1], b[2], shared};
  Context* context = stream->context.get();
  return submit(stream, 0, "kernel " + function->name, [=](Lock& lock) {
    if (!are_pointers_live(*function, *arguments, context)) return;
    Arguments mine = *arguments;
    auto pointers = mine.pointers();
    auto run = [&] { function->run(size[0], size[1], size[2], size[3], size[4], size[5], size[6], pointers.data()); };
    if (function->is_callback)
      run_host_function(lock, run);
    else
      run();
    ++world().counts.kernels;
    check_guards("kernel " + function->name, context);
  });
}

CUresult attribute(int* into, int which, const Function* function) {
  if (function == nullptr) return kInvalidHandle;
  static const std::map<int, int> values = {{0, 1024}, {1, 0}, {2, 0}, {3, 0}, {4, 32}, {5, 90}, {6, 90}, {7, 0}, {9, -1}};
  auto found = values.find(which);
  *into = which == 8 ? function->most_shared : found == values.end() ? 0 : found->second;
  return kOk;
}

CUresult set_attribute(Function* function, int which, int value) {
  if (function == nullptr) return kInvalidHandle;
  if (which == 8 && (value < 0 || value > 227 << 10)) return kInvalidValue;
  if (which == 8) function->most_shared = value;
  return kOk;
}

CUresult module_into(void** into, const void* handle) {
  Function* function = function_of(handle);
  if (function == nullptr) return kInvalidHandle;
  *into = function->module;
  return kOk;
}

CUresult name_into(const char** into, const void* handle) {
  Function* function = function_of(handle);
  if (function == nullptr) return kInvalidHandle;
  *into = function->name.c_str();
  return kOk;
}

CUresult parameter(const Function* function, std::size_t index, std::size_t* offset, std::size_t* size) {
  if (function == nullptr) return kInvalidHandle;
  if (index >= function->sizes.size()) return kInvalidValue;
  if (offset != nullptr) *offset = offset_of(*function, index);
  if (size != nullptr) *size = function->sizes[index];
  return kOk;
}

Function* function_of(const void* handle) { return find(world().functions, handle).get(); }

}  // namespace fake
