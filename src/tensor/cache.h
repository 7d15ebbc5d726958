// A bounded table of shared values found by a list of words, compared in full; the least recently used half goes when
// it is full.
#pragma once
#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/hash.h"

namespace tn {

inline u64 hash_words(const std::vector<u64>& key) {
  u64 h = key.size();
  for (u64 word : key) h = mix(h, word);
  return h;
}

template <class T>
class WordCache {
 public:
  explicit WordCache(size_t capacity) : capacity_(capacity) {}

  std::shared_ptr<const T> find(u64 hash, const std::vector<u64>& key) {
    std::lock_guard lock(mutex_);
    auto [first, last] = entries_.equal_range(hash);
    for (; first != last; ++first)
      if (first->second.key == key) {
        first->second.used = ++clock_;
        return first->second.value;
      }
    return nullptr;
  }

  void keep(u64 hash, std::vector<u64> key, std::shared_ptr<const T> value) {
    std::vector<std::shared_ptr<const T>> dropped;  // freed after the lock
    std::lock_guard lock(mutex_);
    if (entries_.size() >= capacity_) halve(dropped);
    entries_.emplace(hash, Entry{std::move(key), std::move(value), ++clock_});
  }

  void clear() {
    std::unordered_multimap<u64, Entry> dropped;
    std::lock_guard lock(mutex_);
    std::swap(dropped, entries_);
  }

 private:
  struct Entry {
    std::vector<u64> key;
    std::shared_ptr<const T> value;
    u64 used;
  };

  void halve(std::vector<std::shared_ptr<const T>>& dropped) {
    std::vector<u64> times;
    for (const auto& e : entries_) times.push_back(e.second.used);
    auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    u64 limit = *middle;
    std::erase_if(entries_, [&](auto& e) {
      if (e.second.used >= limit) return false;
      dropped.push_back(std::move(e.second.value));
      return true;
    });
  }

  std::mutex mutex_;
  std::unordered_multimap<u64, Entry> entries_;
  size_t capacity_;
  u64 clock_ = 0;
};

}  // namespace tn
