#include "tensor/evaluate.h"

#include <memory>

#include "base/thread_own.h"
#include "runtime/execute.h"
#include "tensor/cache.h"
#include "tensor/trace.h"

namespace tn {

namespace {

std::atomic<u64> evaluations{0}, operations{0}, compiled{0}, donations{0};
std::atomic<bool> run_kernels{true};

constexpr u64 kOutput = ~0ull;  // in keys, after a node whose value is wanted

/// The ancestors of some roots as a list, and the words that say its structure.
struct Flat {
  std::vector<Pending*> order, inputs, outputs;  // operations, operands before users; values; what is wanted
  std::vector<u64> key, references;              // an operand: index * 2, plus 1 for an operation
  std::vector<std::pair<Pending*, u32>> stack;
  std::vector<Array> arrays;
  std::vector<Pending*> held;  // wanted gets: their holders may let go while the operation runs
  Mask donated;
  Pending* busy = nullptr;
  bool open = false;           // a node that keeps its operands, for an open trace, is among them
  std::vector<bool> residual;  // by operation, when open: the trace may need its value again

  void clear() {
    order.clear();
    inputs.clear();
    outputs.clear();
    key.clear();
    references.clear();
    stack.clear();
    arrays.clear();
    held.clear();
    donated.clear();
    busy = nullptr;
    open = false;
    residual.clear();
  }
};

/// Buffers of this thread; a stack of them, for running an operation may evaluate again (callbacks).
class Buffers {
 public:
  Buffers() {
    if (spare().empty()) spare().push_back(std::make_unique<Flat>());
    flat_ = std::move(spare().back());
    spare().pop_back();
    flat_->clear();
  }
  ~Buffers() {
    flat_->clear();
    spare().push_back(std::move(flat_));
  }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;
  Flat& operator*() { return *flat_; }

 private:
  static std::vector<std::unique_ptr<Flat>>& spare() { return thread_own<std::vector<std::unique_ptr<Flat>>>(); }
  std::unique_ptr<Flat> flat_;
};

/// A structure that ran before. Attributes are held, for the key has their addresses.
struct Structure {
  GraphPtr graph;
  std::vector<Attrs> attrs;
};

WordCache<Structure>& structures() {
  static auto* cache = new WordCache<Structure>(8192);
  return *cache;
}

[[noreturn]] void no_value(const Pending* leaf, const Location& where) {
  std::string name(leaf->trace_name);
  bool open = open_level(leaf->level);
  fail("read",
       "expected a value, got one that " + std::string(open ? "is being traced by " : "escaped from ") + name + " (" +
           to_string(leaf->where) + "), where nothing is computed yet; use cond, where or while_loop" +
           (open ? "" : ", or return it from the callable"),
       where);
}

/// A literal that is data; a fixed one is an operation without operands.
bool is_number(const Pending* p) { return (p->flags & (kLiteral | kFixed)) == kLiteral; }

// ---------------------------------------------------------------- flattening, under the lock

void visit(Flat& f, Pending* p, u32 mark, const Location& where) {
  if (p->mark == mark) {
    ++p->uses;
    return;
  }
  p->mark = mark;
  p->uses = 1;
  State s = p->state.load(std::memory_order_acquire);
  if (s == State::done || is_number(p)) {
    p->id = static_cast<u32>(f.inputs.size());
    f.inputs.push_back(p);
    return;
  }
  if (s == State::claimed) {
    f.busy = p;
    return;
  }
  if (s == State::failed) throw Error(*p->error);
  if (p->is(kLeaf) && !p->operand_count) no_value(p, where);
  f.stack.push_back({p, 0});
}

void collect(Flat& f, std::span<Pending* const> roots, u32 mark, const Location& where) {
  for (Pending* root : roots) {
    visit(f, root, mark, where);
    while (!f.stack.empty() && !f.busy) {
      auto& [p, k] = f.stack.back();
      if (k < p->operand_count) {
        visit(f, p->operands()[k++], mark, where);
        continue;
      }
      p->id = static_cast<u32>(f.order.size());
      f.order.push_back(p);
      f.open = f.open || (p->level && keeps_operands(p->level));
      f.stack.pop_back();
    }
    if (f.busy) return;
  }
  for (Pending* root : roots) root->uses = 0;  // whoever reads it holds it
}

u64 reference(const Pending* p) {
  bool input = is_number(p) || p->state.load(std::memory_order_relaxed) == State::done;
  return u64{p->id} << 1 | (input ? 0 : 1);
}

/// What an open trace may need again: its own values, and those of outside that they are made of.
void find_residuals(Flat& f) {
  if (!f.open) return;
  f.residual.assign(f.order.size(), false);
  for (const Pending* p : f.order) {
    if (!p->level || !keeps_operands(p->level)) continue;
    f.residual[p->id] = true;
    for (u32 i = 0; i < p->operand_count; ++i)
      if (const Pending* c = p->operands()[i]; reference(c) & 1 && !c->is(kLiteral)) f.residual[c->id] = true;
  }
}

/// Whether someone beside the collected nodes refers to it, or may.
bool wanted(const Flat& f, const Pending* p) {
  if (p->references.load(std::memory_order_relaxed) > p->uses) return true;
  return f.open && p->state.load(std::memory_order_relaxed) == State::pending && f.residual[p->id];
}

/// Takes a reference unless the last one is just being given back.
bool try_retain(Pending* p) {
  u32 n = p->references.load(std::memory_order_relaxed);
  while (n && !p->references.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel)) {}
  return n != 0;
}

/// A living get, whether it is among the collected nodes or not, that someone may read.
bool wanted_get(Flat& f, Pending* get, u32 mark) {
  if (!get || (get->mark == mark && !wanted(f, get)) || !try_retain(get)) return false;
  f.held.push_back(get);
  return true;
}

void add_outputs(Flat& f, Pending* p, u32 mark) {
  if (p->type) {
    if (p->is(kGet) || !wanted(f, p)) return;
    f.outputs.push_back(p);
    f.key.push_back(kOutput);
    return;
  }
  for (u32 k = 0; k < p->result; ++k)
    if (wanted_get(f, p->gets[k], mark)) {
      f.outputs.push_back(p->gets[k]);
      f.key.push_back(kOutput - 1 - k);
    }
}

void make_key(Flat& f, u32 mark) {
  find_residuals(f);
  for (const Pending* p : f.inputs) f.key.push_back(reinterpret_cast<u64>(p->type.data()));
  for (Pending* p : f.order) {
    add_words(f.key, p, kGet | kLeaf | kFixed);
    if (p->is(kFixed)) {
      f.key.push_back(static_cast<u64>(p->integer));
      f.key.push_back(reinterpret_cast<u64>(p->type.data()));
    }
    for (u32 i = 0; i < p->operand_count; ++i) {
      u64 r = reference(p->operands()[i]);
      f.key.push_back(r);
      f.references.push_back(r);
    }
    add_outputs(f, p, mark);
  }
}

/// An input is donated when only the collected nodes refer to it, and only it to its storage.
void take_inputs(Flat& f) {
  f.donated.assign(f.inputs.size(), false);
  for (size_t i = 0; i < f.inputs.size(); ++i) {
    Pending* p = f.inputs[i];
    if (is_number(p)) {
      f.arrays.push_back(literal_array(p));
      continue;
    }
    bool mine = !f.open && p->references.load(std::memory_order_relaxed) == p->uses &&
                p->value->storage.use_count() == 1 && p->value->storage->owned();
    f.donated[i] = mine;
    if (mine) {
      f.arrays.push_back(std::move(*p->value));
      donations.fetch_add(1, std::memory_order_relaxed);
    } else {
      f.arrays.push_back(*p->value);
    }
  }
}

// ---------------------------------------------------------------- running, without the lock

/// The list as a graph. Scratch fields may be another thread's by now: operands come from `references`.
std::shared_ptr<const Structure> build(const Flat& f) {
  auto made = std::make_shared<Structure>();
  Builder b;
  Values inputs;
  for (const Pending* p : f.inputs) inputs.push_back(b.input(p->type));
  std::vector<Values> values(f.order.size());
  Values outputs;
  size_t next_reference = 0, next_output = 0;
  for (size_t n = 0; n < f.order.size(); ++n) {
    const Pending* p = f.order[n];
    made->attrs.push_back(p->attrs);
    Values operands;
    for (u32 i = 0; i < p->operand_count; ++i) {
      u64 r = f.references[next_reference++];
      if (r & 1) {
        const Values& v = values[r >> 1];
        operands.insert(operands.end(), v.begin(), v.end());
      } else {
        operands.push_back(inputs[r >> 1]);
      }
    }
    values[n] = emit_pending(b, p, std::move(operands));
    auto is_result = [&](const Pending* out) { return p->type ? out == p : out->few[0] == p && out->is(kGet); };
    while (next_output < f.outputs.size() && is_result(f.outputs[next_output])) {
      const Pending* out = f.outputs[next_output++];
      outputs.push_back(p->type ? values[n][0] : values[n][out->result]);
    }
  }
  made->graph = b.build(outputs);
  return made;
}

std::vector<Array> run(Flat& f) {
  u64 hash = hash_words(f.key);
  auto structure = structures().find(hash, f.key);
  if (!structure) {
    structure = build(f);
    structures().keep(hash, f.key, structure);
    compiled.fetch_add(1, std::memory_order_relaxed);
  }
  evaluations.fetch_add(1, std::memory_order_relaxed);
  operations.fetch_add(f.order.size(), std::memory_order_relaxed);
  if (run_kernels.load(std::memory_order_relaxed)) return execute(structure->graph, f.arrays, f.donated);
  std::vector<Array> empty;
  for (Type t : structure->graph->output_types()) {
    std::vector<i64> shape;
    for (Dim d : t.shape()) shape.push_back(d.value());
    empty.push_back(Array::zeros(t.dtype(), shape));
  }
  return empty;
}

// ---------------------------------------------------------------- the end, under the lock again

/// Takes the node's operands off it, to be released after the lock. A literal has its number in their place.
void drop_operands(Pending* p, std::vector<Pending*>& dropped) {
  if (p->operand_count == 0) return;
  dropped.insert(dropped.end(), p->operands(), p->operands() + p->operand_count);
  if (p->operand_count > 2) delete[] p->many;
  p->few[0] = p->few[1] = nullptr;
  p->operand_count = 0;
}

void set_state(Pending* p, State s) {
  p->state.store(s, std::memory_order_release);
  p->state.notify_all();
}

void finish(Flat& f, std::vector<Array>& results, std::vector<Pending*>& dropped) {
  auto keeps = [&](const Pending* p) { return f.open && keeps_operands(p->level); };
  for (size_t i = 0; i < f.outputs.size(); ++i) {
    Pending* p = f.outputs[i];
    if (!p->value) p->value = new Array(std::move(results[i]));  // a literal has one once somebody has read it
    p->depth.store(0, std::memory_order_relaxed);
    if (keeps(p))
      keep_evaluated(p);
    else if (!p->is(kLeaf))  // a leaf's operand is read without the lock
      drop_operands(p, dropped);
  }
  // A node of several results ends after its gets have their values: a dying get looks at its source's state.
  for (Pending* p : f.outputs) set_state(p, State::done);
  for (Pending* p : f.order) {
    if (p->state.load(std::memory_order_relaxed) == State::done) continue;
    if (!p->type) {
      if (!keeps(p)) drop_operands(p, dropped);
      set_state(p, State::done);
    } else {
      set_state(p, State::pending);
    }
  }
}

/// Without donated inputs nothing is lost, and another read tries again; else the nodes are lost with them.
void fail_all(Flat& f, const std::string& message) {
  bool lost = std::find(f.donated.begin(), f.donated.end(), true) != f.donated.end();
  for (Pending* p : f.order) {
    bool ends = lost && !p->is(kLiteral);  // a literal has its number still
    if (ends) p->error = new std::string(message + "; its inputs were reused by the run that failed");
    set_state(p, ends ? State::failed : State::pending);
  }
}

/// The runs that this thread is inside of: functions of the host that a run calls may start another.
struct Running {
  const Flat* flat;
  Running* outer;
  explicit Running(const Flat& f);
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running();
};
constinit thread_local Running* running = nullptr;
Running::Running(const Flat& f) : flat(&f), outer(running) { running = this; }
Running::~Running() { running = outer; }

bool waits_for_itself(const Pending* busy) {
  for (const Running* r = running; r; r = r->outer)
    if (std::find(r->flat->order.begin(), r->flat->order.end(), busy) != r->flat->order.end()) return true;
  return false;
}

void evaluate_claimed(Flat& f, const Location& where) {
  std::vector<Pending*> dropped;
  try {
    Running here(f);
    std::vector<Array> results = run(f);
    f.arrays.clear();
    dropped = std::move(f.held);
    std::lock_guard lock(nodes_mutex());
    finish(f, results, dropped);
  } catch (const std::exception& e) {
    {
      std::lock_guard lock(nodes_mutex());
      fail_all(f, e.what());
    }
    for (Pending* p : f.held) release(p);
    if (dynamic_cast<const Error*>(&e) && where.line())
      throw Error(std::string(e.what()) + ", read at " + to_string(where));
    throw;
  }
  for (Pending* p : dropped) release(p);
}

}  // namespace

std::mutex& nodes_mutex() {
  static auto* m = new std::mutex;
  return *m;
}

u32 next_mark() {
  static u32 mark = 0;
  if (++mark == 0) ++mark;  // 0 is that of a new node
  return mark;
}

EvaluationCounts evaluation_counts() { return {evaluations, operations, compiled, donations}; }
void set_run_kernels(bool run) { run_kernels = run; }

void evaluate(std::span<Pending* const> wanted_nodes, const Location& where) {
  std::vector<Pending*> roots;
  for (;;) {
    roots.clear();
    for (Pending* p : wanted_nodes)
      if (Pending* r = resolve(p); r->state.load(std::memory_order_acquire) != State::done && !is_number(r))
        roots.push_back(r);
    if (roots.empty()) return;
    Buffers buffers;
    Flat& f = *buffers;
    Pending* busy = nullptr;
    {
      std::lock_guard lock(nodes_mutex());
      u32 mark = next_mark();
      collect(f, roots, mark, where);
      busy = f.busy;
      if (busy) {
        retain(busy);
      } else {
        make_key(f, mark);
        take_inputs(f);
        for (Pending* p : f.order) p->state.store(State::claimed, std::memory_order_relaxed);
      }
    }
    if (busy) {  // another thread's: wait for its end, then look again
      bool own = waits_for_itself(busy);
      if (!own) busy->state.wait(State::claimed);
      release(busy);
      if (own)
        fail("callback",
             "expected values that are known before the function runs, got one of the run that calls it; eval it "
             "first, or pass it as an operand",
             where);
      continue;
    }
    return evaluate_claimed(f, where);
  }
}

const Array& value_of(Pending* node, const Location& where) {
  Pending* p = resolve(node);
  if (p->is(kLiteral)) {
    std::lock_guard lock(nodes_mutex());
    if (!p->value) p->value = new Array(literal_array(p));
    return *p->value;
  }
  if (!stored_value(p)) evaluate({&p, 1}, where);
  return *p->value;
}

}  // namespace tn
