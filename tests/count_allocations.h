// Counts what an executable allocates, by its operators new; a sanitizer, which has its own, by the hook that it calls.
// For one source file of an executable.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <new>

#include "base/sanitizer.h"

static std::atomic<bool> counting_allocations{false};
static std::atomic<size_t> counted_allocations{0};

static void count_allocation() {
  if (counting_allocations.load(std::memory_order_relaxed)) ++counted_allocations;
}

#if TENON_SANITIZED
extern "C" __attribute__((visibility("default"))) void __sanitizer_malloc_hook(const volatile void*, size_t) {
  count_allocation();
}
#else
static void* allocate_counted(size_t bytes, size_t alignment) {
  count_allocation();
  return std::aligned_alloc(alignment, (std::max<size_t>(bytes, 1) + alignment - 1) / alignment * alignment);
}
static void* counted_or_throw(size_t bytes, size_t alignment) {
  if (void* p = allocate_counted(bytes, alignment)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(size_t bytes) { return counted_or_throw(bytes, 16); }
[[gnu::noinline]] void* operator new(size_t bytes, std::align_val_t a) {
  return counted_or_throw(bytes, static_cast<size_t>(a));
}
[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept {
  return allocate_counted(bytes, 16);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t, std::align_val_t) noexcept { std::free(p); }
#endif

/// What `work` allocates, on all threads.
template <class Work>
size_t allocations_of(Work work) {
  counted_allocations = 0;
  counting_allocations = true;
  work();
  counting_allocations = false;
  return counted_allocations;
}
