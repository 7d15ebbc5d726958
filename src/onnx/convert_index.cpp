// Gathers, scatters and selections. Indices may be negative in ONNX; they are moved into range before our ops see them.
#include <algorithm>
#include <numeric>

#include "onnx/convert.h"

namespace tn::onnx {

namespace {

/// Indices along an axis of n as i64 in [0, n) (out-of-range ones stay so).
Value wrapped(Call& c, Value indices, Dim n) {
  Value i = cast(indices, DType::i64);
  Value size = c.from_dims({n}, DType::i64, true);
  return c.map("select", {c.map("less", {i, c.scalar(0, DType::i64)}), c.map("add", {i, size}), i});
}

Values gather(Call& c) {
  Value x = c.in(0);
  i64 a = c.axis(c.integer("axis", 0), x.rank());
  auto dims = c.find_dims(x);
  auto at = c.find_dims(c.in(1));
  if (dims && at && x.rank() == 1) {
    Shape picked;
    for (Dim d : *at) {
      i64 n = static_cast<i64>(dims->size());
      if (!d.is_constant() || d.value() < -n || d.value() >= n)
        c.refuse("indices in [-" + std::to_string(n) + ", " + std::to_string(n) + ")", to_string(d));
      picked.push_back((*dims)[static_cast<size_t>(d.value() < 0 ? d.value() + n : d.value())]);
    }
    return {c.from_dims(picked, x.dtype(), c.in(1).rank() == 0)};
  }
  Value i = wrapped(c, c.in(1), x.shape()[static_cast<size_t>(a)]);
  return {c.emit("gather", {x, i}, {{"axis", a}})};
}

/// For each axis of `shape`, the coordinate as an i64 tensor of that shape.
Value coordinate(Call& c, const Shape& shape, i64 axis) {
  return c.emit("iota", {}, {{"shape", shape}, {"axis", axis}, {"dtype", DType::i64}});
}

Dim stride_of(std::span<const Dim> shape, size_t axis) { return product(shape.subspan(axis + 1)); }

/// The place in the flattened x of the element that `indices` names along axis a, other coordinates being its own.
Value flat_index(Call& c, Value x, Value indices, i64 a) {
  Shape is = shape_of(indices);
  Value flat;
  for (i64 k = 0; k < x.rank(); ++k) {
    Value coord = k == a ? wrapped(c, indices, x.shape()[static_cast<size_t>(a)]) : coordinate(c, is, k);
    Value term = c.map("mul", {coord, c.from_dims({stride_of(x.shape(), static_cast<size_t>(k))}, DType::i64, true)});
    flat = flat ? c.map("add", {flat, term}) : term;
  }
  return flat;
}

Value flattened(Value v) { return reshape(v, {product(v.shape())}); }

Values gather_elements(Call& c) {
  Value x = c.in(0);
  i64 a = c.axis(c.integer("axis", 0), x.rank());
  Value r = c.emit("gather", {flattened(x), flattened(flat_index(c, x, c.in(1), a))}, {{"axis", i64{0}}});
  return {reshape(r, shape_of(c.in(1)))};
}

/// Combines old and new elements at flat places, as attribute `reduction` says.
Value scattered(Call& c, Value x, Value flat, Value updates) {
  std::string mode = c.text("reduction", "none");
  Attrs set{{"axis", i64{0}}, {"mode", std::string("set")}}, add{{"axis", i64{0}}, {"mode", std::string("add")}};
  if (mode == "none") return c.emit("scatter", {x, flat, updates}, set);
  if (mode == "add") return c.emit("scatter", {x, flat, updates}, add);
  c.refuse("reduction none or add", mode, "scatter with mul, max or min has no op yet in this version");
}

Values scatter_elements(Call& c) {
  Value x = c.in(0);
  i64 a = c.axis(c.integer("axis", 0), x.rank());
  Value flat = flattened(flat_index(c, x, c.in(1), a));
  return {reshape(scattered(c, flattened(x), flat, flattened(c.in(2))), shape_of(x))};
}

/// Indices [..., k] over the axes after `batch` leading ones, as flat rows of x seen as [rows, rest].
Value rows_of(Call& c, Value x, Value indices, size_t batch, size_t k) {
  Shape lead(indices.shape().begin(), indices.shape().end() - 1);
  Value flat;
  auto add_term = [&](Value coord, Dim stride) {
    Value term = c.map("mul", {coord, c.from_dims({stride}, DType::i64, true)});
    flat = flat ? c.map("add", {flat, term}) : term;
  };
  auto rows = x.shape().first(batch + k);
  for (size_t i = 0; i < batch; ++i) add_term(coordinate(c, lead, static_cast<i64>(i)), stride_of(rows, i));
  for (size_t i = 0; i < k; ++i) {
    auto at = static_cast<i64>(i);
    Value one = reshape(slice(indices, indices.rank() - 1, at, at + 1), lead);
    add_term(wrapped(c, one, x.shape()[batch + i]), stride_of(rows, batch + i));
  }
  return flat;
}

size_t index_depth(Call& c, Value indices) {
  Dim last = indices.rank() ? indices.shape().back() : Dim(0);
  if (!last.is_constant() || last.value() < 1)
    c.refuse("indices whose last extent is a number of at least 1", to_string(indices.type()));
  return static_cast<size_t>(last.value());
}

Values gather_nd(Call& c) {
  Value x = c.in(0), indices = c.in(1);
  auto batch = static_cast<size_t>(c.size("batch_dims", 0, 0, std::min(x.rank(), indices.rank() - 1)));
  size_t k = index_depth(c, indices);
  if (batch + k > static_cast<size_t>(x.rank()))
    c.refuse("indices into at most " + std::to_string(x.rank()) + " axes", to_string(indices.type()));
  auto rest = x.shape().subspan(batch + k);
  Value rows = reshape(x, {product(x.shape().first(batch + k)), product(rest)});
  Value flat = rows_of(c, x, indices, batch, k);
  Value r = c.emit("gather", {rows, flattened(flat)}, {{"axis", i64{0}}});
  Shape out(indices.shape().begin(), indices.shape().end() - 1);
  out.insert(out.end(), rest.begin(), rest.end());
  return {reshape(r, out)};
}

Values scatter_nd(Call& c) {
  Value x = c.in(0), indices = c.in(1);
  size_t k = index_depth(c, indices);
  if (k > static_cast<size_t>(x.rank()))
    c.refuse("indices into at most " + std::to_string(x.rank()) + " axes", to_string(indices.type()));
  auto rest = x.shape().subspan(k);
  Value rows = reshape(x, {product(x.shape().first(k)), product(rest)});
  Value flat = flattened(rows_of(c, x, indices, 0, k));
  Value updates = reshape(c.in(2), {flat.shape()[0], product(rest)});
  return {reshape(scattered(c, rows, flat, updates), shape_of(x))};
}

Values one_hot(Call& c) {
  Dim depth = c.known_dim(1);
  Value x = c.in(0), values = c.in(2, 1);
  i64 rank = x.rank() + 1, a = c.axis(c.integer("axis", -1), rank);
  Value i = wrapped(c, x, depth);
  Shape with = shape_of(i);
  with.insert(with.begin() + a, Dim(1));
  Shape full = with;
  full[static_cast<size_t>(a)] = depth;
  Value hit = c.map("equal", {reshape(i, with), coordinate(c, full, a)});
  auto value = [&](i64 at) { return reshape(slice(values, 0, at, at + 1), {}); };
  return {c.map("select", {hit, value(1), value(0)})};
}

/// Places of what is not 0, where they are known at import: how many there are is a shape.
Values non_zero(Call& c) {
  Value x = c.in(0);
  auto a = c.known(x);
  if (!a)
    c.refuse("an input known at import", "a value that depends on data",
             "how many elements are not 0 would be a size that depends on data, which Tenon does not have yet");
  std::vector<i64> found;
  for (i64 i = 0; i < a->size(); ++i)
    if (is_float(a->dtype) ? a->get(i) != 0 : a->get_int(i) != 0) found.push_back(i);
  auto rank = static_cast<i64>(a->shape.size()), n = static_cast<i64>(found.size());
  Array places = Array::empty(DType::i64, {rank, n});
  i64 stride = 1;
  for (i64 k = rank; k-- > 0; stride *= a->shape[static_cast<size_t>(k)])
    for (i64 j = 0; j < n; ++j)
      places.set_int(k * n + j, found[static_cast<size_t>(j)] / stride % a->shape[static_cast<size_t>(k)]);
  return {c.constant_of(places)};
}

Values eye_like(Call& c) {
  Shape s = shape_of(c.in(0));
  if (s.size() != 2) c.refuse("a matrix", to_string(c.in(0).type()));
  auto to = c.attribute("dtype") ? dtype_of(static_cast<Element>(c.integer("dtype", 1))) : c.in(0).dtype();
  if (!to) c.refuse("a dtype Tenon has", std::to_string(c.integer("dtype", 1)));
  Value row = coordinate(c, s, 0), column = coordinate(c, s, 1);
  return {
      cast(c.map("equal", {c.map("add", {row, c.scalar(static_cast<double>(c.integer("k", 0)), DType::i64)}), column}),
           *to)};
}

Values triangle(Call& c) {
  Value x = c.in(0);
  Shape s = shape_of(x);
  if (s.size() < 2) c.refuse("a tensor of at least 2 axes", to_string(x.type()));
  Value row = coordinate(c, s, x.rank() - 2), column = coordinate(c, s, x.rank() - 1);
  Value k = c.has(1) ? reshape(cast(c.in(1), DType::i64), {}) : c.scalar(0, DType::i64);
  Value edge = c.map("add", {row, k});
  Value keep = c.map(c.integer("upper", 1) ? "greater_equal" : "less_equal", {column, edge});
  return {c.map("select", {keep, x, c.scalar(0, x.dtype())})};
}

/// The first k of a stable sort.
Values top_k(Call& c) {
  Value x = c.in(0);
  i64 a = c.axis(c.integer("axis", -1), x.rank());
  Dim k = c.opset() < 10 ? nearest_size(c.integer("k", 1)) : c.known_dim(1);
  bool largest = c.integer("largest", 1);
  Values r = c.emit_all("sort", Values{x}, {{"axis", a}, {"descending", largest}});
  return {slice(r[0], a, 0, k), cast(slice(r[1], a, 0, k), DType::i64)};
}

Values reverse_sequence(Call& c) {
  Value x = c.in(0);
  i64 batch = c.axis(c.integer("batch_axis", 1), x.rank()), time = c.axis(c.integer("time_axis", 0), x.rank());
  Shape s = shape_of(x);
  Value t = coordinate(c, s, time);
  Value length = c.emit("broadcast", {cast(c.in(1), DType::i64)}, {{"shape", s}, {"dims", std::vector<i64>{batch}}});
  Value mirrored = c.map("sub", {c.map("sub", {length, c.scalar(1, DType::i64)}), t});
  Value at = c.map("select", {c.map("less", {t, length}), mirrored, t});
  Value r = c.emit("gather", {flattened(x), flattened(flat_index(c, x, at, time))}, {{"axis", i64{0}}});
  return {reshape(r, s)};
}

constexpr ConverterEntry kEntries[] = {
    {"EyeLike", 9, eye_like},
    {"Gather", 1, gather},
    {"GatherElements", 11, gather_elements},
    {"GatherND", 11, gather_nd},
    {"NonZero", 9, non_zero},
    {"OneHot", 9, one_hot},
    {"ReverseSequence", 10, reverse_sequence},
    {"Scatter", 9, scatter_elements},
    {"ScatterElements", 11, scatter_elements},
    {"ScatterND", 11, scatter_nd},
    {"TopK", 1, top_k},
    {"Trilu", 14, triangle},
};

}  // namespace

std::span<const ConverterEntry> index_converters() { return kEntries; }

}  // namespace tn::onnx
