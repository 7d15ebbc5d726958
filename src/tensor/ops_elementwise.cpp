// Elementwise operations: each is one recorded node, or a short composition.
#include <cmath>

#include "tensor/helpers.h"

// The operators are friends that only argument lookup finds, so the header gives them no visibility.
namespace [[gnu::visibility("default")]] tn {

Tensor operator+(Arg a, Arg b) { return add(a, b); }
Tensor operator-(Arg a, Arg b) { return sub(a, b); }
Tensor operator*(Arg a, Arg b) { return mul(a, b); }
Tensor operator/(Arg a, Arg b) { return div(a, b); }
Tensor operator%(Arg a, Arg b) { return remainder(a, b); }
Tensor operator==(Arg a, Arg b) { return equal(a, b); }
Tensor operator!=(Arg a, Arg b) { return not_equal(a, b); }
Tensor operator<(Arg a, Arg b) { return less(a, b); }
Tensor operator<=(Arg a, Arg b) { return less_equal(a, b); }
Tensor operator>(Arg a, Arg b) { return greater(a, b); }
Tensor operator>=(Arg a, Arg b) { return greater_equal(a, b); }
Tensor operator&&(Arg a, Arg b) { return logical_and(a, b); }
Tensor operator||(Arg a, Arg b) { return logical_or(a, b); }
Tensor operator-(Arg a) { return neg(a); }
Tensor operator!(Arg a) { return logical_not(a); }

Tensor& Tensor::operator+=(Arg other) { return *this = add(Arg(*this, other.where), other); }
Tensor& Tensor::operator-=(Arg other) { return *this = sub(Arg(*this, other.where), other); }
Tensor& Tensor::operator*=(Arg other) { return *this = mul(Arg(*this, other.where), other); }
Tensor& Tensor::operator/=(Arg other) { return *this = div(Arg(*this, other.where), other); }

/// The tensor of an operand, a number in f32.
static Tensor floating(const Arg& x) {
  return x.is_tensor() ? x.tensor()
                       : tensor_of(x, x.kind() == Arg::Kind::integer ? DType::f32 : default_dtype(x.kind()));
}

Tensor pow(Arg a, Arg b) {
  if (b.kind() != Arg::Kind::integer || !a.is_tensor()) return elementwise(the<"pow">(), {&a, &b});
  DType dtype = node_of(a.tensor(), "pow", a.where)->type.dtype();
  if (dtype == DType::boolean) return elementwise(the<"pow">(), {&a, &b});
  return binary(the<"pow">(), a.tensor(), fixed(static_cast<double>(b.integer()), dtype, b.where), a.where);
}

Tensor ceil(Arg x) {
  return composed("ceil", [&] { return neg(Arg(floor(Arg(neg(x), x.where)), x.where)); });
}
Tensor square(Arg x) {
  return composed("square", [&] { return mul(x, x); });
}

Tensor reciprocal(Arg x) {
  Tensor t = floating(x);
  DType dtype = node_of(t, "reciprocal", x.where)->type.dtype();
  if (!is_float(dtype))
    fail("reciprocal", "expected a floating dtype for operand 'x', got " + to_string(t.type()) + "; use cast", x.where);
  return binary(the<"div">(), fixed(1, dtype, x.where), t, x.where);
}

Tensor clip(Arg x, Arg low, Arg high) {
  return composed("clip", [&] {
    Tensor above = maximum(x, low);
    return minimum(Arg(above, x.where), high);
  });
}

Tensor isnan(Arg x) { return not_equal(x, x); }

Tensor isfinite(Arg x) {
  Tensor t = tensor_of(x);
  DType dtype = node_of(t, "isfinite", x.where)->type.dtype();
  if (!is_float(dtype)) return binary(the<"equal">(), t, t, x.where);
  return binary(the<"less">(), abs(Arg(t, x.where)), fixed(INFINITY, dtype, x.where), x.where);
}

Tensor where(Arg condition, Arg a, Arg b) {
  auto [x, y] = alike("where", a, b);
  Arg first(x, condition.where), second(y, condition.where);
  return composed("where", [&] { return elementwise(the<"select">(), {&condition, &first, &second}); });
}

Tensor cast(Arg x, DType dtype) {
  Tensor t = tensor_of(x);
  if (node_of(t, "cast", x.where)->type.dtype() == dtype) return t;
  return apply1(the<"cast">(), {t}, {{"dtype", dtype}}, x.where);
}

Tensor Tensor::astype(DType dtype, Location at) const { return cast(Arg(*this, at), dtype); }

}  // namespace tn
