#include "tensor/pending.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <mutex>
#include <vector>

#include "tensor/evaluate.h"
#include "tensor/trace.h"

namespace tn {

namespace {

/// Freed nodes of one thread, for its next ones, and the list of its release under way. Statics end after it: they do
/// without.
struct Pool {
  std::vector<void*> free;
  std::vector<Pending*> work;
  std::atomic<i64> alive = 0;  // made less freed by this thread, which alone writes it

  void count(i64 n) { alive.store(alive.load(std::memory_order_relaxed) + n, std::memory_order_relaxed); }
};

/// The pools of all threads, and the nodes of those that ended.
struct Pools {
  std::mutex mutex;
  std::vector<Pool*> list;
  std::atomic<i64> alive = 0;
};

Pools& pools() {
  static auto* p = new Pools;
  return *p;
}

constinit thread_local Pool* this_pool = nullptr;
constinit thread_local bool pool_ended = false;

struct PoolOwner {
  Pool pool;
  PoolOwner() {
    this_pool = &pool;
    std::lock_guard lock(pools().mutex);
    pools().list.push_back(&pool);
  }
  ~PoolOwner() {
    this_pool = nullptr;
    pool_ended = true;
    for (void* p : pool.free) ::operator delete(p);
    std::lock_guard lock(pools().mutex);
    std::erase(pools().list, &pool);
    pools().alive += pool.alive;
  }
  PoolOwner(const PoolOwner&) = delete;
  PoolOwner& operator=(const PoolOwner&) = delete;
};

[[gnu::noinline]] Pool* first_pool() {
  if (pool_ended) return nullptr;
  thread_local PoolOwner owner;
  return &owner.pool;
}

inline Pool* pool() { return this_pool ? this_pool : first_pool(); }

constexpr size_t kMostPooled = 4096;

Pending* make() {
  Pool* mine = pool();
  void* memory;
  if (!mine || mine->free.empty()) {
    memory = ::operator new(sizeof(Pending));
  } else {
    memory = mine->free.back();
    mine->free.pop_back();
  }
  if (mine)
    mine->count(1);
  else
    pools().alive++;
  return new (memory) Pending;
}

void destroy(Pending* p) {
  p->~Pending();
  Pool* mine = pool();
  if (mine)
    mine->count(-1);
  else
    pools().alive--;
  if (mine && mine->free.size() < kMostPooled)
    mine->free.push_back(p);
  else
    ::operator delete(p);
}

/// A get takes itself off its source's list, so that the source's run neither computes nor writes it.
void unlist(Pending* p) {
  Pending* source = p->few[0];
  if (source->state.load(std::memory_order_acquire) == State::done) return;
  std::lock_guard lock(nodes_mutex());
  if (source->gets) source->gets[p->result] = nullptr;
}

/// Frees what the node owns, its operands aside.
void drop_contents(Pending* p) {
  if (p->is(kGet) && p->operand_count) unlist(p);
  if (p->state.load(std::memory_order_acquire) == State::failed)
    delete p->error;
  else
    delete p->value;
  if (!p->type) delete[] p->gets;
}

}  // namespace

i64 live_nodes() {
  std::lock_guard lock(pools().mutex);
  i64 alive = pools().alive;
  for (const Pool* p : pools().list) alive += p->alive.load(std::memory_order_relaxed);
  return alive;
}

/// Frees everything on the list, and what only that referred to.
static void drain(std::vector<Pending*>& work) {
  constexpr size_t kCompact = 4096;
  for (size_t k = 0; k < work.size(); ++k) {
    Pending* p = work[k];
    drop_contents(p);
    auto drop = [&](Pending* q) {
      if (drop_reference(q)) work.push_back(q);
    };
    for (u32 i = 0; i < p->operand_count; ++i) drop(p->operands()[i]);
    if (p->operand_count > 2) delete[] p->many;
    if (p->type && p->gradient) drop(p->gradient);
    destroy(p);
    if (k >= kCompact) {
      work.erase(work.begin(), work.begin() + static_cast<std::ptrdiff_t>(k) + 1);
      k = static_cast<size_t>(-1);
    }
  }
  work.clear();
}

void release(Pending* first) {
  if (!drop_reference(first)) return;
  Pool* mine = pool();
  if (!mine) {
    std::vector<Pending*> work{first};
    return drain(work);
  }
  bool outermost = mine->work.empty();
  mine->work.push_back(first);
  if (outermost) drain(mine->work);  // else the loop further out comes to it
}

Pending* new_node(Type type, const Location& where) {
  Pending* p = make();
  p->type = type;
  p->where = where;
  return p;
}

Pending* new_value(Array value, const Location& where) {
  std::array<Dim, 8> dims;
  size_t rank = value.shape.size();
  Type type;
  if (rank <= dims.size()) {
    for (size_t i = 0; i < rank; ++i) dims[i] = value.shape[i];
    type = Type::tensor(value.dtype, std::span(dims.data(), rank));
  } else {
    type = Type::tensor(value.dtype, Shape(value.shape.begin(), value.shape.end()));
  }
  Pending* p = new_node(type, where);
  p->value = new Array(std::move(value));
  p->state.store(State::done, std::memory_order_release);
  if (inside_trace()) p->flags = kConstant;
  return p;
}

DType default_dtype(Arg::Kind kind) {
  if (kind == Arg::Kind::floating) return DType::f32;
  return kind == Arg::Kind::boolean ? DType::boolean : DType::i64;
}

static bool fits(i64 value, DType dtype) {
  switch (dtype) {
    case DType::i32: return value >= std::numeric_limits<i32>::min() && value <= std::numeric_limits<i32>::max();
    case DType::i8: return value >= -128 && value <= 127;
    case DType::u32: return value >= 0 && value <= i64{std::numeric_limits<u32>::max()};
    case DType::u8: return value >= 0 && value <= 255;
    default: return true;
  }
}

static Type scalar_type(DType dtype) {
  static const std::array<Type, kDTypeCount> types = [] {
    std::array<Type, kDTypeCount> made;
    for (int d = 0; d < kDTypeCount; ++d) made[static_cast<size_t>(d)] = Type::tensor(static_cast<DType>(d), {});
    return made;
  }();
  return types[static_cast<size_t>(dtype)];
}

Pending* new_literal(const Arg& number, DType dtype, std::string_view op) {
  bool integral = is_integer(dtype);
  if (!is_float(dtype) && number.kind() == Arg::Kind::floating)
    fail(op, "expected an integer for " + std::string(name(dtype)) + ", got " + std::to_string(number.floating()),
         number.where);
  if (integral && !fits(number.integer(), dtype))
    fail(op,
         "expected a number that fits " + std::string(name(dtype)) + ", got " + std::to_string(number.integer()) +
             "; use astype for a wider dtype",
         number.where);
  Pending* p = make();
  p->type = scalar_type(dtype);
  p->flags = kLiteral | kConstant;
  p->where = number.where;
  if (is_float(dtype))
    p->floating = number.floating();
  else
    p->integer = number.integer();
  return p;
}

Array literal_array(const Pending* p) {
  Array a = Array::empty(p->type.dtype(), {});
  if (is_float(a.dtype))
    a.set(0, p->floating);
  else
    a.set_int(0, p->integer);
  return a;
}

/// Runs operands at the end of a chain that is long enough, so that chains stay short.
static void shorten(std::span<Pending* const> operands, const Location& where) {
  for (Pending* p : operands)
    if (p->depth.load(std::memory_order_relaxed) >= kGreatestDepth) evaluate({&p, 1}, where);
}

Pending* new_operation(const OpDef& op, std::span<Pending* const> operands, Type type, Attrs attrs,
                       const Location& where) {
  u32 depth = 0;
  u64 level = 0;
  u8 constant = kConstant, no_value = 0;
  for (Pending* c : operands) {
    depth = std::max(depth, c->depth.load(std::memory_order_relaxed));
    level = std::max(level, c->level);
    constant &= c->flags;
    no_value |= c->flags & kNoValue;
  }
  if (depth >= kGreatestDepth && !no_value && !keeps_operands(level)) {
    shorten(operands, where);
    depth = 0;
  }
  Pending* p = make();
  p->op = &op;
  p->type = type;
  p->attrs = std::move(attrs);
  p->where = where;
  p->operand_count = static_cast<u32>(operands.size());
  p->depth.store(depth + 1, std::memory_order_relaxed);
  p->level = level;
  p->flags = no_value;
  if (constant && inside_trace()) p->flags |= kConstant;
  Pending** to = p->few;
  if (operands.size() > 2) to = p->many = new Pending*[operands.size()];
  for (size_t i = 0; i < operands.size(); ++i) {
    retain(operands[i]);
    to[i] = operands[i];
  }
  return p;
}

std::vector<Pending*> new_gets(Pending* node, std::span<const Type> types) {
  std::vector<Pending*> made;
  made.reserve(types.size());
  for (u32 k = 0; k < types.size(); ++k) {
    Pending* p = make();
    p->op = node->op;
    p->type = types[k];
    p->where = node->where;
    p->flags = static_cast<u8>(kGet | (node->flags & (kConstant | kNoValue)));
    p->result = k;
    p->operand_count = 1;
    p->few[0] = node;
    retain(node);
    p->level = node->level;
    p->depth.store(node->depth.load(std::memory_order_relaxed), std::memory_order_relaxed);
    made.push_back(p);
  }
  node->result = static_cast<u32>(types.size());
  node->gets = new Pending*[types.size()];
  std::copy(made.begin(), made.end(), node->gets);
  return made;
}

Pending* resolve(Pending* p) {
  while (p->is(kLeaf) && p->operand_count && p->state.load(std::memory_order_acquire) != State::done) p = p->few[0];
  return p;
}

Pending* node_of(const Tensor& x, std::string_view op, const Location& where) {
  if (!x.defined()) fail(op, "expected a tensor, got one without a value", where);
  return x.node();
}

}  // namespace tn
