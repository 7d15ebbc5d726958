// Tensor: an array value. It refers to data, to an operation that has not run yet, or to a value being traced; which of
// them never shows in results. Operations are recorded and run together when a value is read (`item`, `data`,
// printing). Types are checked when an operation is recorded; errors name the operation, the types and the caller's
// line.
#pragma once
#include <concepts>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "tenon/error.h"
#include "tenon/type.h"

namespace [[gnu::visibility("default")]] tn {

struct Pending;
class Tensor;

/// A number of the host: bool, integer or floating.
template <class T>
concept Number = std::is_arithmetic_v<T>;

/// A number that elements of a dtype are stored as; no dtype has integers of 16 bits, unsigned ones of 64 or long
/// double.
template <class T>
concept Element =
    Number<T> && (sizeof(T) == 4 || (sizeof(T) == 8 && std::is_signed_v<T>) || (sizeof(T) == 1 && std::integral<T>));
/// What numbers of the host go through to and from tensors.
template <Number T>
using ElementFor = std::conditional_t<Element<T>, T, std::conditional_t<std::floating_point<T>, double, i64>>;

/// The dtype whose elements are stored as T; those of f16 and bf16 are read as their bits, through u16.
template <Element T>
constexpr DType dtype_of() {
  if constexpr (std::same_as<T, bool>) return DType::boolean;
  if constexpr (std::floating_point<T>) return sizeof(T) == 8 ? DType::f64 : DType::f32;
  if constexpr (std::is_signed_v<T>) return sizeof(T) == 8 ? DType::i64 : sizeof(T) == 4 ? DType::i32 : DType::i8;
  return sizeof(T) == 4 ? DType::u32 : DType::u8;
}

/// An operand: a tensor, or a number that takes the dtype of the operand it meets. Catches the caller's line.
class Arg {
 public:
  enum class Kind : u8 { tensor, floating, integer, boolean };

  Arg(const Tensor& x, Location at = Location::current()) : tensor_(&x), where(at) {}
  template <Number T>
  Arg(T x, Location at = Location::current()) : where(at) {
    if constexpr (std::floating_point<T>) {
      kind_ = Kind::floating;
      floating_ = static_cast<double>(x);
    } else {
      if constexpr (std::unsigned_integral<T> && sizeof(T) == 8)
        if (x >> 63) fail("tensor", "expected an integer that fits i64, got " + std::to_string(x), at);
      kind_ = std::same_as<T, bool> ? Kind::boolean : Kind::integer;
      integer_ = static_cast<i64>(x);
    }
  }

  Kind kind() const { return kind_; }
  bool is_tensor() const { return kind_ == Kind::tensor; }
  const Tensor& tensor() const { return *tensor_; }
  double floating() const { return kind_ == Kind::floating ? floating_ : static_cast<double>(integer_); }
  i64 integer() const { return integer_; }

 private:
  Kind kind_ = Kind::tensor;
  union {
    const Tensor* tensor_;
    double floating_;
    i64 integer_;
  };

 public:
  Location where;
};

/// The nearest index that a Dim holds, so that the largest integer is as good an end of a slice as any beyond it.
constexpr i64 near_index(std::integral auto value) {
  constexpr i64 kMost = (i64{1} << 62) - 1;
  if (std::cmp_greater(value, kMost)) return kMost;
  return std::cmp_less(value, -kMost) ? -kMost : static_cast<i64>(value);
}

struct None {};
/// Nothing: an open end of a slice, an argument that is not mapped.
inline constexpr None none{};

/// A bound of a slice: an integer (negative: from the end), a Dim, or none.
class SliceBound {
 public:
  constexpr SliceBound(None) : open_(true) {}
  constexpr SliceBound(std::integral auto value) : value_(near_index(value)) {}
  constexpr SliceBound(Dim value) : value_(value) {}
  constexpr bool open() const { return open_; }
  constexpr Dim value() const { return value_; }

 private:
  Dim value_ = 0;
  bool open_ = false;
};

struct Slice {
  SliceBound start = none, stop = none;
  i64 step = 1;
};
/// start, start + step, ... before stop, as in Python: out-of-range bounds are clipped, a negative step walks down.
constexpr Slice slice(SliceBound start, SliceBound stop, i64 step = 1) { return {start, stop, step}; }

struct Newaxis {};
struct Ellipsis {};
/// In an index: a new axis of extent 1; as many whole axes as are not named.
inline constexpr Newaxis newaxis{};
inline constexpr Ellipsis ellipsis{};

/// Which axes: one, several, or none given, which means all. Negative ones count from the end.
struct Axes {
  bool all = true;
  std::vector<i64> list;
  Axes() = default;
  Axes(None) {}
  Axes(std::integral auto axis) : all(false), list{static_cast<i64>(axis)} {}
  Axes(std::initializer_list<i64> axes) : all(false), list(axes) {}
  Axes(std::vector<i64> axes) : all(false), list(std::move(axes)) {}
  auto fields() { return std::tie(all, list); }
};

/// Options of reductions.
struct Reduce {
  Axes axis = {};
  bool keepdims = false;
};

/// `tn::all`: a whole axis in an index; called on a bool tensor, whether all elements are true.
struct All {
  Tensor operator()(Arg x, const Reduce& options = {}) const;
};
inline constexpr All all{};

/// One entry of `x(...)`: an integer, a slice, all, newaxis, ellipsis, an integer tensor (rows are gathered; several
/// broadcast against each other, as in NumPy) or a 0-d integer tensor.
class Index {
 public:
  enum class Kind : u8 { absent, integer, slice, newaxis, ellipsis, tensor };

  Index() = default;
  Index(std::integral auto i, Location at = Location::current())
      : kind(Kind::integer), position(near_index(i)), where(at) {}
  Index(Dim i, Location at = Location::current()) : kind(Kind::integer), position(i), where(at) {}
  Index(Slice s, Location at = Location::current()) : kind(Kind::slice), range(s), where(at) {}
  Index(All, Location at = Location::current()) : kind(Kind::slice), where(at) {}
  Index(Newaxis, Location at = Location::current()) : kind(Kind::newaxis), where(at) {}
  Index(None, Location at = Location::current()) : kind(Kind::newaxis), where(at) {}
  Index(Ellipsis, Location at = Location::current()) : kind(Kind::ellipsis), where(at) {}
  Index(const Tensor& t, Location at = Location::current()) : kind(Kind::tensor), tensor(&t), where(at) {}

  Kind kind = Kind::absent;
  Dim position = 0;
  Slice range;
  const Tensor* tensor = nullptr;
  Location where;
};

class Tensor {
 public:
  /// No value; every operation on it is an error.
  Tensor() = default;
  /// A 0-d tensor: f32 of a floating number, i64 of an integer, bool of a bool.
  template <Number T>
  Tensor(T value)
      : Tensor(Arg(value, Location{}), std::floating_point<T>  ? DType::f32
                                       : std::same_as<T, bool> ? DType::boolean
                                                               : DType::i64) {}
  /// A 0-d tensor of that dtype; a number that does not fit an integer dtype is an error.
  Tensor(Arg value, DType dtype);
  Tensor(const Tensor& other) : node_(other.node_) {
    if (node_) retain(node_);
  }
  Tensor(Tensor&& other) noexcept : node_(other.node_) { other.node_ = nullptr; }
  Tensor& operator=(const Tensor& other) { return *this = Tensor(other); }
  Tensor& operator=(Tensor&& other) noexcept {
    Pending* mine = node_;
    node_ = other.node_;
    other.node_ = mine;
    return *this;
  }
  ~Tensor() {
    if (node_) release(node_);
  }

  /// Whether there is a value (computed or not).
  bool defined() const { return node_; }
  Type type(Location at = Location::current()) const;
  DType dtype(Location at = Location::current()) const { return type(at).dtype(); }
  std::span<const Dim> shape(Location at = Location::current()) const { return type(at).shape(); }
  int rank(Location at = Location::current()) const { return type(at).rank(); }
  /// Extent of an axis, negative counts from the end; error when it is symbolic.
  i64 size(int axis, Location at = Location::current()) const;
  /// Number of elements; error when it is symbolic.
  i64 size(Location at = Location::current()) const;

  /// The only element, converted. Runs what is pending. Error: more than one element, or a value being traced.
  template <Number T = double>
  T item(Location at = Location::current()) const {
    if constexpr (std::floating_point<T>) return static_cast<T>(item_floating(at));
    return static_cast<T>(item_integer(at));
  }
  /// All elements, row-major, converted to T. Error where T is of 16 bits, or unsigned of 64, and one does not fit.
  template <Number T = double>
  std::vector<T> to_vector(Location at = Location::current()) const;
  /// The elements in place, row-major; valid as long as a handle to this value lives. Error: T is not the dtype's type.
  template <class T>
    requires Element<T> || std::same_as<T, u16>
  const T* data(Location at = Location::current()) const {
    return static_cast<const T*>(raw(dtype_code<T>(), at));
  }
  /// The same untyped.
  const void* raw(Location at = Location::current()) const { return raw(-1, at); }
  size_t nbytes(Location at = Location::current()) const {
    return static_cast<size_t>(size(at)) * static_cast<size_t>(bytes(dtype(at)));
  }
  /// Runs what is pending; returns itself.
  const Tensor& eval(Location at = Location::current()) const;

  /// Indexing as in NumPy, on values: `x(tn::all, tn::slice(1, 3), -1)`.
  Tensor operator()(Index i0, Index i1 = {}, Index i2 = {}, Index i3 = {}, Index i4 = {}, Index i5 = {}, Index i6 = {},
                    Index i7 = {}) const;
  /// Same data, converted to a dtype.
  Tensor astype(DType dtype, Location at = Location::current()) const;
  Tensor reshape(const Shape& shape, Location at = Location::current()) const;

  /// Makes this handle a parameter: what is computed from it can be differentiated by `backward`. Returns itself.
  Tensor& requires_grad(Location at = Location::current());
  /// Adds the derivative of this floating scalar to `grad()` of every parameter it was computed from.
  void backward(Location at = Location::current()) const;
  /// What `backward` accumulated; a tensor without value before the first.
  Tensor grad() const;
  void zero_grad();
  /// The same value, not differentiated by `backward`.
  Tensor detach() const;

  Pending* node() const { return node_; }
  /// Takes over one reference.
  static Tensor from_node(Pending* node) {
    Tensor t;
    t.node_ = node;
    return t;
  }

  Tensor& operator+=(Arg other);
  Tensor& operator-=(Arg other);
  Tensor& operator*=(Arg other);
  Tensor& operator/=(Arg other);
  friend Tensor operator+(Arg a, Arg b);
  friend Tensor operator-(Arg a, Arg b);
  friend Tensor operator*(Arg a, Arg b);
  friend Tensor operator/(Arg a, Arg b);
  friend Tensor operator%(Arg a, Arg b);
  friend Tensor operator-(Arg a);
  friend Tensor operator==(Arg a, Arg b);
  friend Tensor operator!=(Arg a, Arg b);
  friend Tensor operator<(Arg a, Arg b);
  friend Tensor operator<=(Arg a, Arg b);
  friend Tensor operator>(Arg a, Arg b);
  friend Tensor operator>=(Arg a, Arg b);
  friend Tensor operator&&(Arg a, Arg b);
  friend Tensor operator||(Arg a, Arg b);
  friend Tensor operator!(Arg a);

 private:
  static void retain(Pending* node);
  static void release(Pending* node);
  template <class T>
  static constexpr int dtype_code() {
    if constexpr (std::same_as<T, u16>) return 100;  // f16 or bf16
    return static_cast<int>(dtype_of<T>());
  }
  const void* raw(int dtype_code, Location at) const;
  double item_floating(Location at) const;
  i64 item_integer(Location at) const;
  void copy_to(void* out, DType dtype, Location at) const;

  Pending* node_ = nullptr;
};

// Friends of the class, declared here so that they are visible outside the library.
Tensor operator+(Arg a, Arg b);
Tensor operator-(Arg a, Arg b);
Tensor operator*(Arg a, Arg b);
Tensor operator/(Arg a, Arg b);
Tensor operator%(Arg a, Arg b);
Tensor operator-(Arg a);
Tensor operator==(Arg a, Arg b);
Tensor operator!=(Arg a, Arg b);
Tensor operator<(Arg a, Arg b);
Tensor operator<=(Arg a, Arg b);
Tensor operator>(Arg a, Arg b);
Tensor operator>=(Arg a, Arg b);
Tensor operator&&(Arg a, Arg b);
Tensor operator||(Arg a, Arg b);
Tensor operator!(Arg a);

template <Number T>
std::vector<T> Tensor::to_vector(Location at) const {
  if constexpr (std::same_as<T, bool>) {
    std::vector<u8> raw_values = to_vector<u8>(at);
    return std::vector<bool>(raw_values.begin(), raw_values.end());
  } else if constexpr (!Element<T>) {
    std::vector<T> out;
    for (auto x : to_vector<ElementFor<T>>(at)) {
      if constexpr (std::integral<T>)
        if (!std::in_range<T>(x))
          fail("to_vector",
               std::string("expected numbers that fit ") + (std::is_signed_v<T> ? "i" : "u") +
                   std::to_string(8 * sizeof(T)) + ", got " + std::to_string(x) + "; use a wider type",
               at);
      out.push_back(static_cast<T>(x));
    }
    return out;
  } else {
    std::vector<T> out(static_cast<size_t>(size(at)));
    copy_to(out.data(), dtype_of<T>(), at);
    return out;
  }
}

/// Nested lists: `tensor({{1, 2}, {3, 4}})`.
struct Literal {
  Literal(std::initializer_list<Literal> rows, Location at = Location::current());
  template <Number T>
  Literal(T x, Location at = Location::current()) : numbers{Arg(x, at)}, kind(numbers[0].kind()) {}
  std::vector<Arg> numbers;
  std::vector<i64> shape;
  Arg::Kind kind;
};
/// A tensor of the numbers written: f32 when one is floating, i64 when all are integers, bool when all are bools, or
/// `dtype`. Error: rows of different lengths.
Tensor tensor(std::initializer_list<Literal> rows, Location at = Location::current());
Tensor tensor(std::initializer_list<Literal> rows, DType dtype, Location at = Location::current());
/// A copy of bytes in host order, row-major.
Tensor from_data(const void* data, const Shape& shape, DType dtype, Location at = Location::current());
/// The memory itself, not copied, which must not change while it is in use; `owner` is held as long.
Tensor wrap_data(void* data, const Shape& shape, DType dtype, std::shared_ptr<void> owner,
                 Location at = Location::current());
/// A copy of the elements, of dtype dtype_of<T>(); without a shape it has one axis. Other integers become i64, an Error
/// where one does not fit, and long double f64.
template <Number T>
Tensor tensor(std::span<const T> values, const Shape& shape, Location at = Location::current()) {
  if (product(shape) != Dim(static_cast<i64>(values.size())))
    fail("tensor", "expected as many values as the shape has, got " + std::to_string(values.size()), at);
  if constexpr (!Element<T>) {
    std::vector<ElementFor<T>> converted;
    for (T x : values) {
      if constexpr (std::integral<T>)
        if (!std::in_range<i64>(x)) fail("tensor", "expected integers that fit i64, got " + std::to_string(x), at);
      converted.push_back(static_cast<ElementFor<T>>(x));
    }
    return tensor(std::span<const ElementFor<T>>(converted), shape, at);
  } else {
    return from_data(values.data(), shape, dtype_of<T>(), at);
  }
}
template <Number T>
  requires(!std::same_as<T, bool>)
Tensor tensor(const std::vector<T>& values, const Shape& shape, Location at = Location::current()) {
  return tensor(std::span<const T>(values), shape, at);
}
template <Number T>
  requires(!std::same_as<T, bool>)
Tensor tensor(const std::vector<T>& values, Location at = Location::current()) {
  return tensor(std::span<const T>(values), {static_cast<i64>(values.size())}, at);
}

/// Like NumPy prints it.
std::string to_string(const Tensor& x, Location at = Location::current());
/// What `<<` prints; catches the caller's line.
struct Printed {
  Printed(const Tensor& x, Location at = Location::current()) : tensor(x), where(at) {}
  const Tensor& tensor;
  Location where;
};
template <class Stream>
  requires requires(Stream& s) { s << std::string(); }
Stream& operator<<(Stream& stream, Printed x) {
  stream << to_string(x.tensor, x.where);
  return stream;
}

}  // namespace tn
