// x(...): basic entries become one slice, a flip and a reshape; integer tensors then gather. As NumPy has it, several
// index tensors broadcast against each other and integers beside them count as index tensors; their axes take the place
// of the first when they stand together, else the front.
#include <algorithm>

#include "tensor/helpers.h"

namespace tn {

namespace {

struct Picked {  // an index tensor and the axis it stands on
  Tensor index;
  i64 axis;
};

/// What the entries say about a tensor.
struct IndexPlan {
  Shape starts, limits;
  std::vector<i64> strides, flipped;
  Shape shape;  // after slicing: integers dropped, new axes added
  std::vector<Picked> picked;
};

class Reading {
 public:
  Reading(Type type, std::span<const Index> entries, const Location& where) : type_(type), where_(where) {
    bool tensors =
        std::any_of(entries.begin(), entries.end(), [](const Index& e) { return e.kind == Index::Kind::tensor; });
    int named = 0;
    bool ellipsis_given = false;
    for (const Index& e : entries) {
      named += e.kind == Index::Kind::integer || e.kind == Index::Kind::slice || e.kind == Index::Kind::tensor;
      if (e.kind == Index::Kind::ellipsis && ellipsis_given)
        fail("index", "expected at most one ellipsis for " + to_string(type) + ", got two", where);
      ellipsis_given = ellipsis_given || e.kind == Index::Kind::ellipsis;
    }
    if (named > type.rank())
      fail("index",
           "expected at most " + std::to_string(type.rank()) + " entries for " + to_string(type) + ", got " +
               std::to_string(named),
           where);
    int rest = type.rank() - named;
    for (const Index& e : entries) add(e, rest, tensors);
    while (axis_ < type.rank()) whole();
  }
  IndexPlan plan;

 private:
  void add(const Index& e, int rest, bool tensors) {
    switch (e.kind) {
      case Index::Kind::absent: return;
      case Index::Kind::integer: return integer(e.position, tensors);
      case Index::Kind::slice: return range(e.range);
      case Index::Kind::newaxis: plan.shape.push_back(1); return;
      case Index::Kind::ellipsis:
        for (int i = 0; i < rest; ++i) whole();
        return;
      case Index::Kind::tensor: return pick(*e.tensor);
    }
  }

  void take(Dim start, Dim limit, i64 stride) {
    plan.starts.push_back(start);
    plan.limits.push_back(limit);
    plan.strides.push_back(stride);
    ++axis_;
  }
  void whole() {
    plan.shape.push_back(type_.dim(axis_));
    take(0, type_.dim(axis_), 1);
  }

  void integer(Dim i, bool as_tensor) {
    Dim n = type_.dim(axis_), at = i;
    if (i.is_constant() && i.value() < 0) at = n + i;
    if (n.is_constant() && at.is_constant() && (at.value() < 0 || at.value() >= n.value()))
      fail("index",
           "expected an index from " + to_string(-n) + " to " + to_string(n - 1) + " on axis " + std::to_string(axis_) +
               " of " + to_string(type_) + ", got " + to_string(i),
           where_);
    if (as_tensor && at.is_constant()) return pick(fixed(static_cast<double>(at.value()), DType::i64, where_));
    take(at, at + 1, 1);
  }

  /// A bound as Python clips it to [low, high].
  Dim clip(const SliceBound& bound, Dim otherwise, Dim n, Dim low, Dim high) const {
    if (bound.open()) return otherwise;
    Dim b = bound.value();
    if (b.is_constant() && b.value() < 0) b = n + b;
    return min(max(b, low), high);
  }

  void range(const Slice& s) {
    Dim n = type_.dim(axis_);
    if (!s.step) fail("index", "expected a step that is not 0 on axis " + std::to_string(axis_) + ", got 0", where_);
    if (s.step > 0) {
      Dim start = clip(s.start, 0, n, 0, n), stop = clip(s.stop, n, n, 0, n);
      Dim limit = max(start, stop);
      plan.shape.push_back(ceildiv(limit - start, s.step));
      return take(start, limit, s.step);
    }
    Dim from = clip(s.start, n - 1, n, -1, n - 1), down = clip(s.stop, -1, n, -1, n - 1);
    Dim count = ceildiv(max(from - down, 0), -s.step), last = from - (count - 1) * Dim(-s.step);
    plan.shape.push_back(count);
    plan.flipped.push_back(axis_);
    if (count == Dim(0)) return take(0, 0, 1);
    take(last, from + 1, -s.step);
  }

  void pick(const Tensor& index) {
    Type t = node_of(index, "index", where_)->type;
    if (!is_integer(t.dtype()))
      fail("index",
           "expected integer tensors, got " + to_string(t) + " on axis " + std::to_string(axis_) +
               (t.dtype() == DType::boolean ? "; a mask gives a shape that depends on data: use where" : ""),
           where_);
    plan.picked.push_back({index, static_cast<i64>(plan.shape.size())});
    whole();
  }

  Type type_;
  Location where_;
  int axis_ = 0;
};

/// Negative indices count from the end.
Tensor from_front(const Tensor& index, Dim extent, const Location& where) {
  DType d = index.dtype();
  if (!is_signed(d) || index.node()->is(kFixed)) return cast(Arg(index, where), DType::i64);
  Tensor i = cast(Arg(index, where), DType::i64);
  Tensor size = tn::extent(extent, DType::i64, where);
  Tensor negative = binary(the<"less">(), i, fixed(0, DType::i64, where), where);
  return tn::where(Arg(negative, where), Arg(binary(the<"add">(), i, size, where), where), Arg(i, where));
}

Tensor gathered(const Tensor& x, const Tensor& index, i64 axis, const Location& where) {
  return apply1(the<"gather">(), {x, index}, {{"axis", axis}}, where);
}

/// Indices on one axis, those outside moved to its ends.
Tensor clamped(const Tensor& index, Dim extent, const Location& where) {
  Tensor last = tn::extent(extent - Dim(1), DType::i64, where);
  Tensor upper = binary(the<"minimum">(), index, last, where);
  return binary(the<"maximum">(), upper, fixed(0, DType::i64, where), where);
}

/// Several index tensors as one, into their axes joined; each is clamped first, else it would name another row.
Tensor gather_joined(Tensor x, const std::vector<Picked>& picked, const Location& where) {
  bool together = true;
  for (size_t k = 1; k < picked.size(); ++k) together = together && picked[k].axis == picked[k - 1].axis + 1;
  i64 place = together ? picked[0].axis : 0;
  std::vector<i64> order, indexed;
  for (const Picked& p : picked) indexed.push_back(p.axis);
  for (i64 i = 0; i < x.rank(); ++i)
    if (std::find(indexed.begin(), indexed.end(), i) == indexed.end()) order.push_back(i);
  order.insert(order.begin() + place, indexed.begin(), indexed.end());
  Tensor flat;
  Dim joined = 1;
  for (const Picked& p : picked) {
    Dim n = x.type().dim(static_cast<int>(p.axis));
    Tensor i = from_front(p.index, n, where);
    if (!p.index.node()->is(kFixed)) i = clamped(i, n, where);
    joined = joined * n;
    if (!flat.defined()) {
      flat = i;
      continue;
    }
    Tensor size = extent(n, DType::i64, where);
    flat = binary(the<"add">(), binary(the<"mul">(), flat, size, where), i, where);
  }
  x = permuted(x, order, where);
  Shape shape = shape_of(x);
  shape.erase(shape.begin() + place, shape.begin() + place + static_cast<i64>(picked.size()));
  shape.insert(shape.begin() + place, joined);
  return gathered(reshaped(x, shape, where), flat, place, where);
}

Tensor read(const Tensor& x, std::span<const Index> entries, const Location& where) {
  Type type = node_of(x, "index", where)->type;
  IndexPlan plan = Reading(type, entries, where).plan;
  Tensor result = x;
  bool whole = true;
  for (int i = 0; i < type.rank(); ++i) {
    auto k = static_cast<size_t>(i);
    whole = whole && plan.starts[k] == Dim(0) && plan.limits[k] == type.dim(i) && plan.strides[k] == 1;
  }
  if (!whole)
    result = apply1(the<"slice">(), {result},
                    {{"starts", plan.starts}, {"limits", plan.limits}, {"strides", plan.strides}}, where);
  if (!plan.flipped.empty()) result = apply1(the<"flip">(), {result}, {{"axes", plan.flipped}}, where);
  result = reshaped(result, plan.shape, where);
  if (plan.picked.empty()) return result;
  if (plan.picked.size() > 1) return gather_joined(result, plan.picked, where);
  const Picked& p = plan.picked[0];
  Dim n = result.type().dim(static_cast<int>(p.axis));
  return gathered(result, from_front(p.index, n, where), p.axis, where);
}

/// x with the elements at the entries set, or added to; by their places in the flattened tensor.
Tensor write(const char* name, const Tensor& x, std::span<const Index> entries, const Arg& value,
             std::string_view mode) {
  const Location& where = value.where;
  Type type = node_of(x, name, where)->type;
  composed(name, [&] { return Reading(type, entries, where).plan; });  // errors name x, not the places
  Tensor places = read(reshape(Arg(arange(type.size(), where), where), shape_of(x)), entries, where);
  Tensor updates = alike(name, Arg(x, where), value).second;
  updates = cast(Arg(updates, where), type.dtype());
  updates = composed(name, [&] { return broadcast_tensor(updates, shape_of(places), where); });
  Dim count = places.type().size();
  Tensor flat =
      apply1(the<"scatter">(),
             {reshaped(x, {type.size()}, where), reshaped(places, {count}, where), reshaped(updates, {count}, where)},
             {{"axis", i64{0}}, {"mode", std::string(mode)}}, where);
  return reshaped(flat, shape_of(x), where);
}

}  // namespace

Tensor Tensor::operator()(Index i0, Index i1, Index i2, Index i3, Index i4, Index i5, Index i6, Index i7) const {
  const Index entries[] = {i0, i1, i2, i3, i4, i5, i6, i7};
  return read(*this, entries, i0.where);
}

Tensor set_at(const Tensor& x, std::initializer_list<Index> at, Arg value) {
  return write("set_at", x, {at.begin(), at.size()}, value, "set");
}

Tensor add_at(const Tensor& x, std::initializer_list<Index> at, Arg value) {
  return write("add_at", x, {at.begin(), at.size()}, value, "add");
}

// ---------------------------------------------------------------- named forms

Tensor gather(Arg x, Arg indices, i64 axis) {
  Tensor t = tensor_of(x);
  axis = normal_axis("gather", axis, node_of(t, "gather", x.where)->type, x.where);
  return gathered(t, tensor_of(indices), axis, x.where);
}

static Tensor scattered(const Arg& x, const Arg& indices, const Arg& updates, i64 axis, const char* mode) {
  auto [t, u] = alike("scatter", x, updates);
  axis = normal_axis("scatter", axis, node_of(t, "scatter", x.where)->type, x.where);
  return apply1(the<"scatter">(), {t, tensor_of(indices), u}, {{"axis", axis}, {"mode", std::string(mode)}}, x.where);
}

Tensor scatter(Arg x, Arg indices, Arg updates, i64 axis) { return scattered(x, indices, updates, axis, "set"); }
Tensor scatter_add(Arg x, Arg indices, Arg updates, i64 axis) { return scattered(x, indices, updates, axis, "add"); }

Tensor dynamic_slice(Arg x, Arg starts, const Shape& sizes) {
  return apply1(the<"dynamic_slice">(), {tensor_of(x), tensor_of(starts)}, {{"sizes", sizes}}, x.where);
}

Tensor dynamic_update_slice(Arg x, Arg update, Arg starts) {
  auto [t, u] = alike("dynamic_update_slice", x, update);
  return apply1(the<"dynamic_update_slice">(), {t, u, tensor_of(starts)}, {}, x.where);
}

Tensor one_hot(Arg indices, i64 classes, DType dtype) {
  return apply1(the<"one_hot">(), {tensor_of(indices)}, {{"size", classes}, {"dtype", dtype}}, indices.where);
}

Tensor take_last(Arg x, Arg indices) {
  const Location& where = x.where;
  Tensor t = tensor_of(x), i = tensor_of(indices);
  Type type = node_of(t, "take_last", where)->type, picks = node_of(i, "take_last", where)->type;
  bool fits = type.rank() &&
              std::equal(picks.shape().begin(), picks.shape().end(), type.shape().begin(), type.shape().end() - 1);
  if (!fits || !is_integer(picks.dtype()))
    fail("take_last",
         "expected integer indices of the shape of all but x's last axis, got " + to_string(type) + " and " +
             to_string(picks),
         where);
  Dim n = type.dim(-1), rows = product(type.shape().first(type.shape().size() - 1));
  Tensor row = arange(rows, where);
  Tensor base = binary(the<"mul">(), row, extent(n, DType::i64, where), where);
  Tensor place = clamped(cast(Arg(reshaped(i, {rows}, where), where), DType::i64), n, where);
  Tensor flat = binary(the<"add">(), base, place, where);
  Tensor taken = gathered(reshaped(t, {type.size()}, where), flat, 0, where);
  return reshaped(taken, shape_of(i), where);
}

}  // namespace tn
