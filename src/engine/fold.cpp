#include "engine/fold.h"

#include <algorithm>

#include "ir/op_def.h"
#include "ir/rewrite.h"
#include "op/emit.h"
#include "runtime/execute.h"

namespace tn {

namespace {

/// Small results may be larger than what they are made of.
constexpr i64 kSmall = 4096;

i64 bytes_of(std::span<const Type> types) {
  i64 n = 0;
  for (const Type& t : types) n += t.size().value() * static_cast<i64>(bytes(t.dtype()));
  return n;
}

bool concrete(std::span<const Type> types) {
  return std::all_of(types.begin(), types.end(), [](const Type& t) { return t.is_tensor() && t.size().is_constant(); });
}

class Folder {
 public:
  explicit Folder(const Graph& g) : g_(g), known_(g.value_count()), wanted_(g.value_count()) {
    for (const Node& n : g.nodes()) {
      bool known = is_constant(n) || computable(n);
      for (u32 i = 0; i < n.result_count; ++i) known_[n.first_result + i] = known;
    }
    auto want = [&](u32 v) { wanted_[v] = known_[v]; };
    for (const Node& n : g.nodes())
      if (!known_[n.first_result]) std::ranges::for_each(g.operands(n), want);
    std::ranges::for_each(g.outputs(), want);
  }

  GraphPtr run() {
    compute();
    if (values_.empty()) return nullptr;
    size_t next = 0;
    return rewrite_graph(g_, g_.input_types(), [&](Builder& b, const Node& n, ValueSpan) -> std::optional<Values> {
      if (is_constant(n) || !known_[n.first_result]) return std::nullopt;
      Values r(n.result_count);
      for (u32 i = 0; i < n.result_count; ++i)
        if (wanted_[n.first_result + i]) r[i] = constant(b, values_[next++]);
      return r;
    });
  }

 private:
  bool computable(const Node& n) const {
    auto operands = g_.operands(n);
    if (n.effectful || operands.empty() || !concrete(g_.result_types(n))) return false;
    std::vector<Type> types;
    for (u32 v : operands) {
      if (!known_[v]) return false;
      types.push_back(g_.type(v));
    }
    return bytes_of(g_.result_types(n)) <= std::max(kSmall, bytes_of(types));
  }

  /// The wanted values, by one graph whose inputs are the constants: the plan made for it holds none of them.
  void compute() {
    std::vector<Type> types;
    std::vector<Array> constants;
    for (const Node& n : g_.nodes())
      if (is_constant(n)) {
        types.push_back(g_.type(n.first_result));
        constants.push_back(n.attrs.get<Array>("value"));
      }
    GraphPtr known = make_graph(types, [&](Builder& b, ValueSpan in) {
      Values env(g_.value_count()), out;
      size_t next = 0;
      for (const Node& n : g_.nodes()) {
        if (!known_[n.first_result]) continue;
        if (is_constant(n)) {
          env[n.first_result] = in[next++];
          continue;
        }
        Values x;
        for (u32 v : g_.operands(n)) x.push_back(env[v]);
        Values r = b.emit(*n.op, x, n.attrs);
        for (u32 i = 0; i < n.result_count; ++i) {
          env[n.first_result + i] = r[i];
          if (wanted_[n.first_result + i]) out.push_back(r[i]);
        }
      }
      return out;
    });
    if (!known->outputs().empty()) values_ = execute(known, constants);
  }

  const Graph& g_;
  std::vector<bool> known_, wanted_;
  std::vector<Array> values_;
};

}  // namespace

GraphPtr fold_constants(const GraphPtr& g) {
  GraphPtr folded = Folder(*g).run();
  return folded ? folded : g;
}

}  // namespace tn
