// ONNX's words for our ops. What has no rule is expanded, or written under our own domain.
#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_set>
#include <utility>

#include "base/name.h"
#include "onnx/tensors.h"
#include "onnx/writer.h"

namespace tn::onnx {

namespace {

constexpr auto attr = [](auto name, auto v) { return Writer::attr(name, v); };

template <Name kOp>
Strings same(Writer& w, const NodeView& n) {
  return {w.node(kOp.text, n.in)};
}

template <Name kOp>
Strings same_axis(Writer& w, const NodeView& n) {
  return {w.node(kOp.text, n.in, {attr("axis", n.attr<i64>("axis"))})};
}

// ---------------------------------------------------------------- elementwise

/// Integers by 0 are 0 of ours and errors elsewhere: the operator on 1 instead, and 0 chosen.
template <class F>
std::string unless_zero(Writer& w, const NodeView& n, F quotient) {
  DType d = n.result().dtype();
  std::string zero = w.scalar(0, d), none = w.node("Equal", {n.in[1], zero});
  return w.node("Where", {none, zero, quotient(w.node("Where", {none, w.scalar(1, d), n.in[1]}))});
}

/// C's fmod, which is exact; and where it is left over with another sign than the divisor's.
struct Fmod {
  std::string rest, differs;
};
Fmod fmod(Writer& w, const NodeView& n) {
  std::string r = w.node("Mod", n.in, {attr("fmod", i64{1})}), zero = w.scalar(0, n.result().dtype());
  std::string differ = w.node("Xor", {w.node("Less", {r, zero}), w.node("Less", {n.in[1], zero})});
  return {r, w.node("And", {w.node("Not", {w.node("Equal", {r, zero})}), differ})};
}

/// Of the divisor's sign: the divisor once more where the signs differ.
std::string float_remainder(Writer& w, const NodeView& n) {
  Fmod f = fmod(w, n);
  return w.node("Where", {f.differs, w.node("Add", {f.rest, n.in[1]}), f.rest});
}

/// A quotient of what the divisor goes into, one less where the signs differ; where nothing is left over (0 / 0,
/// infinity by anything) the floor of the quotient.
std::string float_quotient(Writer& w, const NodeView& n) {
  Fmod f = fmod(w, n);
  std::string whole = w.node("Round", {w.node("Div", {w.node("Sub", {n.in[0], f.rest}), n.in[1]})});
  std::string less = w.node("Sub", {whole, w.scalar(1, n.result().dtype())});
  std::string plain = w.node("Floor", {w.node("Div", n.in)});
  return w.node("Where", {w.node("IsNaN", {f.rest}), plain, w.node("Where", {f.differs, less, whole})});
}

/// ONNX's Div of integers rounds toward zero: down by one where a remainder is left and the signs differ.
Strings floor_divide(Writer& w, const NodeView& n) {
  DType d = n.result().dtype();
  if (is_float(d)) return {float_quotient(w, n)};
  return {unless_zero(w, n, [&](const std::string& b) {
    std::string q = w.node("Div", {n.in[0], b});
    if (!is_signed(d)) return q;
    std::string rest = w.node("Sub", {n.in[0], w.node("Mul", {q, b})}), zero = w.scalar(0, d);
    std::string left = w.node("Not", {w.node("Equal", {rest, zero})});
    std::string differ = w.node("Xor", {w.node("Less", {rest, zero}), w.node("Less", {b, zero})});
    std::string down = w.node("Cast", {w.node("And", {left, differ})}, {attr("to", static_cast<i64>(element_of(d)))});
    return w.node("Sub", {q, down});
  })};
}

Strings remainder(Writer& w, const NodeView& n) {
  if (is_float(n.result().dtype())) return {float_remainder(w, n)};
  return {unless_zero(w, n, [&](const std::string& b) { return w.node("Mod", {n.in[0], b}); })};
}

Strings rsqrt(Writer& w, const NodeView& n) { return {w.node("Reciprocal", {w.node("Sqrt", n.in)})}; }
/// The logarithm of u = 1 + x and, where x is small, what u lost of x: (x - (u - 1)) / u more.
Strings log1p(Writer& w, const NodeView& n) {
  DType d = n.result().dtype();
  std::string x = n.in[0], one = w.scalar(1, d), u = w.node("Add", {x, one}), log = w.node("Log", {u});
  std::string lost = w.node("Div", {w.node("Sub", {x, w.node("Sub", {u, one})}), u});
  std::string small = w.node("Less", {w.node("Abs", {x}), w.scalar(0.5, d)});
  return {w.node("Where", {small, w.node("Add", {log, lost}), log})};
}
/// tanh(x / 2) (exp(x) + 1), which loses nothing near 0; its second factor is infinite before exp(x) - 1 is.
Strings expm1(Writer& w, const NodeView& n) {
  DType d = n.result().dtype();
  std::string x = n.in[0], one = w.scalar(1, d), e = w.node("Exp", {x});
  std::string half = w.node("Tanh", {w.node("Mul", {x, w.scalar(0.5, d)})});
  std::string small = w.node("Less", {w.node("Abs", {x}), one});
  return {w.node("Where", {small, w.node("Mul", {half, w.node("Add", {e, one})}), w.node("Sub", {e, one})})};
}
Strings silu(Writer& w, const NodeView& n) { return {w.node("Mul", {n.in[0], w.node("Sigmoid", n.in)})}; }
Strings not_equal(Writer& w, const NodeView& n) { return {w.node("Not", {w.node("Equal", n.in)})}; }

Strings cast(Writer& w, const NodeView& n) {
  return {w.node("Cast", n.in, {attr("to", static_cast<i64>(element_of(n.result().dtype())))})};
}

// ---------------------------------------------------------------- reductions

template <Name kOp>
Strings reduce(Writer& w, const NodeView& n) {
  return {w.node(kOp.text, {n.in[0], w.ints(n.attr<std::vector<i64>>("axes"))}, {attr("keepdims", i64{0})})};
}

/// any and all by the greatest and least of bytes.
template <Name kOp>
Strings reduce_bool(Writer& w, const NodeView& n) {
  std::string bytes = w.node("Cast", n.in, {attr("to", static_cast<i64>(Element::uint8))});
  std::string r = w.node(kOp.text, {bytes, w.ints(n.attr<std::vector<i64>>("axes"))}, {attr("keepdims", i64{0})});
  return {w.node("Cast", {r}, {attr("to", static_cast<i64>(Element::boolean))})};
}

Strings argmax(Writer& w, const NodeView& n) {
  return {w.node("ArgMax", n.in, {attr("axis", n.attr<i64>("axis")), attr("keepdims", i64{0})})};
}

Strings cumsum(Writer& w, const NodeView& n) {
  const Attr* reverse = n.node.attrs.find("reverse");
  bool backwards = reverse && std::get<bool>(*reverse);
  std::string axis = w.scalar(static_cast<double>(n.attr<i64>("axis")), DType::i64);
  return {w.node("CumSum", {n.in[0], axis}, {attr("reverse", static_cast<i64>(backwards))})};
}

// ---------------------------------------------------------------- shape

Strings constant(Writer& w, const NodeView& n) {
  return {w.tensor(n.attr<Array>("value"), n.node.attrs.get<std::string>("name", ""))};
}
Strings dims(Writer& w, const NodeView& n) { return {w.shape(n.attr<Shape>("value"))}; }
Strings reshape(Writer& w, const NodeView& n) {
  const Shape& s = n.attr<Shape>("shape");
  auto open = std::count_if(s.begin(), s.end(), [](Dim d) { return !d.is_constant(); });
  bool zero = std::find(s.begin(), s.end(), Dim(0)) != s.end();
  if (open == 1 && !zero) {  // one unknown extent is -1
    std::vector<i64> v;
    for (Dim d : s) v.push_back(d.is_constant() ? d.value() : -1);
    return {w.node("Reshape", {n.in[0], w.ints(v)})};
  }
  return {w.node("Reshape", {n.in[0], w.shape(s)}, {attr("allowzero", i64{1})})};
}

Strings broadcast(Writer& w, const NodeView& n) {
  const Shape& shape = n.attr<Shape>("shape");
  const auto& map = n.attr<std::vector<i64>>("dims");
  Type x = n.operand(0);
  Shape lined(shape.size(), Dim(1));
  bool trailing = true;
  for (size_t i = 0; i < map.size(); ++i) {
    lined[static_cast<size_t>(map[i])] = x.shape()[i];
    trailing = trailing && map[i] == static_cast<i64>(shape.size() - map.size() + i);
  }
  std::string v = n.in[0];
  if (!trailing) v = w.node("Reshape", {v, w.shape(lined)});
  return {w.node("Expand", {v, w.shape(shape)})};
}

Strings permute(Writer& w, const NodeView& n) {
  return {w.node("Transpose", n.in, {attr("perm", n.attr<std::vector<i64>>("axes"))})};
}

Shape shape_of(Type t) { return {t.shape().begin(), t.shape().end()}; }

std::vector<i64> all_axes(Type t) {
  std::vector<i64> r(static_cast<size_t>(t.rank()));
  std::iota(r.begin(), r.end(), 0);
  return r;
}

/// One row at a place that depends on sizes is gathered: of a Slice readers do not know that it gives one.
Strings slice(Writer& w, const NodeView& n) {
  Shape starts = n.attr<Shape>("starts"), limits = n.attr<Shape>("limits");
  std::string x = n.in[0];
  for (size_t i = 0; i < starts.size(); ++i) {
    if (starts[i].is_constant() || limits[i] - starts[i] != Dim(1)) continue;
    x = w.node("Gather", {x, w.shape({&starts[i], 1})}, {attr("axis", static_cast<i64>(i))});
    starts[i] = 0, limits[i] = 1;
  }
  return {w.node("Slice", {x, w.shape(starts), w.shape(limits), w.ints(all_axes(n.operand(0))),
                           w.ints(n.attr<std::vector<i64>>("strides"))})};
}

/// `count` values after each element of an axis: an axis of 1 after it is padded, and the two become one.
std::string spread(Writer& w, const std::string& v, Shape& shape, size_t axis, i64 count, const std::string& value) {
  Shape apart = shape;
  apart.insert(apart.begin() + static_cast<std::ptrdiff_t>(axis) + 1, Dim(1));
  Shape pads(2 * apart.size(), Dim(0));
  pads[apart.size() + axis + 1] = count;
  shape[axis] = shape[axis] * Dim(count + 1);
  std::string r = w.node("Pad", {w.node("Reshape", {v, w.shape(apart)}), w.shape(pads), value});
  return w.node("Reshape", {r, w.shape(shape)}, {attr("allowzero", i64{1})});
}

Strings pad(Writer& w, const NodeView& n) {
  Shape both = n.attr<Shape>("low"), shape(n.operand(0).shape().begin(), n.operand(0).shape().end());
  if (both.empty()) return {w.node("Identity", n.in)};
  const Shape& high = n.attr<Shape>("high");
  both.insert(both.end(), high.begin(), high.end());
  std::string v = n.in[0], value = w.scalar(n.attr<double>("value"), n.result().dtype());
  if (const Attr* interior = n.node.attrs.find("interior")) {
    const auto& counts = std::get<std::vector<i64>>(*interior);
    for (size_t a = 0; a < counts.size(); ++a)
      if (counts[a] > 0) v = spread(w, v, shape, a, counts[a], value);
  }
  return {w.node("Pad", {v, w.shape(both), value})};
}

Strings flip(Writer& w, const NodeView& n) {
  const auto& axes = n.attr<std::vector<i64>>("axes");
  if (axes.empty()) return {w.node("Identity", n.in)};
  std::vector<i64> starts(axes.size(), -1), ends(axes.size(), std::numeric_limits<i64>::min()), steps(axes.size(), -1);
  return {w.node("Slice", {n.in[0], w.ints(starts), w.ints(ends), w.ints(axes), w.ints(steps)})};
}

/// A size as a scalar.
std::string size(Writer& w, Dim d) { return w.node("Squeeze", {w.shape({&d, 1})}); }

/// 0, 1, 2 ... below a size.
std::string numbers_below(Writer& w, Dim d) {
  return w.node("Range", {w.scalar(0, DType::i64), size(w, d), w.scalar(1, DType::i64)});
}

/// A line along one axis of a shape.
std::string along(Writer& w, const std::string& line, const Shape& shape, size_t axis) {
  Shape lined(shape.size(), Dim(1));
  lined[axis] = shape[axis];
  std::string v = w.node("Reshape", {line, w.shape(lined)}, {attr("allowzero", i64{1})});
  return w.node("Expand", {v, w.shape(shape)});
}

Strings iota(Writer& w, const NodeView& n) {
  const Shape& shape = n.attr<Shape>("shape");
  auto axis = static_cast<size_t>(n.attr<i64>("axis"));
  std::string r = along(w, numbers_below(w, shape[axis]), shape, axis);
  DType d = n.result().dtype();
  return {d == DType::i64 ? r : w.node("Cast", {r}, {attr("to", static_cast<i64>(element_of(d)))})};
}

// ---------------------------------------------------------------- indexing

/// An operand of integers as i64, which ONNX wants of places.
std::string places(Writer& w, const NodeView& n, size_t operand) {
  if (n.operand(operand).dtype() == DType::i64) return n.in[operand];
  return w.node("Cast", {n.in[operand]}, {attr("to", static_cast<i64>(Element::int64))});
}

/// Indices are clamped to the axis; ONNX's negative ones count from the end and others are errors.
Strings gather(Writer& w, const NodeView& n) {
  i64 axis = n.attr<i64>("axis");
  Dim extent = n.operand(0).shape()[static_cast<size_t>(axis)];
  std::string at = places(w, n, 1);
  if (!n.is_constant_within(1, extent)) {
    std::string last = w.node("Sub", {w.shape({&extent, 1}), w.scalar(1, DType::i64)});
    last = w.node("Squeeze", {last});
    at = w.node("Max", {w.node("Min", {at, last}), w.scalar(0, DType::i64)});
  }
  return {w.node("Gather", {n.in[0], at}, {attr("axis", axis)})};
}

/// Starts moved so that the window fits.
std::string clamped_starts(Writer& w, const NodeView& n, size_t operand, std::span<const Dim> sizes) {
  Shape last = shape_of(n.operand(0));
  for (size_t i = 0; i < last.size(); ++i) last[i] = last[i] - sizes[i];
  return w.node("Max", {w.node("Min", {places(w, n, operand), w.shape(last)}), w.scalar(0, DType::i64)});
}

Strings dynamic_slice(Writer& w, const NodeView& n) {
  const Shape& sizes = n.attr<Shape>("sizes");
  if (sizes.empty()) return {w.node("Identity", {n.in[0]})};
  std::string start = clamped_starts(w, n, 1, sizes), end = w.node("Add", {start, w.shape(sizes)});
  return {w.node("Slice", {n.in[0], start, end, w.ints(all_axes(n.operand(0)))})};
}

/// The update scattered: its places in the axes up to the last that it does not cover.
Strings dynamic_update_slice(Writer& w, const NodeView& n) {
  auto extents = n.operand(0).shape(), sizes = n.operand(1).shape();
  size_t cut = sizes.size();
  while (cut > 0 && sizes[cut - 1] == extents[cut - 1]) --cut;
  if (cut == 0) return {w.node("Identity", {n.in[1]})};
  std::string start = clamped_starts(w, n, 2, sizes);
  Shape window(sizes.begin(), sizes.begin() + static_cast<std::ptrdiff_t>(cut));
  window.push_back(1);
  Strings coordinates;
  for (size_t i = 0; i < cut; ++i) {
    std::string first = w.node("Gather", {start, w.scalar(static_cast<double>(i), DType::i64)}, {attr("axis", i64{0})});
    coordinates.push_back(along(w, w.node("Add", {numbers_below(w, sizes[i]), first}), window, i));
  }
  std::string at = w.node("Concat", coordinates, {attr("axis", static_cast<i64>(cut))});
  return {w.node("ScatterND", {n.in[0], at, n.in[1]})};
}

/// The orders of axes that bring one to the front and back.
struct Front {
  std::vector<i64> there, back;
  Front(i64 axis, i64 rank) : there{axis} {
    for (i64 i = 0; i < rank; ++i) {
      if (i != axis) there.push_back(i);
      back.push_back(i < axis ? i + 1 : i == axis ? 0 : i);
    }
  }
};

/// Whether no two of an operand's integers are equal, as its constant says.
bool all_differ(const NodeView& n, size_t operand) {
  const Array* a = n.constant(operand);
  if (!a) return product(n.operand(operand).shape()) == Dim(1);
  std::unordered_set<i64> seen;
  for (i64 k = 0; k < a->size(); ++k)
    if (!seen.insert(a->get_int(k)).second) return false;
  return true;
}

/// Of `count` places and their updates those that no later one overwrites, which ONNX leaves open: ordered by place,
/// then by number, the last of each place stays and the others go `behind`.
void keep_last(Writer& w, std::string& at, std::string& updates, Dim count, const std::string& behind) {
  std::string many = size(w, count), flat = w.node("Reshape", {at, w.ints({-1})});
  std::string keys = w.node("Add", {w.node("Mul", {flat, many}), numbers_below(w, count)});
  keys = w.nodes("TopK", {keys, w.shape({&count, 1})}, 2, {attr("axis", i64{0}), attr("largest", i64{0})})[0];
  std::string some = w.node("Max", {many, w.scalar(1, DType::i64)}), place = w.node("Div", {keys, some});
  std::string number = w.node("Sub", {keys, w.node("Mul", {place, many})});
  std::string after = w.node("Concat", {place, w.ints({-1})}, {attr("axis", i64{0})});
  after = w.node("Slice", {after, w.ints({1}), w.ints({std::numeric_limits<i64>::max()}), w.ints({0})});
  std::string last = w.node("Not", {w.node("Equal", {place, after})});
  at = w.node("Unsqueeze", {w.node("Where", {last, place, behind}), w.ints({1})});
  updates = w.node("Gather", {updates, number}, {attr("axis", i64{0})});
}

/// Rows scattered along the first axis. What falls outside goes to a row behind the last, which is cut off again.
Strings scatter(Writer& w, const NodeView& n) {
  i64 axis = n.attr<i64>("axis"), rank = n.operand(0).rank(), ways = n.operand(1).rank();
  Front front(axis, rank);
  Shape rows = shape_of(n.operand(0));
  Dim extent = rows[static_cast<size_t>(axis)], count = product(n.operand(1).shape());
  rows.erase(rows.begin() + axis);
  auto reshaped = [&](const std::string& v, const Shape& shape) {
    return w.node("Reshape", {v, w.shape(shape)}, {attr("allowzero", i64{1})});
  };
  auto of_rows = [&](Dim first) {
    Shape shape = rows;
    shape.insert(shape.begin(), first);
    return shape;
  };
  std::vector<i64> order;  // of the updates: the axes of the indices first
  for (i64 i = 0; i < rank - 1 + ways; ++i) order.push_back(i < ways ? axis + i : i < ways + axis ? i - ways : i);
  std::string x = n.in[0], updates = n.in[2], at = reshaped(places(w, n, 1), {count, 1});
  if (axis > 0) {
    x = w.node("Transpose", {x}, {attr("perm", front.there)});
    updates = w.node("Transpose", {updates}, {attr("perm", order)});
  }
  updates = reshaped(updates, of_rows(count));
  bool adds = n.attr<std::string>("mode") == "add", overwrites = !adds && !all_differ(n, 1);
  bool drops = overwrites || !n.is_constant_within(1, extent);
  if (drops) {
    std::string zero = w.scalar(0, DType::i64), behind = size(w, extent);
    std::string inside = w.node("And", {w.node("GreaterOrEqual", {at, zero}), w.node("Less", {at, behind})});
    at = w.node("Where", {inside, at, behind});
    if (overwrites) keep_last(w, at, updates, count, behind);
    std::string row = w.node("Expand", {w.scalar(0, n.operand(0).dtype()), w.shape(of_rows(1))});
    x = w.node("Concat", {x, row}, {attr("axis", i64{0})});
  }
  std::string y = w.node("ScatterND", {x, at, updates}, {attr("reduction", std::string(adds ? "add" : "none"))});
  if (drops) y = w.node("Slice", {y, w.ints({0}), w.shape({&extent, 1}), w.ints({0})});
  return {axis > 0 ? w.node("Transpose", {y}, {attr("perm", front.back)}) : y};
}

/// TopK of all of them, which is stable. ONNX leaves open where a NaN belongs.
Strings sort(Writer& w, const NodeView& n) {
  i64 axis = n.attr<i64>("axis"), largest = n.attr<bool>("descending");
  Dim extent = n.operand(0).shape()[static_cast<size_t>(axis)];
  return w.nodes("TopK", {n.in[0], w.shape({&extent, 1})}, 2, {attr("axis", axis), attr("largest", largest)});
}

/// Values as they are: in a file, the order of what readers do is theirs.
Strings barrier(Writer& w, const NodeView& n) {
  Strings r;
  for (const std::string& v : n.in) r.push_back(w.node("Identity", {v}));
  return r;
}

// ---------------------------------------------------------------- contraction

/// The general product in letters.
Strings dot(Writer& w, const NodeView& n) {
  using List = std::vector<i64>;
  const List &ab = n.attr<List>("lhs_batch"), &bb = n.attr<List>("rhs_batch");
  const List &ac = n.attr<List>("lhs_contract"), &bc = n.attr<List>("rhs_contract");
  std::string a(static_cast<size_t>(n.operand(0).rank()), ' '), b(static_cast<size_t>(n.operand(1).rank()), ' '), out;
  char next = 'a';
  for (size_t i = 0; i < ab.size(); ++i) out += a[static_cast<size_t>(ab[i])] = b[static_cast<size_t>(bb[i])] = next++;
  for (size_t i = 0; i < ac.size(); ++i) a[static_cast<size_t>(ac[i])] = b[static_cast<size_t>(bc[i])] = next++;
  for (std::string* letters : {&a, &b})
    for (char& c : *letters)
      if (c == ' ') out += c = next++;
  return {w.node("Einsum", n.in, {attr("equation", a + "," + b + "->" + out)})};
}

Strings conv(Writer& w, const NodeView& n) {
  using List = std::vector<i64>;
  const List& spread = n.attr<List>("lhs_dilation");
  if (std::any_of(spread.begin(), spread.end(), [](i64 s) { return s != 1; }))
    fail("conv", "expected no lhs_dilation, which only gradients have, got one; ONNX's Conv has no such attribute");
  List pads = n.attr<List>("padding_low");
  const List& high = n.attr<List>("padding_high");
  pads.insert(pads.end(), high.begin(), high.end());
  List strides = n.attr<List>("strides"), dilations = n.attr<List>("rhs_dilation");
  Strings in = n.in;
  if (std::any_of(pads.begin(), pads.end(), [](i64 p) { return p < 0; })) {  // ONNX's Pad crops, its Conv does not
    List all(2 * static_cast<size_t>(n.operand(0).rank()), 0);
    size_t spatial = strides.size(), rank = all.size() / 2;
    for (size_t i = 0; i < spatial; ++i) {
      all[rank - spatial + i] = std::exchange(pads[i], 0);
      all[2 * rank - spatial + i] = std::exchange(pads[spatial + i], 0);
    }
    in[0] = w.node("Pad", {in[0], w.ints(all), w.scalar(0, n.operand(0).dtype())});
  }
  bool points = strides.empty();  // ONNX wants a spatial axis
  if (points) {
    strides = dilations = {1};
    pads = {0, 0};
    for (std::string& v : in) v = w.node("Unsqueeze", {v, w.ints({2})});
  }
  std::string y = w.node("Conv", in,
                         {attr("strides", strides), attr("pads", pads), attr("dilations", dilations),
                          attr("group", n.attr<i64>("groups"))});
  return {points ? w.node("Squeeze", {y, w.ints({2})}) : y};
}

std::vector<Attribute> window_attributes(const NodeView& n) {
  using List = std::vector<i64>;
  List pads = n.attr<List>("padding_low");
  const List& high = n.attr<List>("padding_high");
  pads.insert(pads.end(), high.begin(), high.end());
  return {attr("kernel_shape", n.attr<List>("window")), attr("strides", n.attr<List>("strides")), attr("pads", pads),
          attr("dilations", n.attr<List>("dilation"))};
}

/// ONNX's pooling wants a batch, channels and at least one axis more: the leading axes are made into such.
Strings pooled(Writer& w, const NodeView& n, std::string_view op, std::vector<Attribute> attributes) {
  size_t windows = n.attr<std::vector<i64>>("window").size();
  auto x = n.operand(0).shape(), y = n.result().shape();
  if (windows == 0) return {w.node("Identity", n.in)};
  if (x.size() == windows + 2) return {w.node(op, n.in, std::move(attributes))};
  Shape lined{product(x.first(x.size() - windows)), Dim(1)};
  lined.insert(lined.end(), x.end() - static_cast<std::ptrdiff_t>(windows), x.end());
  std::string v = w.node(op, {w.node("Reshape", {n.in[0], w.shape(lined)})}, std::move(attributes));
  return {w.node("Reshape", {v, w.shape(y)}, {attr("allowzero", i64{1})})};
}

Strings max_pool(Writer& w, const NodeView& n) { return pooled(w, n, "MaxPool", window_attributes(n)); }

Strings avg_pool(Writer& w, const NodeView& n) {
  auto attributes = window_attributes(n);
  attributes.push_back(attr("count_include_pad", static_cast<i64>(n.attr<bool>("count_include_pad"))));
  return pooled(w, n, "AveragePool", std::move(attributes));
}

template <class... D>
constexpr u32 only(D... dtypes) {
  return (0u | ... | (1u << static_cast<int>(dtypes)));
}
// What the operators of the exported opset take.
constexpr u32 kWideFloats = only(DType::f32, DType::f64);
constexpr u32 kFloats = kWideFloats | only(DType::f16), kFloatsAndBf16 = kFloats | only(DType::bf16);
constexpr u32 kWide = kFloatsAndBf16 | only(DType::i32, DType::i64, DType::u32);
constexpr u32 kNumbers = kWide | only(DType::i8, DType::u8);
constexpr u32 kSigned = kFloatsAndBf16 | only(DType::i8, DType::i32, DType::i64);

constexpr ExportRule kRules[] = {
    {"abs", same<"Abs">},
    {"add", same<"Add">},
    {"all", reduce_bool<"ReduceMin">},
    {"any", reduce_bool<"ReduceMax">},
    {"argmax", argmax, kNumbers},
    {"avg_pool", avg_pool, kFloats},
    {"barrier", barrier},
    {"broadcast", broadcast},
    {"cast", cast},
    {"concat", same_axis<"Concat">},
    {"constant", constant},
    {"conv", conv, kFloats},
    {"cos", same<"Cos">, kFloats},
    {"cumsum", cumsum, kWide},
    {"dims", dims},
    {"div", same<"Div">},
    {"dot", dot, kNumbers & ~only(DType::bf16)},
    {"dynamic_slice", dynamic_slice},
    {"dynamic_update_slice", dynamic_update_slice},
    {"equal", same<"Equal">},
    {"erf", same<"Erf">},
    {"exp", same<"Exp">},
    {"expm1", expm1, kWideFloats},
    {"flip", flip},
    {"floor", same<"Floor">},
    {"floor_divide", floor_divide, ~only(DType::f16, DType::bf16)},
    {"gather", gather},
    {"greater", same<"Greater">},
    {"greater_equal", same<"GreaterOrEqual">},
    {"iota", iota},
    {"less", same<"Less">},
    {"less_equal", same<"LessOrEqual">},
    {"log", same<"Log">},
    {"log1p", log1p, kWideFloats},
    {"log_softmax", same_axis<"LogSoftmax">},
    {"logical_and", same<"And">},
    {"logical_not", same<"Not">},
    {"logical_or", same<"Or">},
    {"logsumexp", reduce<"ReduceLogSumExp">, kFloatsAndBf16},
    {"matmul", same<"MatMul">, kWide},
    {"max", reduce<"ReduceMax">, kNumbers},
    {"max_pool", max_pool, kFloats | only(DType::i8, DType::u8)},
    {"maximum", same<"Max">, kNumbers},
    {"min", reduce<"ReduceMin">, kNumbers},
    {"minimum", same<"Min">, kNumbers},
    {"mul", same<"Mul">},
    {"neg", same<"Neg">, kSigned},
    {"not_equal", not_equal},
    {"pad", pad},
    {"permute", permute},
    {"pow", same<"Pow">, kFloatsAndBf16 | only(DType::i32, DType::i64)},
    {"prod", reduce<"ReduceProd">, kWide},
    {"relu", same<"Relu">, kSigned},
    {"remainder", remainder},
    {"reshape", reshape},
    {"rsqrt", rsqrt},
    {"scatter", scatter, ~only(DType::f16, DType::bf16)},  // whose sums are rounded once
    {"select", same<"Where">},
    {"sigmoid", same<"Sigmoid">},
    {"sign", same<"Sign">},
    {"silu", silu},
    {"sin", same<"Sin">, kFloats},
    {"slice", slice},
    {"softmax", same_axis<"Softmax">},
    {"sort", sort, kWideFloats | only(DType::i32, DType::i64)},
    {"sqrt", same<"Sqrt">},
    {"stop_gradient", same<"Identity">},
    {"sub", same<"Sub">},
    {"sum", reduce<"ReduceSum">, kWide},
    {"tanh", same<"Tanh">},
};

struct OwnOp {
  std::string_view op, why;  // what ONNX has not
};
constexpr OwnOp kOwnOps[] = {
    {"assert", "effects"},
    {"max_pool_index", "places in the axes of windows; MaxPool's are in the whole tensor"},
    {"print", "effects"},
    {"random_bits", "random numbers from a key"},
    {"random_fold_in", "keys"},
    {"random_split", "keys"},
    {"window_spread", "the transpose of window_sum, which derivatives have"},
    {"window_sum", "sums of windows; its means are rounded, and of floats alone"},
};

}  // namespace

std::string_view why_own(std::string_view name) {
  auto found = std::find_if(std::begin(kOwnOps), std::end(kOwnOps), [&](const OwnOp& o) { return o.op == name; });
  return found == std::end(kOwnOps) ? std::string_view() : found->why;
}

const ExportRule* find_export_rule(std::string_view name) {
  auto found = std::find_if(std::begin(kRules), std::end(kRules), [&](const ExportRule& r) { return r.op == name; });
  return found == std::end(kRules) ? nullptr : found;
}

}  // namespace tn::onnx
