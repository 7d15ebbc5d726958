// Contractions as plain nests: lanes along the last result axis, one fma chain for each result. The indices come from
// the op; what reads the operands and what becomes of the sums is whatever the group computes there.
#include "compile/window.h"

namespace tn {

using loops::Val;

namespace {

class Nest {
 public:
  Nest(const Graph& g, KernelWriter& w, const Node& node)
      : g_(g), w_(w), node_(node), rule_(*node.op->lower.as<Contraction>()) {
    for (u32 v : g.operands(node)) types_.push_back(g.type(v));
    Coords out(static_cast<size_t>(g.type(node.first_result).rank()), Dim(0));
    Coords red(static_cast<size_t>(rule_.red_count(types_, node.attrs)), Dim(0));
    extents_ = rule_.spec(types_, node.attrs, out, red).red_extents;
    dtype_ = compute_dtype(types_[0].dtype());
  }

  /// The sums at these result coordinates, as a tile of the current width.
  Val sums(std::span<const Dim> out) {
    auto tile = w_.tile();
    Val zero = w_.builder().constant(0, dtype_, tile.rows, tile.lanes);
    Coords red;
    return nest(out, red, zero);
  }

 private:
  Val nest(std::span<const Dim> out, Coords& red, Val acc) {
    if (red.size() == extents_.size()) return term(out, red, acc);
    auto tile = w_.tile();
    Dim extent = extents_[red.size()];
    auto body = [&](Dim v, Val carry) {
      w_.set_tile(tile);
      red.push_back(v);
      Val next = nest(out, red, carry);
      red.pop_back();
      return next;
    };
    if (extent == Dim(1)) return body(0, acc);
    return w_.builder().loop("q", extent, {&acc, 1},
                             [&](Dim v, std::span<const Val> c) { return std::vector<Val>{body(v, c[0])}; })[0];
  }

  Val term(std::span<const Dim> out, std::span<const Dim> red, Val acc) {
    ContractionSpec spec = rule_.spec(types_, node_.attrs, out, red);
    auto ids = g_.operands(node_);
    Val a = operand(ids[0], spec.a_index, spec.a_divisor);
    Val b = operand(ids[1], spec.b_index, {});
    Val next = multiply_add(w_.builder(), a, b, acc);
    // What lies outside along the first spatial axis is left out, what lies outside along others multiplies zero: so
    // window.cpp has it, and so all executors have it.
    if (spec.a_index.size() < 3) return next;
    Dim divisor = spec.a_divisor.empty() ? Dim(1) : Dim(spec.a_divisor[2]);
    Reader::Limit row{floordiv(spec.a_index[2], divisor), 0, g_.type(ids[0]).shape()[2]};
    auto inside = w_.condition({&row, 1});
    return inside ? w_.builder().select(*inside, next, acc) : next;
  }

  Val operand(u32 value, std::span<const Dim> index, std::span<const i64> divisor) {
    auto shape = g_.type(value).shape();
    Coords at(index.begin(), index.end());
    std::vector<Reader::Limit> limits;
    for (size_t i = 0; i < at.size(); ++i) {
      if (i < divisor.size() && divisor[i] != 1) {
        limits.push_back({mod(at[i], divisor[i]), 0, 1});
        at[i] = floordiv(at[i], divisor[i]);
      }
      limits.push_back({at[i], 0, shape[i]});
    }
    return w_.at_where(value, at, limits, 0);
  }

  const Graph& g_;
  KernelWriter& w_;
  const Node& node_;
  const Contraction& rule_;
  std::vector<Type> types_;
  std::vector<Dim> extents_;
  DType dtype_;
};

}  // namespace

Lowered lower_contraction(const Graph& g, const GraphIndex& index, const Group& group, const Target& target) {
  if (auto window = lower_window_contraction(g, index, group, target)) return std::move(*window);
  if (auto tiled = lower_tiled_contraction(g, index, group, target)) return std::move(*tiled);
  // The plain nest reads elements many times: what is computed has to lie in memory.
  for (u32 v : g.operands(g.nodes()[group.anchor])) {
    u32 p = index.producer[v];
    if (p != GraphIndex::kInput && group.computed.contains(p) && !g.nodes()[p].op->lower.as<Movement>())
      throw Refusal{v};
  }
  return lower_plain_contraction(g, index, group, target);
}

Lowered lower_plain_contraction(const Graph& g, const GraphIndex& index, const Group& group, const Target& target) {
  const Node& node = g.nodes()[group.anchor];
  u32 result = node.first_result;
  auto shape = g.type(result).shape();
  size_t outer_rank = shape.empty() ? 0 : shape.size() - 1;
  auto outer_shape = shape.first(outer_rank), inner_shape = shape.subspan(outer_rank);
  KernelWriter w(g, index, group.computed, std::string(node.op->name));
  Nest nest(g, w, node);
  w.builder().parallel("p", product(outer_shape), [&](Dim p) {
    Coords at = coordinates(p, outer_shape);
    blocks(w, product(inner_shape), target.map_lanes, {}, [&](Dim base, std::span<const Val>) {
      Coords out = at;
      Coords lanes = coordinates(base + loops::lane(), inner_shape);
      out.insert(out.end(), lanes.begin(), lanes.end());
      Val v = nest.sums(out);
      w.remember(result, out, rounded(w, result, v));
      for (u32 o : group.outputs) {
        Val x = w.at(o, out);
        w.store(o, out, x);
      }
      return std::vector<Val>{};
    });
  });
  Lowered done;
  done.kernel = w.finish();
  done.arguments = w.arguments();
  return done;
}

}  // namespace tn
