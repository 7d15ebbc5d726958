// Each element becomes an unsigned key whose order is the wanted one, so one sort serves all dtypes and directions:
// long lines by counting bytes from the lowest (passes in which all bytes are equal are left out), short ones by
// comparison. Keys that are equal keep their places' order either way.
#include "op/sort_kernel.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>
#include <utility>

#include "base/memory.h"

namespace tn {

namespace {

struct Entry {
  u64 key;
  i64 place;
};

constexpr u64 kLast = ~u64{0};

/// Monotone in the number; both zeros are one; NaN comes after all others.
u64 key_of(double v, bool descending) {
  if (std::isnan(v)) return kLast;
  auto bits = std::bit_cast<u64>(v == 0 ? 0.0 : v);
  u64 key = bits >> 63 ? ~bits : bits | u64{1} << 63;
  return descending ? ~key : key;
}

u64 key_of(i64 v, bool descending) {
  u64 key = static_cast<u64>(v) ^ u64 { 1 } << 63;
  return descending ? ~key : key;
}

void sort_by_bytes(std::span<Entry>& entries, std::span<Entry>& other) {
  std::array<std::array<size_t, 256>, 8> counts{};
  for (const Entry& e : entries)
    for (size_t digit = 0; digit < 8; ++digit) ++counts[digit][e.key >> 8 * digit & 255];
  for (size_t digit = 0; digit < 8; ++digit) {
    auto& count = counts[digit];
    if (count[entries[0].key >> 8 * digit & 255] == entries.size()) continue;
    size_t start = 0;
    for (size_t& c : count) start += std::exchange(c, start);
    for (const Entry& e : entries) other[count[e.key >> 8 * digit & 255]++] = e;
    std::swap(entries, other);
  }
}

constexpr size_t kShort = 256;

void sort_entries(std::span<Entry>& entries, std::span<Entry>& other) {
  if (entries.size() >= kShort) return sort_by_bytes(entries, other);
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return a.key != b.key ? a.key < b.key : a.place < b.place; });
}

}  // namespace

void sort_along(const Array& x, size_t axis, bool descending, const Array& values, const Array& places) {
  i64 n = x.shape[axis], stride = 1, lines = n ? x.size() / n : 0;
  for (size_t i = axis + 1; i < x.shape.size(); ++i) stride *= x.shape[i];
  bool floating = is_float(x.dtype);
  auto size = static_cast<size_t>(bytes(x.dtype));
  auto count = static_cast<size_t>(n);
  Scratch<Entry> first(count), second(count >= kShort ? count : 0);
  std::span<Entry> entries = first.span(), other = second.span();
  for (i64 line = 0; line < lines; ++line) {
    i64 start = line / stride * n * stride + line % stride;
    for (i64 k = 0; k < n; ++k) {
      i64 at = start + k * stride;
      u64 key = floating ? key_of(x.get(at), descending) : key_of(x.get_int(at), descending);
      entries[static_cast<size_t>(k)] = {key, k};
    }
    sort_entries(entries, other);
    for (i64 k = 0; k < n; ++k) {
      i64 from = entries[static_cast<size_t>(k)].place, to = start + k * stride;
      std::memcpy(values.bytes_begin() + static_cast<size_t>(to) * size,
                  x.bytes_begin() + static_cast<size_t>(start + from * stride) * size, size);
      places.data<i64>()[to] = from;
    }
  }
}

}  // namespace tn
