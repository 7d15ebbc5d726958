#include "ir/rewrite.h"

#include <algorithm>

namespace tn {

Values inline_rewritten(Builder& b, const Graph& g, ValueSpan inputs, const NodeRewrite& rewrite) {
  Values env(g.value_count()), operands;
  std::copy(inputs.begin(), inputs.begin() + g.input_count(), env.begin());
  for (const Node& n : g.nodes()) {
    b.where = n.where;
    operands.clear();
    for (u32 v : g.operands(n)) operands.push_back(env[v]);
    auto made = rewrite(b, n, operands);
    Values results = made ? std::move(*made) : b.emit(*n.op, operands, n.attrs, &n.where);
    std::copy(results.begin(), results.end(), env.begin() + n.first_result);
  }
  Values outputs;
  for (u32 o : g.outputs()) outputs.push_back(env[o]);
  return outputs;
}

GraphPtr rewrite_graph(const Graph& g, std::span<const Type> inputs, const NodeRewrite& rewrite) {
  return make_graph(inputs, [&](Builder& b, ValueSpan in) { return inline_rewritten(b, g, in, rewrite); });
}

Attrs with_sizes(const Attrs& attrs, Sizes sizes) {
  std::vector<NamedAttr> items(attrs.items().begin(), attrs.items().end());
  for (auto& [name, value] : items) {
    if (auto* shape = std::get_if<Shape>(&value))
      for (Dim& d : *shape) d = substitute(d, sizes);
    if (auto* sub = std::get_if<GraphPtr>(&value); sub && *sub) *sub = with_sizes(**sub, sizes);
  }
  return Attrs(std::move(items));
}

GraphPtr with_sizes(const Graph& g, Sizes sizes) {
  std::vector<Type> types;
  for (Type t : g.input_types()) {
    if (t.is_tensor()) {
      Shape shape(t.shape().begin(), t.shape().end());
      for (Dim& d : shape) d = substitute(d, sizes);
      t = t.with(shape);
    }
    types.push_back(t);
  }
  return rewrite_graph(g, types, [&](Builder& b, const Node& n, ValueSpan x) {
    return b.emit(*n.op, x, with_sizes(n.attrs, sizes), &n.where);
  });
}

}  // namespace tn
