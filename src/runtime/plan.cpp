#include "runtime/plan.h"

#include <algorithm>

#include "base/thread_pool.h"
#include "runtime/counters.h"
#include "runtime/donation.h"
#include "runtime/packing.h"

namespace tn {

namespace {

/// Tile elements a phase touches, as a Dim over the kernel's sizes; extents that depend on loop variables count as in
/// the first iteration.
std::vector<Instruction::Phase> phases_of(const loops::Kernel& k) {
  std::vector<std::pair<Dim, Dim>> first;
  for (const loops::Node& n : k.nodes)
    if (n.variable != loops::Node::kNone) first.emplace_back(n.variable, Dim(0));
  std::vector<Instruction::Phase> phases;
  std::vector<Dim> counts{1};
  bool inside = false;
  for (const loops::Node& n : k.nodes) {
    if (n.kind == loops::Kind::loop) {
      Dim extent = substitute(n.extent, first);
      if (n.loop == loops::LoopKind::parallel) {
        phases.push_back({n.extent, 0});
        inside = true;
      }
      counts.push_back(inside ? counts.back() * extent : counts.back());
    } else if (n.kind == loops::Kind::yield) {
      counts.pop_back();
      inside = inside && counts.size() > 1;
    } else if (inside && n.kind != loops::Kind::carry && n.kind != loops::Kind::result &&
               n.kind != loops::Kind::constant) {
      i64 cost = 4 + (n.tile.size() + 15) / 16;
      phases.back().work = phases.back().work + counts.back() * Dim(cost);
    }
  }
  return phases;
}

}  // namespace

class PlanBuilder {
 public:
  PlanBuilder(const GraphPtr& g, const Target& target, bool forward, bool pack)
      : compiled_(compile_graph(g, target)), g_(*compiled_.graph), forward_(forward), pack_(pack) {
    plan_->input_types_.assign(g->input_types().begin(), g->input_types().end());
    plan_->target_ = target;
  }

  PlanPtr build() {
    slot_of_.assign(g_.value_count(), kNone);
    for (u32 i = 0; i < g_.input_count(); ++i) slot_of_[i] = add_slot(Slot::Role::input, i, g_.type(i));
    choose_outputs();
    for (const Node& n : g_.nodes())
      if (is_constant(n)) {
        u32 s = add_slot(Slot::Role::constant, 0, g_.type(n.first_result));
        plan_->slots_[s].constant = n.attrs.get<Array>("value");
        slot_of_[n.first_result] = s;
      }
    plan_->guards_ = guards_of(g_);
    for (Step& step : compiled_.steps) add(step);
    copy_outputs();
    make_kernels();
    runtime_counters().plans_built++;
    return std::move(plan_);
  }

 private:
  static constexpr u32 kNone = ~0u;

  u32 add_slot(Slot::Role role, u32 number, Type t) {
    Slot s;
    s.role = role;
    s.number = number;
    if (t.is_tensor()) {
      s.dtype = t.dtype();
      s.shape.assign(t.shape().begin(), t.shape().end());
    }
    plan_->slots_.push_back(std::move(s));
    return static_cast<u32>(plan_->slots_.size()) - 1;
  }

  /// Values whose memory is another's: value -> the value that owns it.
  void find_owners() {
    owner_.resize(g_.value_count());
    for (u32 v = 0; v < owner_.size(); ++v) owner_[v] = v;
    for (const Step& step : compiled_.steps) {
      if (step.kind != Step::Kind::alias) continue;
      const Node& n = g_.nodes()[step.node];
      for (u32 i = 0; i < n.result_count; ++i) owner_[n.first_result + i] = owner_[g_.operands(n)[i]];
    }
  }

  /// An output that a step makes is made in place; inputs, constants and repeated ones are copied at the end.
  void choose_outputs() {
    find_owners();
    plan_->output_types_ = g_.output_types();
    std::vector<bool> constant(g_.value_count());
    for (const Node& n : g_.nodes())
      if (is_constant(n)) constant[n.first_result] = true;
    for (u32 o = 0; o < g_.outputs().size(); ++o) {
      u32 v = owner_[g_.outputs()[o]];
      u32 s = add_slot(Slot::Role::output, o, g_.type(g_.outputs()[o]));
      output_slots_.push_back(s);
      plan_->forwarded_.push_back(forward_ && v < g_.input_count() ? static_cast<int>(v) : -1);
      if (v >= g_.input_count() && !constant[v] && slot_of_[v] == kNone) slot_of_[v] = s;
    }
  }

  void copy_outputs() {
    for (u32 o = 0; o < g_.outputs().size(); ++o) {
      u32 from = slot(g_.outputs()[o]);
      if (from == output_slots_[o] || plan_->forwarded_[o] >= 0) continue;
      Instruction i;
      i.kind = Instruction::Kind::copy;
      i.label = "copy";
      i.reads = {from};
      i.writes = {output_slots_[o]};
      plan_->instructions_.push_back(std::move(i));
    }
  }

  u32 slot(u32 value) {
    u32& s = slot_of_[owner_[value]];
    if (s == kNone) s = add_slot(Slot::Role::temp, 0, g_.type(value));
    return s;
  }

  void add(Step& step) {
    switch (step.kind) {
      case Step::Kind::alias: return;
      case Step::Kind::kernel: return add_kernel(step.lowered);
      case Step::Kind::native:
      case Step::Kind::control: return add_node(step);
    }
  }

  void add_kernel(const Lowered& lowered) {
    const loops::Kernel& k = lowered.kernel;
    Instruction i;
    i.label = lowered.label;
    i.phases = phases_of(k);
    i.sizes = k.sizes;
    i.scratch = k.scratch_bytes;
    size_t next = 0;
    for (const loops::Buffer& buffer : k.buffers) {
      if (!buffer.is_argument()) continue;
      const auto& a = lowered.arguments[next++];
      u32 s = a.temp ? add_slot(Slot::Role::temp, 0, Type::tensor(buffer.dtype, buffer.shape)) : slot(a.value);
      i.buffers.push_back(s);
      (a.written ? i.writes : i.reads).push_back(s);
    }
    find_in_place(k, i);
    making_.emplace_back(plan_->instructions_.size(), &k);
    plan_->instructions_.push_back(std::move(i));
  }

  /// Code generation is most of the work: several threads share it.
  void make_kernels() {
    bool compile = plan_->target_.compiled;
    auto count = static_cast<i64>(making_.size());
    auto make = [&](i64 lo, i64 hi, int) {
      for (i64 n = lo; n < hi; ++n) {
        auto [at, kernel] = making_[static_cast<size_t>(n)];
        plan_->instructions_[at].code = Executable::of(*kernel, compile);
      }
    };
    if (compile)
      ThreadPool::shared().run(count, 1, make);
    else
      make(0, count, 0);
    if (pack_)
      for (auto [at, kernel] : making_) pack_constants(*kernel, plan_->instructions_[at], plan_->slots_);
  }

  /// Inputs and outputs of the plan that this kernel may have in one memory.
  void find_in_place(const loops::Kernel& k, Instruction& i) {
    auto role = [&](u32 s) { return plan_->slots_[s].role; };
    std::vector<int> arguments;
    for (size_t b = 0; b < k.buffers.size(); ++b)
      if (k.buffers[b].is_argument()) arguments.push_back(static_cast<int>(b));
    InPlace in_place(k);
    for (u32 in : i.reads) {
      if (role(in) != Slot::Role::input) continue;
      std::vector<int> from;
      for (size_t a = 0; a < arguments.size(); ++a)
        if (i.buffers[a] == in) from.push_back(arguments[a]);
      for (size_t a = 0; a < arguments.size(); ++a)
        if (role(i.buffers[a]) == Slot::Role::output && in_place(from, arguments[a]))
          i.in_place.emplace_back(in, i.buffers[a]);
    }
  }

  void add_node(const Step& step) {
    const Node& n = g_.nodes()[step.node];
    Instruction i;
    i.where = n.where;
    i.label = n.op->name;
    i.op = n.op;
    i.attrs = n.attrs;
    for (u32 v : g_.operands(n)) {
      i.operands.push_back(slot(v));
      i.operand_types.push_back(g_.type(v));
    }
    for (u32 k = 0; k < n.result_count; ++k) {
      i.results.push_back(slot(n.first_result + k));
      i.result_types.push_back(g_.type(n.first_result + k));
    }
    i.reads = i.operands;
    i.writes = i.results;
    auto body = [&](const char* name) {
      i.bodies.push_back(Plan::build(n.attrs.get<GraphPtr>(name), plan_->target_, false, pack_));
    };
    if (step.kind == Step::Kind::native) {
      i.kind = Instruction::Kind::native;
    } else if (is(*n.op, Structured::Kind::cond)) {
      i.kind = Instruction::Kind::cond;
      body("then");
      body("else");
    } else if (is(*n.op, Structured::Kind::loop)) {
      i.kind = Instruction::Kind::loop;
      body("cond");
      body("body");
      i.spare.push_back(add_slot(Slot::Role::temp, 0, Type::tensor(DType::boolean, {})));
      add_spares(i, i.results.size());
    } else if (is(*n.op, Structured::Kind::scan)) {
      i.kind = Instruction::Kind::scan;
      body("body");
      add_spares(i, static_cast<size_t>(n.attrs.get<i64>("carry")));
    } else {
      internal("[" + std::string(n.op->name) + "] has no kernel and no instruction");
    }
    plan_->instructions_.push_back(std::move(i));
  }

  /// A second buffer for each carry, so that a step reads one and writes the other.
  void add_spares(Instruction& i, size_t carries) {
    for (size_t k = 0; k < carries; ++k) {
      const Slot& like = plan_->slots_[i.results[k]];
      i.spare.push_back(add_slot(Slot::Role::temp, 0, Type::tensor(like.dtype, like.shape)));
    }
    i.writes.insert(i.writes.end(), i.spare.begin(), i.spare.end());
  }

  std::shared_ptr<Plan> plan_ = std::make_shared<Plan>();
  Compilation compiled_;
  const Graph& g_;
  bool forward_, pack_;
  std::vector<u32> slot_of_, owner_, output_slots_;
  std::vector<std::pair<size_t, const loops::Kernel*>> making_;  // instructions whose code is to be made
};

PlanPtr Plan::build(const GraphPtr& g, const Target& target, bool forward, bool pack) {
  return PlanBuilder(g, target, forward, pack).build();
}

size_t Plan::phase_count() const {
  size_t count = 0;
  for (const Instruction& i : instructions_) {
    count += i.phases.size();
    for (const auto& body : i.bodies) count += body->phase_count();
  }
  return count;
}

}  // namespace tn
