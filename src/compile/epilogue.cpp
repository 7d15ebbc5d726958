// What all contractions share: the node's indices, and what becomes of a tile of sums.
#include "compile/contraction.h"

#include <vector>

namespace tn {

using loops::Val;

static constexpr Dim kNoLimit = loops::Node::kNone;

// ---------------------------------------------------------------- the view

ContractionView::ContractionView(const Graph& g, const Node& n)
    : node(n), rule(*n.op->lower.as<Contraction>()), result(n.first_result) {
  auto ids = g.operands(n);
  a = ids[0], b = ids[1];
  for (u32 v : ids) types.push_back(g.type(v));
  auto shape = g.type(result).shape();
  out_extents.assign(shape.begin(), shape.end());
  for (size_t i = 0; i < shape.size(); ++i) out.push_back(Dim::symbol("out'" + std::to_string(i)));
  for (int i = 0; i < rule.red_count(types, n.attrs); ++i) red.push_back(Dim::symbol("red'" + std::to_string(i)));
  spec = at(out, red);
  red_extents = spec.red_extents;
  dtype = compute_dtype(types[0].dtype());
}

ContractionSpec ContractionView::at(std::span<const Dim> o, std::span<const Dim> r) const {
  return rule.spec(types, node.attrs, o, r);
}

bool made_of_constants(const Graph& g, const GraphIndex& index, u32 value) {
  std::vector<u32> open{value};
  std::vector<bool> seen(g.value_count());
  while (!open.empty()) {
    u32 producer = index.producer[open.back()];
    open.pop_back();
    if (producer == GraphIndex::kInput) return false;
    for (u32 v : g.operands(g.nodes()[producer]))
      if (!seen[v]) {
        seen[v] = true;
        open.push_back(v);
      }
  }
  return true;
}

Val multiply_add(loops::Builder& b, Val a, Val x, Val acc) {
  if (is_float(b.tile(acc).dtype)) return b.fma(a, x, acc);
  Val product = b.mul(a, x);
  return b.add(acc, product);
}

// ---------------------------------------------------------------- epilogue

/// Expressions of more nodes than this are rolled over the rows of a tile: unrolled they would be megabytes of code.
static constexpr size_t kUnrolledNodes = 10;

Epilogue::Epilogue(const Graph& g, const GraphIndex& index, const Group& group, u32 result)
    : group_(group), result_(result) {
  KernelWriter w(g, index, group.computed, "probe");
  w.builder().parallel("p", 1, [&](Dim) {
    w.set_tile({1, 1});
    Val acc = w.builder().constant(0, compute_dtype(g.type(result).dtype()));
    Coords at(g.type(result).shape().size(), Dim(0));
    size_t before = w.kernel().nodes.size();
    store_tile(w, at, acc);
    nodes_ = w.kernel().nodes.size() - before;
  });
  rolled_ = nodes_ > kUnrolledNodes + group.outputs.size();
}

void Epilogue::store_tile(KernelWriter& w, std::span<const Dim> out, Val acc) const {
  Val v = rounded(w, result_, acc);
  w.remember(result_, out, v);
  for (u32 o : group_.outputs) {
    Val x = w.at(o, out);
    w.store(o, out, x);
  }
}

Val Epilogue::value(KernelWriter& w, std::span<const Dim> out, Val acc) const {
  Val v = rounded(w, result_, acc);
  w.remember(result_, out, v);
  return w.at(group_.outputs[0], out);
}

void Epilogue::store(KernelWriter& w, std::span<const Dim> out, Val acc) const {
  auto tile = w.tile();
  if (!rolled_ || tile.rows == 1) return store_tile(w, out, acc);
  loops::Builder& b = w.builder();
  int scratch = b.alloc("tile", b.tile(acc).dtype, {tile.rows, tile.lanes});
  Dim at[] = {loops::row(), loops::lane()};
  b.store(scratch, at, acc);
  Dim count = tile.row_limit == kNoLimit ? Dim(tile.rows) : min(tile.row_limit, tile.rows);
  b.serial("e", count, [&](Dim r) {
    w.set_tile({1, tile.lanes, kNoLimit, tile.lane_limit});
    std::pair<Dim, Dim> row_is[] = {{loops::row(), r}};
    Coords here;
    for (Dim d : out) here.push_back(substitute(d, row_is));
    Dim from[] = {r, loops::lane()};
    Val v = b.load(scratch, from, 1, tile.lanes);
    store_tile(w, here, v);
  });
  w.set_tile(tile);
}

}  // namespace tn
