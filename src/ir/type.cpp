// Types are interned: a global table under one lock, with a small thread-local cache in front that answers repeated
// questions in a few nanoseconds.
#include "tenon/type.h"

#include <array>
#include <deque>
#include <mutex>
#include <unordered_map>

#include "base/hash.h"
#include "tenon/error.h"

namespace tn {

struct TypeData {
  Type::Kind kind;
  DType dtype;
  Shape shape;
  u64 hash;
};

namespace {

u64 hash_type(Type::Kind kind, DType dtype, std::span<const Dim> shape) {
  u64 h = static_cast<u64>(kind) << 8 | static_cast<u64>(dtype);
  for (Dim d : shape) h = mix(h, d.bits());
  return mix(h, shape.size());
}

bool same(const TypeData& t, Type::Kind kind, DType dtype, std::span<const Dim> shape) {
  return t.kind == kind && t.dtype == dtype && std::equal(shape.begin(), shape.end(), t.shape.begin(), t.shape.end());
}

struct TypeTable {
  std::mutex mutex;
  std::unordered_multimap<u64, const TypeData*> index;
  std::deque<TypeData> types;
};

TypeTable& table() {
  static auto* t = new TypeTable;  // types outlive every static that may use them
  return *t;
}

const TypeData* intern(Type::Kind kind, DType dtype, std::span<const Dim> shape) {
  thread_local std::array<const TypeData*, 256> recent{};
  u64 h = hash_type(kind, dtype, shape);
  const TypeData*& slot = recent[h % recent.size()];
  if (slot && slot->hash == h && same(*slot, kind, dtype, shape)) return slot;
  TypeTable& t = table();
  std::lock_guard lock(t.mutex);
  auto [first, last] = t.index.equal_range(h);
  for (; first != last; ++first)
    if (same(*first->second, kind, dtype, shape)) return slot = first->second;
  t.types.push_back({kind, dtype, Shape(shape.begin(), shape.end()), h});
  return slot = t.index.emplace(h, &t.types.back())->second;
}

}  // namespace

Type Type::tensor(DType dtype, std::span<const Dim> shape) {
  for (Dim d : shape)
    if (d.is_constant() && d.value() < 0)
      fail("type", "expected extents of at least 0, got " + tn::to_string(d) + " in a shape of rank " +
                       std::to_string(shape.size()));
  return Type(intern(Kind::tensor, dtype, shape));
}

Type Type::token() { return Type(intern(Kind::token, DType::boolean, {})); }
Type::Kind Type::kind() const { return data_->kind; }
DType Type::dtype() const { return data_->dtype; }
std::span<const Dim> Type::shape() const { return data_->shape; }
Dim Type::size() const { return product(data_->shape); }

std::string to_string(Type t) {
  if (!t) return "no type";
  if (t.kind() == Type::Kind::token) return "token";
  std::string text(name(t.dtype()));
  text += "[";
  for (int i = 0; i < t.rank(); ++i) text += (i ? ", " : "") + to_string(t.dim(i));
  return text + "]";
}

bool differentiable(Type t) { return t.is_tensor() && is_float(t.dtype()); }

}  // namespace tn
