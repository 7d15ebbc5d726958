#include "base/stack.h"

#include <pthread.h>

namespace tn {

std::ptrdiff_t stack_left() {
  thread_local const char* const end = [] {
    pthread_attr_t attributes;
    void* lowest = nullptr;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return static_cast<const char*>(nullptr);
    pthread_attr_getstack(&attributes, &lowest, &size);
    pthread_attr_destroy(&attributes);
    return static_cast<const char*>(lowest);
  }();
  return static_cast<const char*>(__builtin_frame_address(0)) - end;
}

}  // namespace tn
