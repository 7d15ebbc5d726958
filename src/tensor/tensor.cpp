#include "tenon/tensor.h"

#include "tenon/ops.h"

#include <algorithm>
#include <cstring>

#include "tensor/evaluate.h"
#include "tensor/record.h"
#include "tensor/trace.h"

namespace tn {

// ---------------------------------------------------------------- handles

void Tensor::retain(Pending* node) { tn::retain(node); }
void Tensor::release(Pending* node) { tn::release(node); }

Tensor::Tensor(Arg value, DType dtype) {
  bool ok = value.kind() == Arg::Kind::boolean || is_float(dtype) || value.kind() == Arg::Kind::integer;
  if (value.is_tensor() || !ok)
    fail("tensor", "expected a number that " + std::string(name(dtype)) + " can take; use cast", value.where);
  node_ = new_literal(value, dtype);
  if (!inside_trace()) node_->flags = kLiteral;  // made outside: a trace must be given it
}

Type Tensor::type(Location at) const { return node_of(*this, "type", at)->type; }

i64 Tensor::size(int axis, Location at) const {
  Type t = type(at);
  if (axis < -t.rank() || axis >= t.rank())
    fail("size", "expected an axis of " + to_string(t) + ", got " + std::to_string(axis), at);
  Dim d = t.dim(axis);
  if (!d.is_constant())
    fail("size", "expected a known extent, got " + to_string(d) + " of " + to_string(t) + "; use shape()", at);
  return d.value();
}

i64 Tensor::size(Location at) const {
  Dim n = type(at).size();
  if (!n.is_constant()) fail("size", "expected a known size, got " + to_string(n) + "; use type().size()", at);
  return n.value();
}

// ---------------------------------------------------------------- reading

static const Array& single(const Tensor& x, const Location& at) {
  const Array& a = value_of(node_of(x, "item", at), at);
  if (a.size() != 1)
    fail("item", "expected a tensor of one element, got " + to_string(x.type()) + "; use to_vector or an index", at);
  return a;
}

double Tensor::item_floating(Location at) const { return single(*this, at).get(0); }
i64 Tensor::item_integer(Location at) const { return single(*this, at).get_int(0); }

const void* Tensor::raw(int dtype_code, Location at) const {
  Pending* p = node_of(*this, "data", at);
  constexpr int kHalf = 100;
  DType d = p->type.dtype();
  bool fits = dtype_code < 0 || dtype_code == static_cast<int>(d) || (dtype_code == kHalf && bits(d) == 16) ||
              (d == DType::boolean && dtype_code == static_cast<int>(DType::u8));
  if (!fits) fail("data", "expected the type of " + std::string(name(d)) + ", got another; use cast or to_vector", at);
  return value_of(p, at).bytes_begin();
}

void Tensor::copy_to(void* out, DType dtype, Location at) const {
  const Array& a = value_of(node_of(*this, "to_vector", at), at);
  if (a.dtype == dtype) {
    if (a.nbytes()) std::memcpy(out, a.bytes_begin(), a.nbytes());
    return;
  }
  i64 n = a.size();
  Array to{dtype, {n}, Storage::borrow(out, static_cast<size_t>(n) * static_cast<size_t>(bytes(dtype)), nullptr)};
  for (i64 i = 0; i < n; ++i) {
    if (is_float(dtype) || is_float(a.dtype))
      to.set(i, a.get(i));
    else
      to.set_int(i, a.get_int(i));
  }
}

const Tensor& Tensor::eval(Location at) const {
  value_of(node_of(*this, "eval", at), at);
  return *this;
}

void eval(std::span<const Tensor> tensors, Location at) {
  std::vector<Pending*> nodes;
  for (const Tensor& t : tensors) nodes.push_back(node_of(t, "eval", at));
  evaluate(nodes, at);
}

void eval(std::initializer_list<Tensor> tensors, Location at) { eval(std::span(tensors.begin(), tensors.size()), at); }

// ---------------------------------------------------------------- making

static std::vector<i64> extents(const Shape& shape, const Location& at) {
  std::vector<i64> result;
  for (Dim d : shape) {
    if (!d.is_constant() || d.value() < 0)
      fail("tensor", "expected extents that are numbers of at least 0, got " + to_string(d), at);
    result.push_back(d.value());
  }
  return result;
}

Tensor from_data(const void* data, const Shape& shape, DType dtype, Location at) {
  Array a = Array::empty(dtype, extents(shape, at));
  if (a.nbytes()) std::memcpy(a.bytes_begin(), data, a.nbytes());
  return handle(new_value(std::move(a), at));
}

Tensor wrap_data(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner, Location at) {
  Array a{dtype, extents(shape, at), nullptr};
  i64 n = bytes(dtype);
  for (i64 extent : a.shape)
    if (__builtin_mul_overflow(n, extent, &n)) fail("tensor", "expected a size that fits 64 bits", at);
  a.storage = Storage::borrow(data, static_cast<size_t>(n), std::move(owner));
  return handle(new_value(std::move(a), at));
}

Literal::Literal(std::initializer_list<Literal> rows, Location at) : kind(Arg::Kind::boolean) {
  shape.push_back(static_cast<i64>(rows.size()));
  for (const Literal& row : rows) {
    if (&row == rows.begin()) {
      kind = row.kind;
      shape.insert(shape.end(), row.shape.begin(), row.shape.end());
    } else if (!std::equal(shape.begin() + 1, shape.end(), row.shape.begin(), row.shape.end())) {
      fail("tensor", "expected rows of equal shape, got ones that differ at row " + std::to_string(&row - rows.begin()),
           at);
    }
    if (kind != row.kind)
      kind = kind == Arg::Kind::floating || row.kind == Arg::Kind::floating ? Arg::Kind::floating : Arg::Kind::integer;
    numbers.insert(numbers.end(), row.numbers.begin(), row.numbers.end());
  }
  if (rows.size() == 0) kind = Arg::Kind::floating;
}

/// Exact where the dtype is an integer's.
static void set_number(Array& a, i64 i, const Arg& x, const Location& at) {
  double v = x.floating();
  if (a.dtype == DType::boolean) return a.set_int(i, v != 0);
  if (!is_integer(a.dtype)) return a.set(i, v);
  std::string dtype(name(a.dtype));
  constexpr double kBound = 9223372036854775808.0;  // 2^63
  bool floating = x.kind() == Arg::Kind::floating;
  if (floating && !(v >= -kBound && v < kBound && v == static_cast<double>(static_cast<i64>(v))))
    fail("tensor", "expected integers for " + dtype + ", got " + to_string(Tensor(v, DType::f64)), at);
  i64 n = floating ? static_cast<i64>(v) : x.integer();
  a.set_int(i, n);
  if (a.get_int(i) != n) fail("tensor", "expected numbers that fit " + dtype + ", got " + std::to_string(n), at);
}

Tensor tensor(std::initializer_list<Literal> rows, DType dtype, Location at) {
  Literal all_rows(rows, at);
  Array a = Array::empty(dtype, all_rows.shape);
  for (i64 i = 0; const Arg& x : all_rows.numbers) set_number(a, i++, x, at);
  return handle(new_value(std::move(a), at));
}

Tensor tensor(std::initializer_list<Literal> rows, Location at) {
  return tensor(rows, default_dtype(Literal(rows, at).kind), at);
}

Tensor constant(const Tensor& x, Location at) {
  Pending* p = new_value(value_of(node_of(x, "constant", at), at), at);
  p->flags |= kConstant;
  return handle(p);
}

}  // namespace tn
