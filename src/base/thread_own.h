// What each thread has one of. Statics and handlers of exit run after the main thread's own destructors and may still
// compute: they get a new one, which stays.
#pragma once

namespace tn {

/// The calling thread's T, made at the first call.
template <class T>
T& thread_own() {
  constinit thread_local T* own = nullptr;
  constinit thread_local bool ended = false;
  if (own) return *own;
  struct End {
    ~End() {
      delete own;
      own = nullptr;
      ended = true;
    }
  };
  if (!ended) {
    thread_local End end;
    static_cast<void>(end);
  }
  own = new T;
  return *own;
}

}  // namespace tn
