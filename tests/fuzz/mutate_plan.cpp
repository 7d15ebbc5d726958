// Mutations of plan files that keep the frame's size and checksum right: what is behind them has to be as hard.
#include <algorithm>
#include <cstring>

#include "engine/plan_file.h"
#include "targets.h"

namespace tn::fuzz {

namespace {

constexpr size_t kSizeAt = 16, kSumAt = 24, kHead = 32;

/// The number written at or after `at` becomes another.
void change_digits(std::string& s, size_t at, Random& random) {
  constexpr const char* kEdges[] = {
      "0", "-1", "1", "2", "7", "64", "2147483648", "4611686018427387904", "99999999999999999999"};
  size_t from = s.find_first_of("0123456789", at);
  if (from == s.npos) return;
  size_t to = std::min(s.find_first_not_of("0123456789", from), s.size());
  s.replace(from, to - from, kEdges[random.below(std::size(kEdges))]);
}

}  // namespace

std::string mutated_plan(std::string_view bytes, u64 seed) {
  std::string s(bytes);
  if (s.size() <= kHead) return s;
  Random random{seed};
  for (u64 n = 1 + seed % 3; n > 0; --n) {
    size_t at = kHead + random.below(s.size() - kHead);
    switch (random.below(5)) {
      case 0: s[at] = static_cast<char>(s[at] ^ 1 << random.below(8)); break;
      case 1: s.erase(at, 1 + random.below(8)); break;
      case 2: s.insert(at, s.substr(at, 1 + random.below(16))); break;
      default: change_digits(s, at, random);
    }
    if (s.size() <= kHead) return s;
  }
  u64 size = s.size();
  std::memcpy(&s[kSizeAt], &size, sizeof size);
  u64 sum = engine::checksum(std::string_view(s).substr(kHead));
  std::memcpy(&s[kSumAt], &sum, sizeof sum);
  return s;
}

}  // namespace tn::fuzz
