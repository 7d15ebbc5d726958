// The door. Plans are kept by graph in a bounded table; each keeps contexts that wait for their next run, so a repeated
// call with the same sizes finds everything bound.
#include "runtime/execute.h"

#include <atomic>
#include <list>
#include <mutex>
#include <unordered_map>

#include "ir/function.h"
#include "runtime/context.h"
#include "runtime/donation.h"
#include "runtime/limits.h"
#include "tenon/error.h"

namespace tn {

namespace {

// What the interpreter may work on a graph (see Context::work) before its kernels are compiled: some milliseconds.
constexpr i64 kCompileWork = 3000000;
constexpr i64 kCompileRuns = 50;

std::atomic<Tier> chosen_tier{Tier::automatic};

Target compiled_target() {
  return {.map_lanes = 16, .compiled = true, .vector_bits = cpu::vector_bits(cpu::host_isa())};
}

/// Where nothing compiles, plans for the compiler would only be slower in the interpreter.
bool can_compile() {
  static const bool can = cpu::compiler_problem().empty();
  return can;
}

/// A context with the shapes it is bound to.
struct Bound {
  explicit Bound(PlanPtr p) : context(std::move(p)) {}
  Context context;
  std::vector<i64> key;
  std::vector<std::byte*> inputs, outputs;
  std::vector<std::vector<i64>> output_shapes;
  size_t output_bytes = 0;
  std::vector<int> reuse;  // by output: the input whose memory it takes, or -1
};

class Entry {
 public:
  explicit Entry(const GraphPtr& g) : graph_(g) {}

  std::vector<Array> run(std::span<const Array> inputs, const Mask& donated) {
    std::unique_ptr<Bound> b = take(inputs, donated);
    i64 before = worked_.fetch_add(b->context.work() + kCompileWork / kCompileRuns);
    // Work that pays for machine code is not started by the interpreter.
    if (before <= kCompileWork && worked_ > kCompileWork && chosen_tier == Tier::automatic) b = take(inputs, donated);
    const Plan& plan = b->context.plan();
    b->inputs.clear();
    b->outputs.clear();
    for (const Array& a : inputs) b->inputs.push_back(a.bytes_begin());
    std::vector<Array> results;
    if (const RunLimits* limits = run_limits()) check_memory(*limits, b->context.arena_bytes(), b->output_bytes);
    for (size_t o = 0; o < b->output_shapes.size(); ++o) {
      int from = plan.forwarded()[o], reused = b->reuse[o];
      Array a;
      if (from >= 0) {
        a = inputs[static_cast<size_t>(from)];
        a.shape = b->output_shapes[o];
      } else if (reused >= 0) {
        const Array& spent = inputs[static_cast<size_t>(reused)];
        a = {plan.output_types()[o].dtype(), b->output_shapes[o], spent.storage, spent.offset};
      } else {
        a = Array::empty(plan.output_types()[o].dtype(), b->output_shapes[o]);
      }
      b->outputs.push_back(a.bytes_begin());
      results.push_back(std::move(a));
    }
    b->context.run(b->inputs, b->outputs);
    b->context.release_arena(kKeptArena);
    give(std::move(b));
    return results;
  }

 private:
  static std::vector<i64> key_of(std::span<const Array> inputs, const Mask& donated) {
    std::vector<i64> key;
    for (const Array& a : inputs) key.insert(key.end(), a.shape.begin(), a.shape.end());
    for (size_t i = 0; i < donated.size(); ++i)
      if (donated[i]) key.push_back(static_cast<i64>(i));
    return key;
  }

  /// The plan for the next run. Machine code is made once, by the thread that finds it worth while.
  PlanPtr plan() {
    Tier wanted = chosen_tier;
    bool compile = wanted == Tier::compiled || (wanted == Tier::automatic && worked_ > kCompileWork && can_compile());
    PlanPtr& slot = plans_[compile];
    std::lock_guard lock(build_mutex_);
    if (!slot) slot = Plan::build(graph_, compile ? compiled_target() : Target{}, true);
    return slot;
  }

  std::unique_ptr<Bound> take(std::span<const Array> inputs, const Mask& donated) {
    std::vector<i64> key = key_of(inputs, donated);
    std::unique_ptr<Bound> found;
    PlanPtr now = plan();
    {
      std::lock_guard lock(mutex_);
      std::erase_if(idle_, [&](const auto& b) { return &b->context.plan() != now.get(); });
      for (auto it = idle_.begin(); it != idle_.end(); ++it)
        if ((*it)->key == key) {
          found = std::move(*it);
          idle_.erase(it);
          return found;
        }
      if (idle_.size() >= kMostIdle) {
        found = std::move(idle_.front());
        idle_.pop_front();
      }
    }
    if (!found) found = std::make_unique<Bound>(now);
    DimEnv env = bind_shapes(graph_->input_types(), inputs);
    found->context.bind(env);
    found->key = std::move(key);
    found->reuse = reuse_inputs(*now, donated);
    found->output_shapes.clear();
    found->output_bytes = 0;
    for (Type t : now->output_types()) {
      i64 bytes = tn::bytes(t.dtype());
      std::vector<i64> shape;
      for (Dim d : t.shape()) shape.push_back(evaluate(d, env));
      for (i64 extent : shape)
        if (__builtin_mul_overflow(bytes, extent, &bytes)) fail("run", "expected a size of 64 bits, got more");
      found->output_bytes += static_cast<size_t>(bytes);
      found->output_shapes.push_back(std::move(shape));
    }
    return found;
  }

  void give(std::unique_ptr<Bound> b) {
    std::lock_guard lock(mutex_);
    if (idle_.size() < kMostIdle) idle_.push_back(std::move(b));
  }

  static constexpr size_t kMostIdle = 8;
  static constexpr size_t kKeptArena = 1 << 16;  // larger ones serve all plans in turn
  GraphPtr graph_;
  PlanPtr plans_[2];  // interpreted, compiled
  std::atomic<i64> worked_ = 0;
  std::mutex mutex_, build_mutex_;
  std::list<std::unique_ptr<Bound>> idle_;  // oldest first
};

/// Entries by graph, the least recently used one dropped past the bound.
class Cache {
 public:
  std::shared_ptr<Entry> of(const GraphPtr& g) {
    {
      std::lock_guard lock(mutex_);
      auto found = index_.find(g.get());
      if (found != index_.end()) {
        order_.splice(order_.end(), order_, found->second);
        return found->second->second;
      }
    }
    auto made = std::make_shared<Entry>(g);
    std::lock_guard lock(mutex_);
    auto found = index_.find(g.get());
    if (found != index_.end()) return found->second->second;
    order_.emplace_back(g, made);
    index_[g.get()] = std::prev(order_.end());
    if (order_.size() > kMost) {
      index_.erase(order_.front().first.get());
      order_.pop_front();
    }
    return made;
  }

 private:
  static constexpr size_t kMost = 1024;
  std::mutex mutex_;
  std::list<std::pair<GraphPtr, std::shared_ptr<Entry>>> order_;
  std::unordered_map<const Graph*, std::list<std::pair<GraphPtr, std::shared_ptr<Entry>>>::iterator> index_;
};

Cache& cache() {
  static auto* c = new Cache;
  return *c;
}

std::string text_of(const Array& a) {
  std::string text(name(a.dtype));
  text += "[";
  for (size_t i = 0; i < a.shape.size(); ++i) text += (i ? ", " : "") + std::to_string(a.shape[i]);
  return text + "]";
}

}  // namespace

DimEnv bind_shapes(std::span<const Type> types, std::span<const Array> inputs) {
  if (types.size() != inputs.size())
    fail("run", "expected " + std::to_string(types.size()) + " inputs, got " + std::to_string(inputs.size()));
  DimEnv env;
  for (size_t i = 0; i < types.size(); ++i) {
    auto shape = types[i].shape();
    bool fits = types[i].dtype() == inputs[i].dtype && shape.size() == inputs[i].shape.size();
    for (size_t k = 0; fits && k < shape.size(); ++k)
      if (shape[k].is_symbol() && !env.find(shape[k])) env.set(shape[k], inputs[i].shape[k]);
    if (!fits)
      fail("run",
           "expected input " + std::to_string(i) + " to be " + to_string(types[i]) + ", got " + text_of(inputs[i]));
  }
  for (size_t i = 0; i < types.size(); ++i)
    for (size_t k = 0; k < inputs[i].shape.size(); ++k)
      if (evaluate(types[i].shape()[k], env) != inputs[i].shape[k])
        fail("run", "expected input " + std::to_string(i) + " to be " + to_string(types[i]) + ", got " +
                        text_of(inputs[i]) + ", which differs on axis " + std::to_string(k));
  return env;
}

void set_tier(Tier tier) { chosen_tier = tier; }
Tier tier() { return chosen_tier; }

std::vector<Array> execute(const GraphPtr& g, std::span<const Array> inputs, const Mask& donated) {
  if (inputs.size() != g->input_count())
    fail("run", "expected " + std::to_string(g->input_count()) + " inputs, got " + std::to_string(inputs.size()));
  return cache().of(g)->run(inputs, donated);
}

/// Functions run here when programs call them.
static const bool kRunsFunctions = [] {
  graph_runners().kernels = [](const GraphPtr& g, std::span<const Array> inputs) { return execute(g, inputs); };
  return true;
}();

}  // namespace tn
