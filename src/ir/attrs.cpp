// Attributes are interned in one table that holds them weakly: the last owner removes its entry.
#include "ir/attrs.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "base/hash.h"
#include "tenon/error.h"

namespace tn {

struct AttrsData {
  std::vector<NamedAttr> items;
  u64 hash;
  mutable std::atomic<u32> references{1};
};

namespace {

struct AttrsTable {
  std::mutex mutex;
  std::unordered_multimap<u64, AttrsData*> index;
};

AttrsTable& table() {
  static auto* t = new AttrsTable;
  return *t;
}

/// Dtype, shape and a sample of the bytes: large weights must not be read whole to be hashed.
u64 hash_array(const Array& a) {
  constexpr size_t kSample = 2048;
  u64 h = static_cast<u64>(a.dtype);
  for (i64 extent : a.shape) h = mix(h, static_cast<u64>(extent));
  size_t n = a.nbytes();
  if (n <= 2 * kSample) return hash_bytes(a.bytes_begin(), n, h);
  h = hash_bytes(a.bytes_begin(), kSample, h);
  return hash_bytes(a.bytes_begin() + n - kSample, kSample, h);
}

struct HashAttr {
  u64 operator()(bool v) const { return v; }
  u64 operator()(i64 v) const { return static_cast<u64>(v); }
  u64 operator()(double v) const { return std::bit_cast<u64>(v); }
  u64 operator()(const std::string& v) const { return hash_text(v); }
  u64 operator()(DType v) const { return static_cast<u64>(v); }
  u64 operator()(const std::vector<i64>& v) const { return hash_bytes(v.data(), v.size() * sizeof(i64)); }
  u64 operator()(const std::vector<double>& v) const { return hash_bytes(v.data(), v.size() * sizeof(double)); }
  u64 operator()(const Shape& v) const {
    u64 h = v.size();
    for (Dim d : v) h = mix(h, d.bits());
    return h;
  }
  u64 operator()(const Array& v) const { return hash_array(v); }
  u64 operator()(const GraphPtr& v) const { return reinterpret_cast<u64>(v.get()); }
};

struct SameAttr {
  template <class T>
  bool operator()(const T& a, const T& b) const {
    return a == b;
  }
  bool operator()(double a, double b) const { return std::bit_cast<u64>(a) == std::bit_cast<u64>(b); }
  bool operator()(const std::vector<double>& a, const std::vector<double>& b) const {
    return a.size() == b.size() && (a.empty() || !std::memcmp(a.data(), b.data(), a.size() * sizeof(double)));
  }
  bool operator()(const Array& a, const Array& b) const { return a == b || a.same_bits(b); }
  template <class T, class U>
  bool operator()(const T&, const U&) const {
    return false;
  }
};

bool same(const std::vector<NamedAttr>& a, const std::vector<NamedAttr>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const NamedAttr& x, const NamedAttr& y) {
    return x.first == y.first && x.second.index() == y.second.index() && std::visit(SameAttr{}, x.second, y.second);
  });
}

u64 hash_items(const std::vector<NamedAttr>& items) {
  u64 h = items.size();
  for (const auto& [key, value] : items)
    h = mix(mix(mix(h, hash_text(key)), value.index()), std::visit(HashAttr{}, value));
  return h;
}

/// Takes a reference unless the last one is just being given back.
bool acquire(const AttrsData& data) {
  u32 n = data.references.load(std::memory_order_relaxed);
  while (n && !data.references.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel)) {}
  return n != 0;
}

}  // namespace

Attrs::Attrs(std::vector<NamedAttr> items) {
  if (items.empty()) return;
  std::sort(items.begin(), items.end(), [](const NamedAttr& a, const NamedAttr& b) { return a.first < b.first; });
  for (size_t i = 1; i < items.size(); ++i)
    if (items[i].first == items[i - 1].first)
      fail("attrs", "expected each attribute once, got '" + items[i].first + "' twice");
  u64 h = hash_items(items);
  AttrsTable& t = table();
  std::lock_guard lock(t.mutex);
  auto [first, last] = t.index.equal_range(h);
  for (; first != last; ++first)
    if (same(first->second->items, items) && acquire(*first->second)) {
      data_ = first->second;
      return;
    }
  auto* made = new AttrsData{std::move(items), h};
  t.index.emplace(h, made);
  data_ = made;
}

Attrs::Attrs(const Attrs& other) : data_(other.data_) {
  if (data_) data_->references.fetch_add(1, std::memory_order_relaxed);
}

Attrs::~Attrs() {
  if (!data_ || data_->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  AttrsTable& t = table();
  {
    std::lock_guard lock(t.mutex);
    auto [first, last] = t.index.equal_range(data_->hash);
    for (; first != last; ++first)
      if (first->second == data_) {
        t.index.erase(first);
        break;
      }
  }
  delete data_;  // outside the lock: its items may hold graphs with attributes of their own
}

std::span<const NamedAttr> Attrs::items() const {
  if (!data_) return {};
  return data_->items;
}

const Attr* Attrs::find(std::string_view key) const {
  for (const auto& [n, value] : items())
    if (n == key) return &value;
  return nullptr;
}

Attrs Attrs::with(std::string_view key, Attr value) const {
  std::vector<NamedAttr> copy(items().begin(), items().end());
  auto found = std::find_if(copy.begin(), copy.end(), [&](const NamedAttr& a) { return a.first == key; });
  if (found != copy.end())
    found->second = std::move(value);
  else
    copy.emplace_back(std::string(key), std::move(value));
  return Attrs(std::move(copy));
}

Attrs Attrs::without(std::string_view key) const {
  std::vector<NamedAttr> copy(items().begin(), items().end());
  std::erase_if(copy, [&](const NamedAttr& a) { return a.first == key; });
  return Attrs(std::move(copy));
}

u64 Attrs::hash() const { return data_ ? data_->hash : 0; }

void Attrs::missing(std::string_view key) const {
  internal("attribute '" + std::string(key) + "' is missing or of another kind");
}

}  // namespace tn
