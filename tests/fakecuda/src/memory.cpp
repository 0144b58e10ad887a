// Device and pinned memory: poisoned when fresh and when freed, with guard bytes, never handed out twice.
//
// Note [Closed memory]
//   Device memory lies in an arena that the host cannot touch (PROT_NONE) but while a copy, a kernel or a host function
//   runs: a program that reads a device pointer dies here as it would on a GPU. FAKE_PROTECT=0 leaves it open.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>

#include "world.h"

namespace fake {
namespace {

constexpr std::size_t kRoom = std::size_t{1} << 40;  // addresses, not memory
constexpr std::size_t kQuarantineBytes = std::size_t{64} << 20;
constexpr std::size_t kPage = 4096;

struct Arena {
  std::uintptr_t base = 0, top = 0, opened = 0;

  void prepare(int protection) {
    if (base != 0) return;
    void* made = mmap(nullptr, kRoom, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) {
      std::fprintf(stderr, "fakecuda: no address space\n");
      std::abort();
    }
    base = top = reinterpret_cast<std::uintptr_t>(made);
  }
};

Arena device_arena, host_arena;
int openings = 0;
std::deque<std::shared_ptr<Block>>& quarantine = *new std::deque<std::shared_ptr<Block>>;  // outlives exit: threads run on
std::size_t quarantined = 0;

bool is_protected() {
  static const bool answer = [] {
    const char* text = std::getenv("FAKE_PROTECT");
    return text == nullptr || std::strcmp(text, "0") != 0;
  }();
  return answer;
}

void protect(int protection) {
  if (!is_protected() || device_arena.base == 0) return;
  std::size_t size = (device_arena.top - device_arena.base + kPage - 1) / kPage * kPage;
  if (size != 0) mprotect(reinterpret_cast<void*>(device_arena.base), size, protection);
}

unsigned char* bytes_of(std::uintptr_t address) { return reinterpret_cast<unsigned char*>(address); }

std::size_t tail_of(const Block& block) { return block.room - kGuard - block.size; }

bool is_filled(std::uintptr_t begin, std::size_t size, int byte) {
  const unsigned char* at = bytes_of(begin);
  for (std::size_t i = 0; i < size; ++i)
    if (at[i] != byte) return false;
  return true;
}

void check_block(const std::shared_ptr<Block>& block, const std::string& after, Context* blame) {
  bool before = is_filled(block->base - kGuard, kGuard, kEdge);
  bool behind = is_filled(block->base + block->size, tail_of(*block), kEdge);
  if (before && behind) return;
  std::memset(bytes_of(block->base - kGuard), kEdge, kGuard);
  std::memset(bytes_of(block->base + block->size), kEdge, tail_of(*block));
  harm("bytes " + std::string(before ? "behind" : "before") + " an allocation of " + std::to_string(block->size) +
           " bytes were overwritten (seen after " + after + ")", blame);
}

void leave_quarantine(const std::shared_ptr<Block>& block) {
  if (!is_filled(block->base, block->size, kFreed))
    harm("an allocation of " + std::to_string(block->size) + " bytes was written after it was freed", nullptr);
}

}  // namespace

OpenMemory::OpenMemory() {
  if (openings++ == 0) protect(PROT_READ | PROT_WRITE);
}

OpenMemory::~OpenMemory() {
  if (--openings == 0) protect(PROT_NONE);
}

bool is_device_address(std::uintptr_t address) { return address >= device_arena.base && address < device_arena.top; }

std::shared_ptr<Block> allocate(std::size_t size, Kind kind, const std::shared_ptr<Context>& context) {
  bool on_device = kind == Kind::device;
  World& w = world();
  if (size == 0 || (on_device && w.used_bytes + size > w.total_bytes)) return nullptr;
  Arena& arena = on_device ? device_arena : host_arena;
  arena.prepare(on_device && is_protected() ? PROT_NONE : PROT_READ | PROT_WRITE);
  auto block = std::make_shared<Block>();
  std::size_t room = kGuard + (size + 2 * kGuard - 1) / kGuard * kGuard;
  if (arena.top + room > arena.base + kRoom) return nullptr;
  block->base = arena.top + kGuard;
  block->size = size;
  block->room = room;
  block->kind = kind;
  block->context = context;
  if (openings > 0 && on_device && is_protected()) {  // the open part grows
    std::uintptr_t page = arena.top / kPage * kPage;
    mprotect(bytes_of(page), (arena.top + room - page + kPage - 1) / kPage * kPage, PROT_READ | PROT_WRITE);
  }
  arena.top += room;
  OpenMemory open;
  std::memset(bytes_of(block->base - kGuard), kEdge, kGuard);
  std::memset(bytes_of(block->base), kFresh, size);
  std::memset(bytes_of(block->base + size), kEdge, tail_of(*block));
  if (on_device) w.used_bytes += size;
  w.blocks[block->base] = block;
  return block;
}

void release(const std::shared_ptr<Block>& block) {
  World& w = world();
  block->is_live = false;
  if (block->kind == Kind::registered) {
    w.blocks.erase(block->base);
    return;
  }
  OpenMemory open;
  check_block(block, "its release", block->context.get());
  std::memset(bytes_of(block->base), kFreed, block->size);
  if (block->kind == Kind::device) w.used_bytes -= block->size;
  quarantine.push_back(block);
  quarantined += block->size;
  while (quarantined > kQuarantineBytes && quarantine.size() > 1) {
    auto oldest = quarantine.front();
    leave_quarantine(oldest);
    quarantine.pop_front();
    quarantined -= oldest->size;
    w.blocks.erase(oldest->base);
    std::uintptr_t first = (oldest->base + kPage - 1) / kPage * kPage, end = (oldest->base + oldest->size) / kPage * kPage;
    if (end > first) madvise(bytes_of(first), end - first, MADV_DONTNEED);
  }
}

std::shared_ptr<Block> block_at(std::uintptr_t address) {
  auto& blocks = world().blocks;
  auto next = blocks.upper_bound(address);
  if (next == blocks.begin()) return nullptr;
  auto block = std::prev(next)->second;
  return address < block->base + block->size ? block : nullptr;
}

std::shared_ptr<Block> live_block(std::uintptr_t address, std::size_t bytes) {
  auto block = block_at(address);
  bool is_born = block != nullptr && (block->born == nullptr || block->born->is_done);
  bool fits = block != nullptr && address + bytes <= block->base + block->size;
  return block != nullptr && block->is_live && is_born && fits ? block : nullptr;
}

void check_guards(const std::string& after, Context* blame) {
  OpenMemory open;
  for (auto& [base, block] : world().blocks)
    if (block->is_live && block->kind != Kind::registered) check_block(block, after, blame);
}

void check_freed() {
  OpenMemory open;
  for (auto& block : quarantine) {
    leave_quarantine(block);
    std::memset(bytes_of(block->base), kFreed, block->size);
  }
}

void harm(const std::string& what, Context* blame) {
  world().damage.push_back(what);
  log("DAMAGE: %s", what.c_str());
  if (blame != nullptr && blame->sticky == kOk) blame->sticky = kIllegalAddress;
}

void forget_memory() {
  World& w = world();
  w.blocks.clear();
  quarantine.clear();
  quarantined = w.used_bytes = 0;
  for (Arena* arena : {&device_arena, &host_arena}) {
    if (arena->base == 0) continue;
    std::size_t size = (arena->top - arena->base + kPage - 1) / kPage * kPage;
    if (size != 0) madvise(bytes_of(arena->base), size, MADV_DONTNEED);
    arena->top = arena->base;
  }
}

}  // namespace fake
