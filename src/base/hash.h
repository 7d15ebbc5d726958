// Hashing of words and bytes, the same on every machine.
#pragma once
#include <cstring>
#include <string_view>

#include "tenon/dtype.h"

namespace tn {

/// Folds v into h; good enough for tables, not for adversaries.
constexpr u64 mix(u64 h, u64 v) {
  h = (h ^ v) * 0x9E3779B97F4A7C15ull;
  return h ^ (h >> 29);
}

inline u64 hash_bytes(const void* data, size_t size, u64 h = 0x6A09E667F3BCC908ull) {
  const auto* p = static_cast<const unsigned char*>(data);
  for (; size >= 8; p += 8, size -= 8) {
    u64 word;
    std::memcpy(&word, p, 8);
    h = mix(h, word);
  }
  u64 tail = size;
  for (size_t i = 0; i < size; ++i) tail = tail << 8 | p[i];
  return mix(h, tail);
}

inline u64 hash_text(std::string_view text) { return hash_bytes(text.data(), text.size()); }

}  // namespace tn
