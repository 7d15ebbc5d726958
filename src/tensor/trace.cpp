#include "tensor/trace.h"

#include <algorithm>
#include <bit>
#include <mutex>
#include <utility>

#include "runtime/counters.h"
#include "tensor/cache.h"
#include "tensor/evaluate.h"
#include "tensor/record.h"
#include "transform/effects.h"

namespace tn {

// ---------------------------------------------------------------- open traces

namespace {

thread_local TraceState* innermost = nullptr;
std::atomic<u64> newest_level{kBackwardLevel};

struct OpenTraces {
  std::mutex mutex;
  std::vector<TraceState*> list;
};

OpenTraces& open_traces() {
  static auto* t = new OpenTraces;
  return *t;
}

/// The newest open trace that nodes of a level may depend on, or null; under the list's lock.
TraceState* newest_open(const OpenTraces& t, u64 level) {
  TraceState* found = nullptr;
  for (TraceState* s : t.list)
    if (s->level <= level && (!found || s->level > found->level)) found = s;
  return found;
}

}  // namespace

NoTrace::NoTrace() : hidden_(std::exchange(innermost, nullptr)) {}
NoTrace::~NoTrace() { innermost = hidden_; }

bool inside_trace() { return innermost; }
TraceState* current_trace() { return innermost; }

bool open_level(u64 level) {
  if (level <= kBackwardLevel) return level == kBackwardLevel;
  OpenTraces& t = open_traces();
  std::lock_guard lock(t.mutex);
  return std::any_of(t.list.begin(), t.list.end(), [&](TraceState* s) { return s->level == level; });
}

bool keeps_operands(u64 level) {
  if (level <= kBackwardLevel) return level == kBackwardLevel;
  OpenTraces& t = open_traces();
  std::lock_guard lock(t.mutex);
  return newest_open(t, level);
}

void keep_evaluated(Pending* p) {
  if (p->level <= kBackwardLevel) return;
  OpenTraces& t = open_traces();
  std::lock_guard lock(t.mutex);
  if (TraceState* s = newest_open(t, p->level)) s->evaluated.push_back(shared_handle(p));
}

TraceState::State(const char* name_, Rules rules_, Location where_)
    : name(name_), rules(rules_), where(where_), level(++newest_level), outer(innermost) {
  OpenTraces& t = open_traces();
  std::lock_guard lock(t.mutex);
  t.list.push_back(this);
  innermost = this;
}

TraceState::~State() { close(); }

/// Takes the operands off nodes that were kept for the trace; they are values from now on.
static void settle(std::vector<Tensor>& nodes) {
  std::vector<Pending*> dropped;
  {
    std::lock_guard lock(nodes_mutex());
    for (const Tensor& t : nodes) {
      Pending* p = t.node();
      if (p->is(kLeaf)) continue;
      dropped.insert(dropped.end(), p->operands(), p->operands() + p->operand_count);
      if (p->operand_count > 2) delete[] p->many;
      p->few[0] = p->few[1] = nullptr;
      p->operand_count = 0;
    }
  }
  for (Pending* p : dropped) release(p);
}

void TraceState::leave() {
  if (innermost == this) innermost = outer;
}

void TraceState::close() {
  if (!open) return;
  open = false;
  leave();
  OpenTraces& t = open_traces();
  {
    std::lock_guard lock(t.mutex);
    std::erase(t.list, this);
  }
  // Users stand after their operands; what only this list holds goes now, whoever else is open.
  for (auto e = evaluated.rbegin(); e != evaluated.rend(); ++e)
    if (e->node()->references.load(std::memory_order_acquire) == 1) *e = Tensor();
  std::vector<Tensor> last;
  {
    std::lock_guard lock(t.mutex);
    for (Tensor& e : evaluated) {
      if (!e.defined()) continue;
      TraceState* s = newest_open(t, e.node()->level);
      (s ? s->evaluated : last).push_back(std::move(e));
    }
  }
  evaluated.clear();
  settle(last);
}

Tensor TraceState::leaf(Type type, const Tensor& value) {
  Pending* p = new_node(type, where);
  p->flags = kLeaf;
  p->level = level;
  if (value.defined()) {
    Pending* v = value.node();
    retain(v);
    p->operand_count = 1;
    p->few[0] = v;
    p->depth.store(v->depth.load(std::memory_order_relaxed), std::memory_order_relaxed);
    p->flags |= v->flags & kNoValue;
  } else {
    p->flags |= kNoValue;
    p->trace_name = name;
  }
  return handle(p);
}

void TraceState::add(Tensor* slot, Type type, const Tensor& value) {
  originals.push_back(*slot);
  slots.push_back(slot);
  if (slot->defined()) *slot = leaf(type, value);
  inputs.push_back(*slot);
}

std::vector<size_t> TraceState::rebound() const {
  std::vector<size_t> found;
  for (size_t i = 0; i < slots.size(); ++i)
    if (slots[i]->node() != inputs[i].node()) found.push_back(i);
  return found;
}

namespace detail {

Trace::Trace(const char* name, Rules rules, Location where) : state_(std::make_unique<State>(name, rules, where)) {}
Trace::~Trace() = default;

void Trace::enter(LeafSpan leaves) {
  for (Tensor* t : leaves) {
    Type type = t->defined() ? t->node()->type : Type();
    Tensor value = state_->rules.reads ? *t : Tensor();
    state_->add(t, type, value);
  }
}

void Trace::refresh(LeafSpan leaves) {
  State& s = *state_;
  if (leaves.size() != s.slots.size())
    fail(s.name,
         "expected arguments that keep their structure, got " + std::to_string(leaves.size()) +
             " tensors where there were " + std::to_string(s.slots.size()),
         s.where);
  s.slots.assign(leaves.begin(), leaves.end());
}

}  // namespace detail

// ---------------------------------------------------------------- cutting

namespace {

/// An effect that ran already because its result was read: it must not run again.
bool has_run(const Pending* p) { return p->is(kEffect) && p->state.load(std::memory_order_acquire) == State::done; }

bool is_call(const Pending* p) { return p->op == &the<"call">(); }
/// Its values enter the graph as they are; a call's graph enters without its effects.
bool only_values(const Pending* p) { return has_run(p) && !is_call(p); }

/// The program of one trace; attributes are held, for the key has their addresses.
struct TracedGraph {
  GraphPtr graph;
  std::vector<Attrs> attrs;
};

WordCache<TracedGraph>& traced_graphs() {
  static auto* cache = new WordCache<TracedGraph>(4096);
  return *cache;
}

/// The walk from results back to inputs; all of it under the lock of the nodes.
class Cutter {
 public:
  Cutter(u64 level, const char* name, bool captures, bool closed, const Location& where)
      : level_(level), name_(name), captures_(captures), closed_(closed), where_(where), mark_(next_mark()) {}

  void input(Pending* p) {
    if (!p) return;
    p->mark = mark_;
    p->id = static_cast<u32>(inputs_.size());
    p->uses = kInput;
    inputs_.push_back(p);
  }
  void reach(Pending* root) {
    visit(root);
    while (!stack_.empty()) {
      auto& [p, k] = stack_.back();
      if (k < operand_count(p)) {
        visit(p->operands()[k++]);
        continue;
      }
      p->id = static_cast<u32>(order_.size());
      p->uses = kOperation;
      order_.push_back(p);
      stack_.pop_back();
    }
  }
  Cut finish(std::span<Pending* const> results);

 private:
  static constexpr u32 kInput = 0, kOperation = 1;

  static bool done(const Pending* p) { return p->state.load(std::memory_order_acquire) == State::done; }
  /// Emitted as a constant of the graph: integers (they are axes, bounds, exponents), and all literals where nothing
  /// can be captured.
  bool is_inline(const Pending* p) const {
    if (p->is(kLiteral) && p->is(kConstant)) return closed_ || p->is(kFixed) || !is_float(p->type.dtype());
    return closed_ && p->is(kConstant) && done(p);
  }
  u32 operand_count(const Pending* p) const { return p->is(kLiteral) || is_inline(p) ? 0 : p->operand_count; }

  void capture(Pending* p) {
    p->id = static_cast<u32>(captured_.size());
    p->uses = kInput;
    captured_.push_back(p);
    p->id += static_cast<u32>(inputs_.size());
  }

  void visit(Pending* p) {
    if (p->mark == mark_) return;
    p->mark = mark_;
    if (is_inline(p)) {
      stack_.push_back({p, 0});
      return;
    }
    bool constant = p->is(kConstant);
    if (constant && (p->is(kLiteral) || done(p))) return capture(p);
    bool without_past = done(p) && !p->operand_count && p->type;
    without_past = without_past || only_values(p) || (p->is(kGet) && p->operand_count && only_values(p->few[0]));
    if (!constant && (p->level < level_ || without_past)) {
      if (!captures_) refuse(p);
      return capture(p);
    }
    if (p->is(kLeaf) && !p->operand_count)
      fail(name_,
           "expected values of this trace, got one of type " + to_string(p->type) + " that escaped from an inner " +
               p->trace_name + " (" + to_string(p->where) + "); return it from the inner callable",
           where_);
    if (has_run(p)) run_before_ = true;
    stack_.push_back({p, 0});
  }

  [[noreturn]] void refuse(const Pending* p) const {
    std::string made = p->op || p->is(kLeaf) ? ", made at " + to_string(p->where) + "," : "";
    fail(name_,
         "expected every tensor to come in as an argument, got one of type " + to_string(p->type) + made +
             " that came in through none; pass it, or mark it by constant(x) if it never changes",
         where_);
  }

  u64 reference(const Pending* p) const { return u64{p->id} << 1 | p->uses; }
  std::vector<u64> key(std::span<Pending* const> results) const;
  GraphPtr build(std::span<Pending* const> results) const;

  u64 level_;
  const char* name_;
  bool captures_, closed_, run_before_ = false;
  Location where_;
  u32 mark_;
  std::vector<Pending*> inputs_, captured_, order_;
  std::vector<std::pair<Pending*, u32>> stack_;
};

std::vector<u64> Cutter::key(std::span<Pending* const> results) const {
  std::vector<u64> words;
  words.reserve(inputs_.size() + captured_.size() + 4 * order_.size() + results.size() + 2);
  words.push_back(inputs_.size());
  for (const Pending* p : inputs_) words.push_back(reinterpret_cast<u64>(p->type.data()));
  for (const Pending* p : captured_) words.push_back(reinterpret_cast<u64>(p->type.data()));
  for (const Pending* p : order_) {
    add_words(words, p, kGet | kLeaf | kLiteral);
    if (is_inline(p)) {
      words.push_back(static_cast<u64>(p->integer));
      words.push_back(reinterpret_cast<u64>(p->type.data()));
    }
    for (u32 i = 0; i < operand_count(p); ++i) words.push_back(reference(p->operands()[i]));
  }
  for (const Pending* p : results) words.push_back(reference(p));
  return words;
}

Value emit_constant(Builder& b, const Pending* p) {
  Array value = p->is(kLiteral) ? literal_array(p) : *p->value;
  return b.emit(the<"constant">(), {}, {{"value", value}, {"name", std::string()}}, &p->where)[0];
}

/// A call that has run, without its effects; a value that only an effect can give enters as a constant.
Values emit_without_effects(Builder& b, const Pending* p, ValueSpan operands) {
  WithoutEffects pure = without_effects(p->attrs.get<GraphPtr>("body"));
  if (!pure.saved.empty())
    fail(p->op->name, "expected a call without callbacks of results among what was read", p->where);
  return inline_graph(b, *pure.graph, operands);
}

GraphPtr Cutter::build(std::span<Pending* const> results) const {
  Builder b;
  Values inputs;
  for (const Pending* p : inputs_) inputs.push_back(b.input(p->type));
  for (const Pending* p : captured_) inputs.push_back(b.input(p->type));
  std::vector<Values> made(order_.size());
  auto append = [&](Values& to, const Pending* p) {
    if (p->uses == kInput)
      to.push_back(inputs[p->id]);
    else
      to.insert(to.end(), made[p->id].begin(), made[p->id].end());
  };
  for (const Pending* p : order_) {
    Values& mine = made[p->id];
    if (is_inline(p)) {
      mine = {emit_constant(b, p)};
      continue;
    }
    Values operands;
    for (u32 i = 0; i < p->operand_count; ++i) append(operands, p->operands()[i]);
    mine = has_run(p) ? emit_without_effects(b, p, operands) : emit_pending(b, p, std::move(operands));
  }
  Values outputs;
  for (const Pending* p : results) append(outputs, p);
  return b.build(outputs);
}

Cut Cutter::finish(std::span<Pending* const> results) {
  Cut cut;
  for (Pending* p : captured_) cut.captures.push_back(shared_handle(p));
  bool cached = !run_before_ && !(closed_ && std::any_of(order_.begin(), order_.end(), [&](const Pending* p) {
                                    return is_inline(p) && !p->is(kLiteral);
                                  }));
  std::vector<u64> words;
  u64 hash = 0;
  if (cached) {
    words = key(results);
    hash = hash_words(words);
    if (auto found = traced_graphs().find(hash, words)) {
      cut.graph = found->graph;
      return cut;
    }
  }
  auto made = std::make_shared<TracedGraph>();
  made->graph = cut.graph = build(results);
  for (const Pending* p : order_) made->attrs.push_back(p->attrs);
  if (cached) traced_graphs().keep(hash, std::move(words), std::move(made));
  return cut;
}

std::vector<Pending*> nodes_of(std::span<const Tensor> tensors, const char* name, const Location& where) {
  std::vector<Pending*> nodes;
  for (const Tensor& t : tensors) nodes.push_back(node_of(t, name, where));
  return nodes;
}

}  // namespace

Cut TraceState::cut(std::span<const Tensor> results) {
  ++runtime_counters().traces;
  leave();
  std::vector<Pending*> outputs = nodes_of(results, name, where);
  Cut made;
  {
    std::lock_guard lock(nodes_mutex());
    bool closed = !rules.captures && !rules.rebinding;
    Cutter cutter(level, name, rules.captures, closed, where);
    for (const Tensor& t : inputs) cutter.input(t.node());
    for (const Tensor& t : effects)
      if (!only_values(t.node())) cutter.reach(t.node());
    for (Pending* p : outputs) cutter.reach(p);
    made = cutter.finish(outputs);
  }
  close();  // only now: nodes that were read inside have kept their operands so far
  return made;
}

Cut cut_backward(std::span<const Tensor> leaves, const Tensor& result, const Location& where) {
  std::lock_guard lock(nodes_mutex());
  Cutter cutter(kBackwardLevel, "backward", true, false, where);
  for (const Tensor& t : leaves) cutter.input(t.node());
  Pending* root = result.node();
  cutter.reach(root);
  return cutter.finish({&root, 1});
}

// ---------------------------------------------------------------- emission

/// Broadcasts as NumPy does.
static Value fit(Builder& b, Value x, Type like) {
  auto shape = like.shape();
  if (std::equal(shape.begin(), shape.end(), x.shape().begin(), x.shape().end())) return x;
  std::vector<i64> dims;
  for (int i = like.rank() - x.rank(); i < like.rank(); ++i) dims.push_back(i);
  return b.emit1(the<"broadcast">(), {x}, {{"shape", Shape(shape.begin(), shape.end())}, {"dims", dims}});
}

Values emit_pending(Builder& b, const Pending* p, Values operands) {
  if (p->is(kGet)) return {operands[p->result]};
  if (p->is(kLeaf)) return {operands[0]};
  if (p->is(kLiteral)) return {emit_constant(b, p)};
  b.where = p->where;
  if (is_call(p) && !p->attrs.get("remat", false)) return inline_graph(b, *p->attrs.get<GraphPtr>("body"), operands);
  if (p->op->axes.as<Elementwise>() && p->type)
    for (Value& v : operands) v = fit(b, v, p->type);
  return b.emit(*p->op, operands, p->attrs, &p->where);
}

}  // namespace tn
