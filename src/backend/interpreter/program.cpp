// From a kernel to steps. Tiles get places in the frame (lifetimes.cpp); Dims become slots, each recomputed only when
// the newest symbol in it changes: an update belongs to the innermost loop or index node whose variable it mentions,
// and the step that sets the variable runs the updates of its scope.
#include <algorithm>
#include <bit>
#include <deque>
#include <map>
#include <unordered_map>

#include "backend/interpreter/code.h"
#include "backend/interpreter/lifetimes.h"
#include "ir/dim_node.h"
#include "ir/scalar_functions.h"
#include "tenon/error.h"

namespace tn::loops::interpreter {

namespace {

constexpr i32 kOne = 0, kZero = 1;  // slots of these constants

/// Dims to slots.
class Slots {
 public:
  explicit Slots(Code& p) : p_(p) {
    p_.dim_slots = 2;
    p_.fixed_dims = {{kOne, 1}};
    slots_ = {{Dim(1).bits(), kOne}, {Dim(0).bits(), kZero}};
    open_scope();
  }

  size_t open_scope() {
    scopes_.emplace_back();
    open_.push_back(scopes_.size() - 1);
    return scopes_.size() - 1;
  }
  size_t depth() const { return open_.size(); }
  void close_to(size_t depth) { open_.resize(depth); }

  /// A slot set by a step (variable) or from outside (size); updates that mention it belong to the newest scope.
  i32 bind(Dim symbol) {
    i32 s = p_.dim_slots++;
    slots_[symbol.bits()] = s;
    depths_[symbol.bits()] = open_.size() - 1;
    return s;
  }

  i32 of(Dim d) {
    if (auto found = slots_.find(d.bits()); found != slots_.end()) return found->second;
    i32 s = make(d);
    slots_[d.bits()] = s;
    return s;
  }

  /// Updates in order of scopes; fills in the ranges of the steps that run them.
  void finish(std::span<const std::pair<size_t, size_t>> runners) {
    std::vector<std::pair<i32, i32>> ranges;
    for (const auto& scope : scopes_) {
      i32 first = static_cast<i32>(p_.updates.size());
      p_.updates.insert(p_.updates.end(), scope.begin(), scope.end());
      ranges.emplace_back(first, static_cast<i32>(p_.updates.size()));
    }
    std::tie(p_.first_entry_update, p_.last_entry_update) = ranges[0];
    for (auto [step, scope] : runners)
      std::tie(p_.steps[step].first_update, p_.steps[step].last_update) = ranges[scope];
  }

 private:
  i32 make(Dim d) {
    if (d.is_constant()) {
      p_.fixed_dims.emplace_back(p_.dim_slots, d.value());
      return p_.dim_slots++;
    }
    const DimNode* n = d.node();
    switch (n->kind) {
      case DimNode::Kind::symbol: internal("a Dim mentions '" + n->name + "', which is bound nowhere around it");
      case DimNode::Kind::polynomial: return polynomial(d, n->terms);
      case DimNode::Kind::floordiv: return compound(d, n, Update::Kind::floordiv);
      case DimNode::Kind::min: return compound(d, n, Update::Kind::min);
      case DimNode::Kind::max: return compound(d, n, Update::Kind::max);
    }
    internal("a Dim of no kind");
  }

  i32 compound(Dim d, const DimNode* n, Update::Kind kind) {
    i32 a = of(n->a), b = of(n->b), target = p_.dim_slots++;
    scope_of(d).push_back({kind, target, a, b, 0, 0});
    return target;
  }

  i32 polynomial(Dim d, const DimNode::Terms& terms) {
    // What changes less often is a slot of its own, so that an inner loop adds only its own terms.
    size_t mine = depth_of(d);
    Dim slower = 0;
    std::vector<Term> made;
    for (const auto& t : terms) {
      Dim product = t.coefficient;
      for (const DimNode* atom : t.atoms) product = product * Dim(atom);
      if (depth_of(product) < mine) {
        slower = slower + product;
        continue;
      }
      std::vector<i32> factors;
      for (const DimNode* atom : t.atoms) factors.push_back(of(Dim(atom)));
      while (factors.size() > 2) {
        i32 pair = p_.dim_slots++;
        add_polynomial(mine, pair, kZero, {{1, factors[factors.size() - 1], factors[factors.size() - 2]}});
        factors.resize(factors.size() - 2);
        factors.push_back(pair);
      }
      factors.resize(2, kOne);
      made.push_back({t.coefficient, factors[0], factors[1]});
    }
    i32 base = of(slower), target = p_.dim_slots++;
    add_polynomial(mine, target, base, made);
    return target;
  }

  void add_polynomial(size_t depth, i32 target, i32 base, const std::vector<Term>& terms) {
    i32 first = static_cast<i32>(p_.terms.size());
    p_.terms.insert(p_.terms.end(), terms.begin(), terms.end());
    scopes_[open_[depth]].push_back(
        {Update::Kind::polynomial, target, base, 0, first, static_cast<i32>(p_.terms.size())});
  }

  size_t depth_of(Dim d) const {
    size_t deepest = 0;
    for (Dim s : symbols_of(d))
      if (auto found = depths_.find(s.bits()); found != depths_.end()) deepest = std::max(deepest, found->second);
    return deepest;
  }
  std::vector<Update>& scope_of(Dim d) { return scopes_[open_[depth_of(d)]]; }

  Code& p_;
  std::unordered_map<u64, i32> slots_;
  std::unordered_map<u64, size_t> depths_;  // of bound symbols, as positions in open_
  std::deque<std::vector<Update>> scopes_;  // all there ever were; 0 = the run's entry
  std::vector<size_t> open_;
};

u64 bits_of(double number, DType d) {
  switch (d) {
    case DType::f64: return std::bit_cast<u64>(number);
    case DType::f32: return std::bit_cast<u32>(static_cast<float>(number));
    case DType::f16: return anywhere::float_to_half_bits(static_cast<float>(number));
    case DType::bf16: return anywhere::float_to_bfloat_bits(static_cast<float>(number));
    case DType::boolean: return number != 0;
    default: return static_cast<u64>(anywhere::saturate<i64>(number));
  }
}

class ProgramBuilder {
 public:
  ProgramBuilder(const Kernel& k, const Kernels& kernels)
      : k_(k), kernels_(kernels), slots_(p_), places_(place_tiles(k)), step_of_(k.nodes.size(), 0) {
    for (Dim s : k.sizes) p_.size_slots.push_back(slots_.bind(s));
  }

  Code run() {
    place_constants();
    for (Val n = 0; n < static_cast<Val>(k_.nodes.size()); ++n) emit(n);
    p_.steps.push_back(Step{.fn = finish});
    slots_.finish(runners_);
    p_.frame_bytes = places_.bytes;
    return std::move(p_);
  }

 private:
  static constexpr i32 kSpread = 1024;  // constants up to this many elements are laid out in full

  static size_t index(Val v) { return static_cast<size_t>(v); }
  const Node& node(Val v) const { return k_.nodes[index(v)]; }
  i32& at(Val v) { return places_.at[index(v)]; }

  /// Constants stand ready in the frame, as often as their widest user needs.
  void place_constants() {
    std::vector<i32> needed(k_.nodes.size(), 0);
    for (const Node& n : k_.nodes) {
      if (n.kind == Kind::carry || n.kind == Kind::result) continue;
      for (Val v : k_.operands(n)) {
        i32 count = node(v).tile.size();
        if (n.kind == Kind::map && n.tile.size() <= kSpread) count = n.tile.size();
        needed[index(v)] = std::max(needed[index(v)], count);
      }
    }
    std::map<std::pair<u64, i32>, size_t> same;  // by bits and width
    for (Val v = 0; v < static_cast<Val>(k_.nodes.size()); ++v) {
      const Node& n = node(v);
      if (n.kind != Kind::constant) continue;
      i32 width = bytes(n.tile.dtype);
      u64 raw = is_float(n.tile.dtype) ? bits_of(n.number, n.tile.dtype) : static_cast<u64>(n.whole);
      auto [found, added] = same.try_emplace({raw, width}, p_.constants.size());
      if (added) p_.constants.push_back({0, 1, width, raw});
      Code::Constant& c = p_.constants[found->second];
      c.count = std::max(c.count, needed[index(v)]);
      at(v) = static_cast<i32>(found->second);
    }
    for (Code::Constant& c : p_.constants) {
      c.offset = static_cast<i32>(places_.bytes);
      places_.bytes += static_cast<size_t>(c.bytes * c.count + 63) / 64 * 64;
    }
    for (Val v = 0; v < static_cast<Val>(k_.nodes.size()); ++v)
      if (node(v).kind == Kind::constant) at(v) = p_.constants[index(at(v))].offset;
  }

  void push(Val n, Step s) {
    if (!s.fn) internal("the interpreter has no kernel for node %" + std::to_string(n));
    step_of_[index(n)] = p_.steps.size();
    p_.steps.push_back(s);
  }

  void emit(Val n) {
    const Node& i = node(n);
    Step s;
    if (i.kind != Kind::loop && i.kind != Kind::yield) s.to = at(n);
    if (i.arg_count && i.kind != Kind::carry && i.kind != Kind::result) s.a = at(k_.operands(i)[0]);
    switch (i.kind) {
      case Kind::map:
        if (i.op == ScalarOp::bitcast)
          at(n) = at(k_.operands(i)[0]);  // a constant's place was not known before
        else
          map(n, s);
        break;
      case Kind::reduce:
      case Kind::scan:
      case Kind::slice:
      case Kind::transpose: shape(n, s); break;
      case Kind::dim: dim(n, s); break;
      case Kind::load:
      case Kind::store:
      case Kind::gather:
      case Kind::scatter:
      case Kind::prefetch: memory(n, s); break;
      case Kind::check: check(n, s); break;
      case Kind::index: take_index(n, s); break;
      case Kind::loop: begin_loop(n); break;
      case Kind::yield: end_loop(n); break;
      case Kind::constant:
      case Kind::alloc:
      case Kind::carry:
      case Kind::result: break;
      case Kind::mma:
      case Kind::barrier:
      case Kind::while_:
      case Kind::if_: internal("the interpreter has no such node: %" + std::to_string(n));
    }
  }

  // ---- tiles

  void map(Val n, Step s) {
    const Node& i = node(n);
    auto x = k_.operands(i);
    Tile t = i.tile;
    bool flat = true, column = t.lanes == 1;
    for (Val v : x) {
      const Tile& o = node(v).tile;
      bool whole = o.rows == t.rows && o.lanes == t.lanes;
      flat &= whole || (constant(v) && t.size() <= kSpread) || (column && o.size() == 1);
    }
    s.rows = flat ? 1 : t.rows;
    s.lanes = flat ? t.size() : t.lanes;
    i32* places[] = {&s.a, &s.b, &s.c};
    i32* pitches[] = {&s.pitch_a, &s.pitch_b, &s.pitch_c};
    bool* splats[] = {&s.splat_a, &s.splat_b, &s.splat_c};
    for (size_t j = 0; j < x.size(); ++j) {
      const Tile& o = node(x[j]).tile;
      *places[j] = at(x[j]);
      if (constant(x[j]) && t.size() <= kSpread) continue;  // laid out: one row serves all
      *splats[j] = o.lanes == 1 && s.lanes > 1 && !(flat && o.size() == t.size());
      *pitches[j] = o.rows == 1 ? 0 : o.lanes;
    }
    DType operand = node(x[i.op == ScalarOp::select ? 1 : 0]).tile.dtype;
    s.fn = kernels_.map(s, i.op, operand, t.dtype);
    push(n, s);
  }

  bool constant(Val v) const { return node(v).kind == Kind::constant; }

  void shape(Val n, Step s) {
    const Node& i = node(n);
    const Tile& from = node(k_.operands(i)[0]).tile;
    s.rows = from.rows;
    s.lanes = from.lanes;
    s.flag = i.axis == Axis::rows;
    if (i.kind == Kind::reduce) {
      s.b = places_.room[index(n)];
      s.fn = kernels_.fold(i.op, from.dtype);
    } else if (i.kind == Kind::scan) {
      s.fn = kernels_.scan(i.op, from.dtype);
    } else if (i.kind == Kind::slice) {
      s.extent = i.at;
      s.fn = kernels_.slice(bytes(from.dtype));
    } else {
      s.rows = i.tile.rows;
      s.lanes = i.tile.lanes;
      s.fn = kernels_.transpose(bytes(from.dtype));
    }
    push(n, s);
  }

  /// base + r * row_stride + l * lane_stride
  void affine(Val n, Dim d, Step& s, i64 usual_lane_stride) {
    auto down = coefficient(d, row()), right = coefficient(d, lane());
    if (!down || !right) internal("%" + std::to_string(n) + ": " + to_string(d) + " is not affine in r and l");
    std::pair<Dim, Dim> origin[] = {{row(), 0}, {lane(), 0}};
    s.base = slots_.of(substitute(d, origin));
    if (s.rows > 1) s.row_stride = slots_.of(*down);
    if (s.lanes > 1 && *right != Dim(usual_lane_stride)) s.lane_stride = slots_.of(*right);
  }

  void dim(Val n, Step s) {
    const Node& i = node(n);
    s.rows = i.tile.rows;
    s.lanes = i.tile.lanes;
    affine(n, k_.index(i)[0], s, 0);
    s.fn = kernels_.dim(i.tile.dtype);
    push(n, s);
  }

  // ---- memory

  void memory(Val n, Step s) {
    const Node& i = node(n);
    const Buffer& b = k_.buffers[index(i.buffer)];
    s.rows = i.tile.rows;
    s.lanes = i.tile.lanes;
    s.flag = i.any;
    s.fill = bits_of(i.number, b.dtype);
    s.buffer = b.is_argument() ? argument_number(i.buffer) : -1;
    bool by_tile = i.kind == Kind::gather || i.kind == Kind::scatter;
    std::vector<Dim> where(k_.index(i).begin(), k_.index(i).end());
    if (by_tile) {
      size_t axis = index(i.at);
      where[axis] = 0;
      s.axis_stride = slots_.of(b.strides[axis]);
      s.axis_extent = slots_.of(b.shape[axis]);
    }
    Dim offset = element_offset(b, where);
    if (!b.is_argument()) offset = offset + floordiv(b.offset, Dim(bytes(b.dtype)));
    affine(n, offset, s, by_tile ? 0 : 1);
    if (i.row_limit != Node::kNone) s.row_limit = slots_.of(i.row_limit);
    if (i.lane_limit != Node::kNone) s.lane_limit = slots_.of(i.lane_limit);
    choose_memory(i, b.dtype, s);
    push(n, s);
  }

  void choose_memory(const Node& i, DType d, Step& s) {
    auto x = k_.operands(i);
    if (i.kind == Kind::load)
      s.fn = kernels_.load(s, bytes(d));
    else if (i.kind == Kind::store)
      s.fn = kernels_.store(s, bytes(d));
    else if (i.kind == Kind::gather)
      s.fn = kernels_.gather(bytes(d), node(x[0]).tile.dtype);
    else if (i.kind == Kind::scatter) {
      s.b = at(x[1]);
      s.fn = kernels_.scatter(d, node(x[0]).tile.dtype, i.op == ScalarOp::add);
    } else {
      s.lanes = bytes(d);
      s.fn = prefetch;
    }
  }

  i32 argument_number(int buffer) const {
    i32 number = 0;
    for (int b = 0; b < buffer; ++b) number += k_.buffers[index(b)].is_argument();
    return number;
  }

  // ---- control

  void check(Val n, Step s) {
    s.lanes = node(k_.operands(node(n))[0]).tile.size();
    s.guard = node(n).at;
    s.fn = check_all;
    push(n, s);
  }

  void take_index(Val n, Step s) {
    const Node& i = node(n);
    s.extent = slots_.of(i.extent);
    size_t scope = slots_.open_scope();
    s.variable = slots_.bind(i.variable);
    switch (node(k_.operands(i)[0]).tile.dtype) {
      case DType::i64: s.fn = take_index_i64; break;
      case DType::i32: s.fn = take_index_i32; break;
      case DType::u32: s.fn = take_index_u32; break;
      case DType::i8: s.fn = take_index_i8; break;
      case DType::u8: s.fn = take_index_u8; break;
      default: break;
    }
    push(n, s);
    runners_.emplace_back(step_of_[index(n)], scope);
  }

  void begin_loop(Val n) {
    const Node& i = node(n);
    Step s{.fn = enter_loop};
    s.flag = i.loop == LoopKind::parallel;
    if (s.flag)
      s.guard = phase_++;
    else
      s.extent = slots_.of(i.extent);
    auto initial = k_.operands(i);
    s.first_copy = static_cast<i32>(p_.copies.size());
    for (size_t j = 0; j < initial.size(); ++j)
      copy(at(n + 1 + static_cast<Val>(j)), at(initial[j]), node(n + 1 + static_cast<Val>(j)).tile);
    s.last_copy = static_cast<i32>(p_.copies.size());
    loops_.push_back({n, slots_.depth()});
    size_t scope = slots_.open_scope();
    s.variable = slots_.bind(i.variable);
    push(n, s);
    runners_.emplace_back(step_of_[index(n)], scope);
    scope_of_loop_.push_back(scope);
  }

  void copy(i32 to, i32 from, const Tile& t) {
    if (to != from) p_.copies.push_back({to, from, static_cast<i32>(tile_bytes(t))});
  }

  void end_loop(Val n) {
    auto [header, depth] = loops_.back();
    Step& head = p_.steps[step_of_[index(header)]];
    Step s{.fn = next_iteration};
    s.flag = head.flag;
    s.extent = head.extent;
    s.variable = head.variable;
    i32 here = static_cast<i32>(p_.steps.size()), first = static_cast<i32>(step_of_[index(header)]);
    s.jump = first + 1 - here;
    head.jump = here + 1 - first;
    s.first_copy = static_cast<i32>(p_.copies.size());
    yield_copies(header, n);
    s.last_copy = static_cast<i32>(p_.copies.size());
    push(n, s);
    runners_.emplace_back(step_of_[index(n)], scope_of_loop_.back());
    slots_.close_to(depth);
    loops_.pop_back();
    scope_of_loop_.pop_back();
  }

  /// All carries change at once: where one's source is another's target, sources are first set aside.
  void yield_copies(Val header, Val yield) {
    auto values = k_.operands(node(yield));
    auto carry = [&](size_t j) { return header + 1 + static_cast<Val>(j); };
    bool crossed = false;
    for (size_t j = 0; j < values.size(); ++j)
      for (size_t m = 0; m < values.size(); ++m)
        crossed |= m != j && at(values[m]) != at(carry(m)) && at(values[j]) == at(carry(m));
    std::vector<i32> source;
    for (size_t j = 0; j < values.size(); ++j) {
      source.push_back(at(values[j]));
      if (!crossed || source[j] == at(carry(j))) continue;
      i32 aside = static_cast<i32>(places_.bytes);
      places_.bytes += (tile_bytes(node(carry(j)).tile) + 63) / 64 * 64;
      copy(aside, source[j], node(carry(j)).tile);
      source[j] = aside;
    }
    for (size_t j = 0; j < values.size(); ++j) copy(at(carry(j)), source[j], node(carry(j)).tile);
  }

  struct OpenLoop {
    Val header;
    size_t depth;
  };

  Code p_;
  const Kernel& k_;
  const Kernels& kernels_;
  Slots slots_;
  Places places_;
  std::vector<size_t> step_of_;
  std::vector<OpenLoop> loops_;
  std::vector<size_t> scope_of_loop_;
  std::vector<std::pair<size_t, size_t>> runners_;  // steps that run a scope's updates
  i64 phase_ = 0;
};

}  // namespace

Code build(const Kernel& kernel, const Kernels& kernels) { return ProgramBuilder(kernel, kernels).run(); }

}  // namespace tn::loops::interpreter
