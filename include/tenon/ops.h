// Operations on tensors, named as in NumPy and the array API. Operands broadcast as NumPy's; dtypes are promoted as the
// array API says, never across kinds (integers do not become floating silently; use `cast`). A plain number takes the
// dtype of the tensor it meets. All are recorded, not run; all are differentiable where a derivative exists.
#pragma once
#include "tenon/elementwise.h"
#include "tenon/tensor.h"

namespace [[gnu::visibility("default")]] tn {

// ---------------------------------------------------------------- elementwise, beside those of elementwise.h

/// A literal integer exponent is part of the program (a new one compiles anew), all else is data.
Tensor pow(Arg a, Arg b);
Tensor ceil(Arg x);
Tensor square(Arg x);
Tensor reciprocal(Arg x);
/// minimum(maximum(x, low), high)
Tensor clip(Arg x, Arg low, Arg high);
Tensor isnan(Arg x);
Tensor isfinite(Arg x);
/// a where `condition`, else b.
Tensor where(Arg condition, Arg a, Arg b);
Tensor cast(Arg x, DType dtype);

// ---------------------------------------------------------------- activations and normalisation

/// x * Phi(x), by erf.
Tensor gelu(Arg x);
struct AxisOption {
  i64 axis = -1;
};
Tensor softmax(Arg x, const AxisOption& options = {});
Tensor log_softmax(Arg x, const AxisOption& options = {});
struct LayerNorm {
  double epsilon = 1e-5;
};
/// Over the last axis: (x - mean) / sqrt(var + epsilon) * scale + bias; scale and bias have the last axis's shape.
Tensor layer_norm(Arg x, Arg scale, Arg bias, const LayerNorm& options = {});
struct BatchNorm {
  double epsilon = 1e-5;
};
/// Over all axes but 1, by given statistics; scale, bias, mean and variance are [channels].
Tensor batch_norm(Arg x, Arg scale, Arg bias, Arg mean, Arg variance, const BatchNorm& options = {});
struct Attention {
  bool causal = false;
  double scale = 0;              ///< 0: 1 / sqrt(head width)
  const Tensor* mask = nullptr;  ///< bool, broadcastable to [..., queries, keys]: where a key may be seen
};
/// softmax(query . key^T * scale) . value over [..., length, width], without the square matrix in memory.
Tensor attention(Arg query, Arg key, Arg value, const Attention& options = {});
/// -log softmax(logits)[label] by row: logits [..., classes], integer labels [...]; one loss a row.
Tensor cross_entropy(Arg logits, Arg labels);

// ---------------------------------------------------------------- reductions

/// Sums and products of integers and bools are i64, the array API's default integer (also where it has an unsigned one
/// of 64 bits), and wrap beyond it. To take them in another dtype cast x before.
Tensor sum(Arg x, const Reduce& options = {});
Tensor prod(Arg x, const Reduce& options = {});
Tensor max(Arg x, const Reduce& options = {});  ///< NaN where there is one; empty is an error.
Tensor min(Arg x, const Reduce& options = {});
Tensor mean(Arg x, const Reduce& options = {});
Tensor any(Arg x, const Reduce& options = {});
Tensor logsumexp(Arg x, const Reduce& options = {});
struct Moments {
  Tensor mean, variance;
};
/// Mean and biased variance; the axes are dropped. Leading axes take one pass: where their first element lies far from
/// all others the variance loses digits, and `var` is the function to take.
Moments moments(Arg x, const Axes& axis = {});
struct Variance {
  Axes axis = {};
  bool keepdims = false;
  i64 correction = 0;  ///< 1 for the unbiased estimate
};
Tensor var(Arg x, const Variance& options = {});
/// Square root of `var`.
Tensor stddev(Arg x, const Variance& options = {});
struct ArgReduce {
  Axes axis = {};
  bool keepdims = false;
};
/// i64 index of the first greatest (NaN counts as greatest); over the flattened tensor without an axis.
Tensor argmax(Arg x, const ArgReduce& options = {});
Tensor argmin(Arg x, const ArgReduce& options = {});
/// Running sums, of the dtype that `sum` gives.
Tensor cumsum(Arg x, const AxisOption& options = {});
struct Sort {
  i64 axis = -1;
  bool descending = false;
};
struct Sorted {
  Tensor values, indices;
};
/// Stable; NaN last.
Sorted sort(Arg x, const Sort& options = {});
Tensor argsort(Arg x, const Sort& options = {});

// ---------------------------------------------------------------- shape

/// One extent may be -1: what is left.
Tensor reshape(Arg x, const Shape& shape);
/// Joins the axes from `first` to `last`.
Tensor flatten(Arg x, int first = 0, int last = -1);
Tensor squeeze(Arg x, const Axes& axis = {});
Tensor expand_dims(Arg x, const Axes& axis);
Tensor broadcast_to(Arg x, const Shape& shape);
/// Result axis i is operand axis axes[i].
Tensor permute(Arg x, const std::vector<i64>& axes);
/// Axes in reverse order.
Tensor transpose(Arg x);
Tensor swapaxes(Arg x, i64 a, i64 b);
Tensor moveaxis(Arg x, i64 from, i64 to);
Tensor concat(std::span<const Tensor> parts, i64 axis = 0, Location at = Location::current());
Tensor concat(std::initializer_list<Tensor> parts, i64 axis = 0, Location at = Location::current());
/// Along a new axis.
Tensor stack(std::span<const Tensor> parts, i64 axis = 0, Location at = Location::current());
Tensor stack(std::initializer_list<Tensor> parts, i64 axis = 0, Location at = Location::current());
/// `count` equal parts of an axis.
std::vector<Tensor> split(Arg x, i64 count, i64 axis = 0);
struct Pad {
  double value = 0;
};
/// Elements before and after each axis; negative numbers cut.
Tensor pad(Arg x, const Shape& low, const Shape& high, const Pad& options = {});
Tensor flip(Arg x, const Axes& axis = {});
Tensor tile(Arg x, const std::vector<i64>& times);

// ---------------------------------------------------------------- indexing

/// x with the elements that `x(...)` would give for an index set to, or increased by, a value that broadcasts to them.
Tensor set_at(const Tensor& x, std::initializer_list<Index> at, Arg value);
Tensor add_at(const Tensor& x, std::initializer_list<Index> at, Arg value);
/// x with rows of `axis` chosen by integer indices of any shape, which takes the axis's place. Indices outside are
/// clamped; in `x(...)` negative ones count from the end.
Tensor gather(Arg x, Arg indices, i64 axis = 0);
/// x with rows of `axis` set to (or increased by) updates; of equal indices the last is set, those outside are dropped.
Tensor scatter(Arg x, Arg indices, Arg updates, i64 axis = 0);
Tensor scatter_add(Arg x, Arg indices, Arg updates, i64 axis = 0);
/// A window of constant sizes at data-dependent starts (i64 [rank], clamped so that it fits).
Tensor dynamic_slice(Arg x, Arg starts, const Shape& sizes);
Tensor dynamic_update_slice(Arg x, Arg update, Arg starts);
/// 1 at the index on a new last axis of extent `classes`, all 0 where the index is outside.
Tensor one_hot(Arg indices, i64 classes, DType dtype = DType::f32);
/// The element of the last axis at each index, clamped to it: x [..., n], indices [...].
Tensor take_last(Arg x, Arg indices);

// ---------------------------------------------------------------- contraction, convolution, pooling

/// As in NumPy: vectors are rows or columns, leading axes broadcast.
Tensor matmul(Arg a, Arg b);
/// "ij,jk->ik"; "..." stands for leading axes; without an arrow the result has the letters used once, sorted.
Tensor einsum(std::string_view spec, Arg a);
Tensor einsum(std::string_view spec, Arg a, Arg b);
Tensor einsum(std::string_view spec, std::span<const Tensor> operands, Location at = Location::current());

/// One number for both axes of a picture, or {rows, columns}.
struct Pair {
  i64 rows = 0, columns = 0;
  constexpr Pair(std::integral auto both) : rows(both), columns(both) {}
  constexpr Pair(i64 r, i64 c) : rows(r), columns(c) {}
  auto fields() { return std::tie(rows, columns); }
};
struct Conv2d {
  Pair stride = 1;
  Pair padding = 0;
  Pair dilation = 1;
  i64 groups = 1;
};
/// x [batch, in, rows, columns] with w [out, in / groups, rows, columns].
Tensor conv2d(Arg x, Arg w, const Conv2d& options = {});
struct Pool2d {
  Pair size = 2;
  Pair stride = 0;  ///< 0: the size
  Pair padding = 0;
};
Tensor max_pool2d(Arg x, const Pool2d& options = {});
/// Padding counts as zeros in the mean.
Tensor avg_pool2d(Arg x, const Pool2d& options = {});

// ---------------------------------------------------------------- creation

Tensor zeros(const Shape& shape, DType dtype = DType::f32, Location at = Location::current());
Tensor ones(const Shape& shape, DType dtype = DType::f32, Location at = Location::current());
Tensor full(const Shape& shape, Arg value, DType dtype);
Tensor full(const Shape& shape, Arg value);
Tensor zeros_like(Arg x);
Tensor ones_like(Arg x);
Tensor full_like(Arg x, Arg value);
/// i64: start, start + step, ... before stop; none when start is past it. A symbolic stop alone is a size: at least 0.
Tensor arange(Dim stop, Location at = Location::current());
Tensor arange(Dim start, Dim stop, i64 step = 1, Location at = Location::current());
/// `count` floating numbers from start to stop, both included.
Tensor linspace(double start, double stop, i64 count, DType dtype = DType::f32, Location at = Location::current());
/// Ones on the diagonal.
Tensor eye(i64 n, DType dtype = DType::f32, Location at = Location::current());
/// The lower or upper triangle, zero elsewhere; `diagonal` shifts the border to the right.
Tensor tril(Arg x, i64 diagonal = 0);
Tensor triu(Arg x, i64 diagonal = 0);
/// A copy that a trace may hold: it never changes, so jit keeps it with the compiled program.
Tensor constant(const Tensor& x, Location at = Location::current());

// ---------------------------------------------------------------- effects

/// Prints `label` and the value when it is computed; in order with other prints, once.
void print(std::string_view label, Arg x);
/// Error with the message when the program runs and not every element is true.
void check(Arg condition, std::string_view message);

/// Runs everything these need, in one go.
void eval(std::span<const Tensor> tensors, Location at = Location::current());
void eval(std::initializer_list<Tensor> tensors, Location at = Location::current());

}  // namespace tn
