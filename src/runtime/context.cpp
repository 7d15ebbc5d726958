#include "runtime/context.h"

#include <atomic>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/thread_own.h"
#include "base/thread_pool.h"
#include "runtime/counters.h"
#include "runtime/limits.h"
#include "runtime/profile.h"
#include "tenon/error.h"

namespace tn {

namespace {

constexpr i64 kParallelWork = 20000;  // below, waking another thread costs more than it brings

/// Scratch for the kernel that this thread runs, its workers' parts included: who gets how much does not depend on
/// which of them wake in time.
std::byte* scratch(size_t bytes) {
  struct Scratch {
    StoragePtr block;
  };
  StoragePtr& block = thread_own<Scratch>().block;
  if (bytes == 0) return nullptr;
  if (!block || block->bytes() < bytes) {
    block = nullptr;
    block = Storage::allocate(bytes);
  }
  return block->data();
}

std::vector<i64> evaluated(std::span<const Dim> dims, const DimEnv& env) {
  std::vector<i64> values;
  for (Dim d : dims) values.push_back(evaluate(d, env));
  return values;
}

/// Extents of a slot for these sizes.
std::vector<i64> extents(const Slot& slot, const DimEnv& env) {
  std::vector<i64> all = evaluated(slot.shape, env);
  for (size_t i = 0; i < all.size(); ++i)
    if (all[i] < 0)
      fail("run", "expected inputs large enough for every extent to be at least 0, got " + to_string(slot.shape[i]) +
                      " = " + std::to_string(all[i]) + " in " + to_string(Type::tensor(slot.dtype, slot.shape)));
  return all;
}

/// An array over memory the context knows; kept while the pointer stays the same.
void point(Array& a, std::byte* data, size_t bytes) {
  if (!a.storage || a.storage->data() != data) a.storage = Storage::borrow(data, bytes, nullptr);
}

}  // namespace

Context::Context(PlanPtr plan) : plan_(std::move(plan)) {}

// ---------------------------------------------------------------- binding

void Context::plan_arena(const DimEnv& env) {
  auto slots = plan_->slots();
  at_.assign(slots.size(), nullptr);
  bytes_.assign(slots.size(), 0);
  std::vector<Life> lives;
  std::vector<u32> who;
  std::vector<int> life_of(slots.size(), -1);
  for (u32 s = 0; s < slots.size(); ++s) {
    i64 count = 1;
    for (i64 extent : extents(slots[s], env))
      if (__builtin_mul_overflow(count, extent, &count)) fail("run", "expected a size of 64 bits, got more");
    if (__builtin_mul_overflow(count, static_cast<i64>(tn::bytes(slots[s].dtype)), &count))
      fail("run", "expected a size of 64 bits, got more");
    bytes_[s] = static_cast<size_t>(count);
    if (slots[s].role == Slot::Role::constant) at_[s] = slots[s].constant.bytes_begin();
  }
  auto instructions = plan_->instructions();
  for (u32 k = 0; k < instructions.size(); ++k)
    for (const auto* list : {&instructions[k].reads, &instructions[k].writes})
      for (u32 s : *list) {
        if (slots[s].role != Slot::Role::temp) continue;
        if (life_of[s] < 0) {
          life_of[s] = static_cast<int>(lives.size());
          lives.push_back({bytes_[s], k, k});
          who.push_back(s);
        }
        lives[static_cast<size_t>(life_of[s])].last = k;
      }
  arena_ = nullptr;
  own_bytes_ = arena_bytes_ = place(lives);
  temporaries_.clear();
  for (size_t i = 0; i < lives.size(); ++i) temporaries_.emplace_back(who[i], lives[i].offset);
}

void Context::take_arena() {
  arena_ = Storage::allocate(own_bytes_);
  for (auto [slot, offset] : temporaries_) at_[slot] = arena_->data() + offset;
}

void Context::release_arena(size_t keep) {
  if (arena_ && own_bytes_ > keep) arena_ = nullptr;
  for (Bound& bound : instructions_)
    for (auto& body : bound.bodies) body->release_arena(keep);
}

void Context::bind(const DimEnv& env) {
  bind_sizes(env);
  if (!broken_.empty()) throw Error(broken_);
}

/// A guard that does not hold is an error when the plan runs: of a branch, perhaps never.
void Context::bind_sizes(const DimEnv& env) {
  bound_ = false;
  broken_ = broken_guard(plan_->guards(), env);
  if (!broken_.empty()) return;
  work_ = 0;
  plan_arena(env);
  auto instructions = plan_->instructions();
  instructions_.clear();
  instructions_.resize(instructions.size());
  for (size_t k = 0; k < instructions.size(); ++k) bind_instruction(instructions[k], instructions_[k], env);
  bound_ = true;
  runtime_counters().bindings++;
}

void Context::bind_instruction(const Instruction& i, Bound& bound, const DimEnv& env) {
  auto arrays = [&](std::span<const Type> types) {
    std::vector<Array> made;
    for (Type t : types) {
      Array a;
      a.dtype = t.dtype();
      a.shape = evaluated(t.shape(), env);
      made.push_back(std::move(a));
    }
    return made;
  };
  if (i.kind == Instruction::Kind::native) {
    bound.operands = arrays(i.operand_types);
    bound.results = arrays(i.result_types);
  }
  if (i.kind == Instruction::Kind::kernel) {
    bound.sizes = evaluated(i.sizes, env);
    bound.buffers.assign(i.buffers.size(), nullptr);
    i64 threads = ThreadPool::shared().threads();
    for (const auto& p : i.phases) {
      i64 extent = evaluate(p.extent, env);
      i64 work = evaluate(p.work, env);
      work_ += work;
      bool alone = extent <= 1 || work < kParallelWork;
      bound.phases.push_back({extent, alone ? 0 : std::max<i64>(1, extent / (threads * 8))});
    }
    bound.scratch = (static_cast<size_t>(evaluate(i.scratch, env)) + 127) / 128 * 128;
  }
  for (const PlanPtr& body : i.bodies) {
    bound.bodies.push_back(std::make_unique<Context>(body));
    bound.bodies.back()->bind_sizes(env);
    arena_bytes_ += bound.bodies.back()->arena_bytes();
  }
  if (i.kind == Instruction::Kind::scan) bound.length = evaluate(i.attrs.get<Shape>("length")[0], env);
  i64 repeats = i.kind == Instruction::Kind::scan ? bound.length : 1;
  for (const auto& body : bound.bodies) work_ += body->work() * repeats;
}

// ---------------------------------------------------------------- running

void Context::run(std::span<std::byte* const> inputs, std::span<std::byte* const> outputs) {
  if (!broken_.empty()) throw Error(broken_);
  const RunLimits* limits = run_limits();
  if (!arena_ && own_bytes_ > 0) {
    if (limits) check_memory(*limits, arena_bytes_, 0);
    take_arena();
  }
  auto slots = plan_->slots();
  for (u32 s = 0; s < slots.size(); ++s) {
    if (slots[s].role == Slot::Role::input) at_[s] = inputs[slots[s].number];
    if (slots[s].role == Slot::Role::output) at_[s] = outputs[slots[s].number];
  }
  auto instructions = plan_->instructions();
  for (size_t k = 0; k < instructions.size(); ++k) {
    if (limits) check_time(*limits);
    profiling() ? run_timed(instructions[k], instructions_[k]) : run_instruction(instructions[k], instructions_[k]);
  }
}

void Context::run_instruction(const Instruction& i, Bound& bound) {
  switch (i.kind) {
    case Instruction::Kind::kernel: run_kernel(i, bound); break;
    case Instruction::Kind::native: run_native(i, bound); break;
    case Instruction::Kind::copy: copy(i.reads[0], i.writes[0]); break;
    case Instruction::Kind::cond: run_cond(i, bound); break;
    case Instruction::Kind::loop: run_loop(i, bound); break;
    case Instruction::Kind::scan: run_scan(i, bound); break;
  }
}

/// A loop's own time is what its body's instructions do not take: shares of all rows add up to the whole.
void Context::run_timed(const Instruction& i, Bound& bound) {
  thread_local double inside = 0;  // seconds of the instructions that the one running has run
  double around = std::exchange(inside, 0), bytes = 0;
  auto start = std::chrono::steady_clock::now();
  run_instruction(i, bound);
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  for (const auto* list : {&i.reads, &i.writes})
    for (u32 s : *list) bytes += static_cast<double>(bytes_[s]);
  profile_run(i.label, seconds - inside, bytes);
  inside = around + seconds;
}

void Context::copy(u32 from, u32 to) {
  if (bytes_[to] > 0 && at_[from] != at_[to]) std::memcpy(at_[to], at_[from], bytes_[to]);
  runtime_counters().copies++;
}

void Context::run_kernel(const Instruction& i, Bound& bound) {
  for (size_t k = 0; k < i.buffers.size(); ++k) bound.buffers[k] = at_[i.buffers[k]];
  const Executable& code = *i.code;
  const RunLimits* limits = run_limits();
  std::atomic<i64> error = 0;
  std::byte* parts = scratch(bound.scratch * static_cast<size_t>(ThreadPool::shared().threads()));
  for (size_t phase = 0; phase < bound.phases.size(); ++phase) {
    auto [extent, grain] = bound.phases[phase];
    if (extent <= 0) continue;
    auto piece = [&](i64 lo, i64 hi, int worker) {
      i64 mine = 0;
      if (limits) check_time(*limits);
      code.run(static_cast<i64>(phase), bound.buffers.data(), bound.sizes.data(), lo, hi,
               parts + bound.scratch * static_cast<size_t>(worker), &mine);
      if (mine != 0) error.store(mine, std::memory_order_relaxed);
    };
    if (grain == 0)
      piece(0, extent, 0);
    else
      ThreadPool::shared().run(extent, grain, piece);
    runtime_counters().phases++;
    if (!code.compiled()) runtime_counters().interpreted++;
  }
  if (error != 0) internal("a kernel's check " + std::to_string(error.load()) + " failed");
}

void Context::run_native(const Instruction& i, Bound& bound) {
  for (size_t k = 0; k < i.operands.size(); ++k) point(bound.operands[k], at_[i.operands[k]], bytes_[i.operands[k]]);
  for (size_t k = 0; k < i.results.size(); ++k) point(bound.results[k], at_[i.results[k]], bytes_[i.results[k]]);
  runtime_counters().natives++;
  try {
    i.op->lower.as<Native>()->run(bound.operands, bound.results, i.attrs);
  } catch (const Error& e) {
    std::string text = e.what(), place = " (" + to_string(i.where) + ")";
    if (!i.where.line() || text.ends_with(place)) throw;  // once, however deep a function called itself
    throw Error(text + place);
  }
}

}  // namespace tn
