// cond: a predicate of rank 0 chooses a branch; one of rank k chooses by lane, and then every operand and result has
// its k axes in front. It stays a cond in every transform, so a derivative is that of the branch taken, and nothing of
// the branch not taken (a NaN, say) can reach it.
//
// The two branches must return the same types, so their masks are joined: what one branch lacks it returns as zeros.
#include <algorithm>
#include <array>

#include "op/emit.h"
#include "op/region_rules.h"
#include "transform/effects.h"

namespace tn {

namespace {

using Branches = std::array<GraphPtr, 2>;

Branches branches_of(const Attrs& attrs) { return {attrs.get<GraphPtr>("then"), attrs.get<GraphPtr>("else")}; }

Values emit_cond(Builder& b, ValueSpan operands, const Branches& branches) {
  return b.emit(op("cond"), operands, {{"then", branches[0]}, {"else", branches[1]}});
}

Mask either(const Mask& a, const Mask& b) {
  Mask result = a;
  for (size_t i = 0; i < a.size(); ++i) result[i] = a[i] || b[i];
  return result;
}

/// The graph returns `head` results, then those of `have`; it shall return those of `want`, the others as zeros of
/// types[i].
GraphPtr with_zeros(const GraphPtr& g, size_t head, const Mask& have, const Mask& want, std::span<const Type> types) {
  if (have == want) return g;
  return make_graph(g->input_types(), [&](Builder& b, ValueSpan x) {
    Values all = inline_graph(b, *g, x), result(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(head));
    for (size_t i = 0, k = head; i < have.size(); ++i) {
      Value v = have[i] ? all[k++] : Value{};
      if (want[i]) result.push_back(or_zeros(b, v, types[i]));
    }
    return result;
  });
}

Values cond_jvp(Builder& b, ValueSpan x, ValueSpan t, const Attrs& attrs, Values& dy) {
  Branches g = branches_of(attrs);
  Mask tangents = present_mask(t.subspan(1));
  std::array<Transformed, 2> j{jvp_graph(g[0], tangents), jvp_graph(g[1], tangents)};
  Mask live = either(j[0].mask, j[1].mask);
  auto types = g[0]->output_types();
  Branches joined;
  for (int k : {0, 1}) joined[k] = with_zeros(j[k].graph, live.size(), j[k].mask, live, types);
  Values operands = list(x);
  append(operands, present(t));
  Values all = emit_cond(b, operands, joined);
  for (size_t i = 0, k = live.size(); i < live.size(); ++i)
    if (live[i]) dy[i] = all[k++];
  all.resize(live.size());
  return all;
}

// ---------------------------------------------------------------- split

/// What the linear branches take before the unknown operands: residuals, which both branches share where their types
/// agree, for only one of them fills them; then known operands that serve as residuals themselves.
struct SharedResiduals {
  std::vector<Type> types;
  std::vector<u32> operands;              // known ones, by place among the known
  std::array<std::vector<u32>, 2> place;  // by branch, by its residual: in (types..., operands...)
};

u32 place_of(std::vector<u32>& items, u32 item) {
  auto found = std::find(items.begin(), items.end(), item);
  if (found == items.end()) found = items.insert(items.end(), item);
  return static_cast<u32>(found - items.begin());
}

SharedResiduals share(const std::array<Split, 2>& s) {
  SharedResiduals r;
  for (const Split& split : s)
    for (u32 input : direct_residuals(split))
      if (input != ~0u) place_of(r.operands, input);
  for (int k : {0, 1}) {
    std::vector<bool> taken(r.types.size());
    auto types = s[k].known->output_types();
    auto direct = direct_residuals(s[k]);
    for (size_t i = 0; i < direct.size(); ++i) {
      if (direct[i] != ~0u) {
        r.place[k].push_back(~place_of(r.operands, direct[i]));
        continue;
      }
      Type t = types[types.size() - direct.size() + i];
      u32 place = 0;
      while (place < taken.size() && (taken[place] || r.types[place] != t)) ++place;
      if (place == taken.size()) {
        taken.push_back(false);
        r.types.push_back(t);
      }
      taken[place] = true;
      r.place[k].push_back(place);
    }
  }
  for (auto& places : r.place)  // operands come behind all residuals, whose number is known only now
    for (u32& place : places)
      if (place >= r.types.size()) place = static_cast<u32>(r.types.size()) + ~place;
  return r;
}

GraphPtr known_branch(const Split& s, const SharedResiduals& shared, const std::vector<u32>& place) {
  return make_graph(s.known->input_types(), [&](Builder& b, ValueSpan x) {
    Values all = inline_graph(b, *s.known, x), residuals(shared.types.size());
    size_t results = all.size() - s.residuals;
    for (size_t i = 0; i < place.size(); ++i)
      if (place[i] < residuals.size()) residuals[place[i]] = all[results + i];
    all.resize(results);
    for (size_t i = 0; i < residuals.size(); ++i) all.push_back(or_zeros(b, residuals[i], shared.types[i]));
    return all;
  });
}

GraphPtr linear_branch(const Split& s, const SharedResiduals& shared, const std::vector<u32>& place) {
  std::vector<Type> types = shared.types;
  for (u32 i : shared.operands) types.push_back(s.known->type(i));
  size_t residuals = types.size();
  append(types, s.linear->input_types().subspan(s.residuals));
  return make_graph(types, [&](Builder& b, ValueSpan x) {
    Values inputs;
    for (u32 p : place) inputs.push_back(x[p]);
    append(inputs, x.subspan(residuals));
    return inline_graph(b, *s.linear, inputs);
  });
}

std::optional<SplitResult> cond_split(Builder& known, ValueSpan x, const Mask& unknown, const Attrs& attrs) {
  if (unknown[0]) return std::nullopt;
  Branches g = branches_of(attrs);
  Mask inputs(unknown.begin() + 1, unknown.end());
  Mask late = either(split_graph(g[0], inputs).unknown, split_graph(g[1], inputs).unknown);
  std::array<Split, 2> s{split_graph(g[0], inputs, late), split_graph(g[1], inputs, late)};
  SharedResiduals shared = share(s);
  Branches first;
  for (int k : {0, 1}) first[k] = known_branch(s[k], shared, shared.place[k]);
  Values operands = present(x), all = emit_cond(known, operands, first);
  SplitResult r;
  r.unknown = late;
  r.known.resize(late.size());
  size_t at = 0;
  for (size_t i = 0; i < late.size(); ++i)
    if (!late[i]) r.known[i] = all[at++];
  r.residuals = {x[0]};
  append(r.residuals, ValueSpan(all).subspan(at));
  for (u32 i : shared.operands) r.residuals.push_back(operands[i + 1]);
  r.emit_linear = [s, shared](Builder& linear, ValueSpan residuals, ValueSpan values) {
    Values all_operands = list(residuals);
    append(all_operands, values);
    Branches second;
    for (int k : {0, 1}) second[k] = linear_branch(s[k], shared, shared.place[k]);
    return emit_cond(linear, all_operands, second);
  };
  return r;
}

// ---------------------------------------------------------------- transpose, vmap

Values cond_transpose(Builder& b, ValueSpan x, const Mask& linear, ValueSpan ct, const Attrs& attrs,
                      std::span<const Type>, std::span<const Type>) {
  if (linear[0]) internal("[cond] is transposed with respect to its predicate");
  Branches g = branches_of(attrs);
  Mask inputs(linear.begin() + 1, linear.end());
  std::array<Transformed, 2> t;
  for (int k : {0, 1}) t[k] = transpose_graph(prune_graph(g[k], present_mask(ct)), inputs);
  Mask live = either(t[0].mask, t[1].mask);
  auto types = select_where(g[0]->input_types(), inputs);
  Branches joined;
  for (int k : {0, 1}) joined[k] = with_zeros(t[k].graph, 0, t[k].mask, live, types);
  Values operands = present(x), result(x.size());
  append(operands, present(ct));
  Values all = emit_cond(b, operands, joined);
  for (size_t i = 0, l = 0, k = 0; i < inputs.size(); ++i)
    if (inputs[i] && live[l++]) result[i + 1] = all[k++];
  return result;
}

Values cond_guard(Builder& b, Value lane, ValueSpan x, const Attrs& attrs) {
  Values operands{x[0], broadcast(lane, shape_of(x[0]), {})};
  append(operands, x.subspan(1));
  return b.emit(op("cond"), operands, guard_attrs(attrs));
}

Batched cond_batch(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& attrs) {
  Branches g = branches_of(attrs);
  if (batched[0] || x[0].rank() > 0) {
    if (has_effect_besides_assert(*g[0]) || has_effect_besides_assert(*g[1]))
      fail("cond",
           "expected branches without effects under vmap, where each lane takes its own, got one with an effect; "
           "move it out of the cond",
           b.where);
    return all_batched(emit_cond(b, all_to_lanes(x, batched, n), g));
  }
  Mask inputs(batched.begin() + 1, batched.end());
  std::array<Transformed, 2> t{vmap_graph(g[0], inputs, n), vmap_graph(g[1], inputs, n)};
  Mask want = either(t[0].mask, t[1].mask);
  Branches both;
  for (int k : {0, 1}) both[k] = batch_outputs(t[k], want, n);
  return {emit_cond(b, x, both), want};
}

}  // namespace

const Region kCondRegion{cond_jvp, cond_split, cond_transpose, cond_guard};
const AxesFn kCondAxes{cond_batch};

}  // namespace tn
