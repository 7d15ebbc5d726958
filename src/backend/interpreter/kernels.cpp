// Tile ops of the interpreter for one instruction set; this file is compiled once for each (TENON_TIER names it). It
// may call nothing that is compiled elsewhere under the same name: see scalar_functions.h.
//
// Every op has one form: rows of lanes, in blocks of 16 that compilers turn into vectors, where an operand of one lane
// is spread over a block first. A row pitch of 0 repeats a row. The result may lie on an operand of the same shape,
// never partly over one.
#include "backend/interpreter/steps.h"
#include "ir/scalar_functions.h"

#if defined(__clang__)
#define TENON_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define TENON_INDEPENDENT _Pragma("GCC ivdep") _Pragma("GCC unroll 1")
#endif

namespace tn::loops::interpreter {

namespace TENON_TIER {

// Names of this tier's functors.
namespace fn = tn::loops::TENON_TIER;

namespace {

constexpr int kBlock = 16;

template <class T>
T* tile(const Frame& f, i32 offset) {
  return reinterpret_cast<T*>(f.tiles + offset);
}

/// One row of an operand as blocks: `at` advances by `step`, 0 when a single lane was spread.
template <class T>
struct Row {
  const T* at;
  i32 step;
  alignas(64) T spread[kBlock];

  Row(const T* row, bool splat) : at(row), step(kBlock) {
    if (!splat) return;
    T v = row[0];
    for (int i = 0; i < kBlock; ++i) spread[i] = v;
    at = spread;
    step = 0;
  }
  Row(const Row&) = delete;
  Row& operator=(const Row&) = delete;
  void next() { at += step; }
};

template <class F, class To, class A>
const Step* unary(Frame& f, const Step* s) {
  const A* a = tile<A>(f, s->a);
  To* to = tile<To>(f, s->to);
  for (i32 r = 0; r < s->rows; ++r, to += s->lanes, a += s->pitch_a) {
    Row<A> x(a, s->splat_a);
    i32 i = 0;
    for (; i + kBlock <= s->lanes; i += kBlock, x.next()) {
      TENON_INDEPENDENT
      for (int j = 0; j < kBlock; ++j) to[i + j] = F::of(x.at[j]);
    }
    for (int j = 0; i < s->lanes; ++i, ++j) to[i] = F::of(x.at[j]);
  }
  return s + 1;
}

template <class F, class To, class A>
const Step* binary(Frame& f, const Step* s) {
  const A *a = tile<A>(f, s->a), *b = tile<A>(f, s->b);
  To* to = tile<To>(f, s->to);
  for (i32 r = 0; r < s->rows; ++r, to += s->lanes, a += s->pitch_a, b += s->pitch_b) {
    Row<A> x(a, s->splat_a), y(b, s->splat_b);
    i32 i = 0;
    for (; i + kBlock <= s->lanes; i += kBlock, x.next(), y.next()) {
      TENON_INDEPENDENT
      for (int j = 0; j < kBlock; ++j) to[i + j] = F::of(x.at[j], y.at[j]);
    }
    for (int j = 0; i < s->lanes; ++i, ++j) to[i] = F::of(x.at[j], y.at[j]);
  }
  return s + 1;
}

template <class F, class A, class B>
const Step* ternary(Frame& f, const Step* s) {
  const A* a = tile<A>(f, s->a);
  const B *b = tile<B>(f, s->b), *c = tile<B>(f, s->c);
  B* to = tile<B>(f, s->to);
  for (i32 r = 0; r < s->rows; ++r, to += s->lanes, a += s->pitch_a, b += s->pitch_b, c += s->pitch_c) {
    Row<A> x(a, s->splat_a);
    Row<B> y(b, s->splat_b), z(c, s->splat_c);
    i32 i = 0;
    for (; i + kBlock <= s->lanes; i += kBlock, x.next(), y.next(), z.next()) {
      TENON_INDEPENDENT
      for (int j = 0; j < kBlock; ++j) to[i + j] = F::of(x.at[j], y.at[j], z.at[j]);
    }
    for (int j = 0; i < s->lanes; ++i, ++j) to[i] = F::of(x.at[j], y.at[j], z.at[j]);
  }
  return s + 1;
}

struct Select {
  template <class T>
  static T of(u8 p, T a, T b) {
    return p ? a : b;
  }
};

template <class To, class From>
struct Cast {
  static To of(From x) { return fn::cast_element<To>(x); }
};

// ---------------------------------------------------------------- choosing a map

template <class F, bool kCompare>
StepFn binary_of(DType d) {
  switch (d) {
    case DType::f64: return binary<F, std::conditional_t<kCompare, u8, double>, double>;
    case DType::f32: return binary<F, std::conditional_t<kCompare, u8, float>, float>;
    case DType::i64: return binary<F, std::conditional_t<kCompare, u8, i64>, i64>;
    case DType::i32: return binary<F, std::conditional_t<kCompare, u8, i32>, i32>;
    case DType::i8: return binary<F, std::conditional_t<kCompare, u8, signed char>, signed char>;
    case DType::u32: return binary<F, std::conditional_t<kCompare, u8, u32>, u32>;
    case DType::u8:
    case DType::boolean: return binary<F, u8, u8>;
    default: return nullptr;
  }
}

template <class F>
StepFn integer_of(DType d) {
  switch (d) {
    case DType::i64: return binary<F, i64, i64>;
    case DType::i32: return binary<F, i32, i32>;
    case DType::i8: return binary<F, signed char, signed char>;
    case DType::u32: return binary<F, u32, u32>;
    case DType::u8: return binary<F, u8, u8>;
    default: return nullptr;
  }
}

template <class F>
StepFn bits_of(DType d) {  // sign does not matter
  switch (bytes(d)) {
    case 8: return binary<F, u64, u64>;
    case 4: return binary<F, u32, u32>;
    case 1: return binary<F, u8, u8>;
    default: return nullptr;
  }
}

template <class F>
StepFn unary_of(DType d) {
  switch (d) {
    case DType::f64: return unary<F, double, double>;
    case DType::f32: return unary<F, float, float>;
    case DType::i64: return unary<F, i64, i64>;
    case DType::i32: return unary<F, i32, i32>;
    case DType::i8: return unary<F, signed char, signed char>;
    case DType::u32: return unary<F, u32, u32>;
    case DType::u8: return unary<F, u8, u8>;
    default: return nullptr;
  }
}

template <class F>
StepFn float_unary(DType d) {
  return d == DType::f64 ? unary<F, double, double> : d == DType::f32 ? unary<F, float, float> : nullptr;
}

StepFn select_of(DType d) {
  switch (bytes(d)) {
    case 8: return ternary<Select, u8, u64>;
    case 4: return ternary<Select, u8, u32>;
    case 2: return ternary<Select, u8, u16>;
    default: return ternary<Select, u8, u8>;
  }
}

template <class From>
StepFn cast_from(DType to) {
  switch (to) {
    case DType::f64: return unary<Cast<double, From>, double, From>;
    case DType::f32: return unary<Cast<float, From>, float, From>;
    case DType::f16: return unary<Cast<fn::Half, From>, fn::Half, From>;
    case DType::bf16: return unary<Cast<fn::Bfloat, From>, fn::Bfloat, From>;
    case DType::i64: return unary<Cast<i64, From>, i64, From>;
    case DType::i32: return unary<Cast<i32, From>, i32, From>;
    case DType::i8: return unary<Cast<signed char, From>, signed char, From>;
    case DType::u32: return unary<Cast<u32, From>, u32, From>;
    case DType::u8: return unary<Cast<u8, From>, u8, From>;
    case DType::boolean: return unary<Cast<fn::Bool, From>, fn::Bool, From>;
  }
  return nullptr;
}

StepFn cast_of(DType from, DType to) {
  switch (from) {
    case DType::f64: return cast_from<double>(to);
    case DType::f32: return cast_from<float>(to);
    case DType::f16: return cast_from<fn::Half>(to);
    case DType::bf16: return cast_from<fn::Bfloat>(to);
    case DType::i64: return cast_from<i64>(to);
    case DType::i32: return cast_from<i32>(to);
    case DType::i8: return cast_from<signed char>(to);
    case DType::u32: return cast_from<u32>(to);
    case DType::u8: return cast_from<u8>(to);
    case DType::boolean: return cast_from<fn::Bool>(to);
  }
  return nullptr;
}

StepFn map(const Step&, ScalarOp op, DType d, DType result) {
  bool wide = d == DType::f64;
  switch (op) {
    case ScalarOp::add: return is_float(d) ? binary_of<fn::Add, false>(d) : bits_of<fn::Add>(d);
    case ScalarOp::sub: return is_float(d) ? binary_of<fn::Sub, false>(d) : bits_of<fn::Sub>(d);
    case ScalarOp::mul: return is_float(d) ? binary_of<fn::Mul, false>(d) : bits_of<fn::Mul>(d);
    case ScalarOp::div: return wide ? binary<fn::Div, double, double> : binary<fn::Div, float, float>;
    case ScalarOp::floor_div: return integer_of<fn::FloorDiv>(d);
    case ScalarOp::floor_mod: return integer_of<fn::FloorMod>(d);
    case ScalarOp::fma: return wide ? ternary<fn::Fma, double, double> : ternary<fn::Fma, float, float>;
    case ScalarOp::neg: return unary_of<fn::Neg>(d);
    case ScalarOp::abs: return unary_of<fn::Abs>(d);
    case ScalarOp::sqrt: return float_unary<fn::Sqrt>(d);
    case ScalarOp::floor: return float_unary<fn::Floor>(d);
    case ScalarOp::round: return float_unary<fn::Round>(d);
    case ScalarOp::max: return binary_of<fn::Max, false>(d);
    case ScalarOp::min: return binary_of<fn::Min, false>(d);
    case ScalarOp::less: return binary_of<fn::Less, true>(d);
    case ScalarOp::less_equal: return binary_of<fn::LessEqual, true>(d);
    case ScalarOp::equal: return binary_of<fn::Equal, true>(d);
    case ScalarOp::not_equal: return binary_of<fn::NotEqual, true>(d);
    case ScalarOp::logical_and: return bits_of<fn::And>(d);
    case ScalarOp::logical_or: return bits_of<fn::Or>(d);
    case ScalarOp::logical_xor: return bits_of<fn::Xor>(d);
    case ScalarOp::shift_left: return integer_of<fn::ShiftLeft>(d);
    case ScalarOp::shift_right: return integer_of<fn::ShiftRight>(d);
    case ScalarOp::select: return select_of(result);
    case ScalarOp::cast: return cast_of(d, result);
    case ScalarOp::bitcast: return nullptr;  // shares the operand's place
  }
  return nullptr;
}

// ---------------------------------------------------------------- reduce, scan

template <class F, class T>
void fold_lanes(T* to, const T* x, T* t, i32 n) {
  if (n == 1) {
    *to = *x;
    return;
  }
  for (; n > 1; x = t) {
    i32 half = (n + 1) / 2, pairs = n - half;
    TENON_INDEPENDENT
    for (i32 i = 0; i < pairs; ++i) t[i] = F::of(x[i], x[i + half]);
    if (pairs < half) t[pairs] = x[pairs];
    n = half;
  }
  *to = t[0];
}

/// Step::flag: over rows. Step::b: room for half of the tile.
template <class F, class T>
const Step* fold(Frame& f, const Step* s) {
  const T* x = tile<T>(f, s->a);
  T *t = tile<T>(f, s->b), *to = tile<T>(f, s->to);
  if (!s->flag) {
    for (i32 r = 0; r < s->rows; ++r, x += s->lanes) fold_lanes<F>(to + r, x, t, s->lanes);
    return s + 1;
  }
  i32 n = s->rows;
  for (; n > 1; x = t) {
    i32 half = (n + 1) / 2, pairs = (n - half) * s->lanes, distance = half * s->lanes;
    TENON_INDEPENDENT
    for (i32 i = 0; i < pairs; ++i) t[i] = F::of(x[i], x[i + distance]);
    if (n - half < half)
      for (i32 i = pairs; i < pairs + s->lanes; ++i) t[i] = x[i];
    n = half;
  }
  for (i32 i = 0; i < s->lanes; ++i) to[i] = x[i];
  return s + 1;
}

template <class F, class T>
const Step* scan_lanes(Frame& f, const Step* s) {
  const T* x = tile<T>(f, s->a);
  T* to = tile<T>(f, s->to);
  __builtin_memcpy(to, x, sizeof(T) * static_cast<size_t>(s->rows) * static_cast<size_t>(s->lanes));
  for (i32 r = 0; r < s->rows; ++r, to += s->lanes)
    for (i32 h = 1; h < s->lanes; h *= 2)
      for (i32 l = s->lanes - 1; l >= h; --l) to[l] = F::of(to[l - h], to[l]);
  return s + 1;
}

template <class F>
StepFn fold_numbers(DType d, bool scans) {
  switch (d) {
    case DType::f64: return scans ? scan_lanes<F, double> : fold<F, double>;
    case DType::f32: return scans ? scan_lanes<F, float> : fold<F, float>;
    case DType::i64: return scans ? scan_lanes<F, i64> : fold<F, i64>;
    case DType::i32: return scans ? scan_lanes<F, i32> : fold<F, i32>;
    case DType::i8: return scans ? scan_lanes<F, signed char> : fold<F, signed char>;
    case DType::u32: return scans ? scan_lanes<F, u32> : fold<F, u32>;
    case DType::u8:
    case DType::boolean: return scans ? scan_lanes<F, u8> : fold<F, u8>;
    default: return nullptr;
  }
}

template <class F>
StepFn fold_bits(DType d, bool scans) {
  switch (is_float(d) ? 0 : bytes(d)) {
    case 8: return scans ? scan_lanes<F, u64> : fold<F, u64>;
    case 4: return scans ? scan_lanes<F, u32> : fold<F, u32>;
    case 1: return scans ? scan_lanes<F, u8> : fold<F, u8>;
    default: return nullptr;
  }
}

StepFn folding(ScalarOp op, DType d, bool scans) {
  switch (op) {
    case ScalarOp::add: return fold_numbers<fn::Add>(d, scans);
    case ScalarOp::mul: return fold_numbers<fn::Mul>(d, scans);
    case ScalarOp::min: return fold_numbers<fn::Min>(d, scans);
    case ScalarOp::max: return fold_numbers<fn::Max>(d, scans);
    case ScalarOp::logical_and: return fold_bits<fn::And>(d, scans);
    case ScalarOp::logical_or: return fold_bits<fn::Or>(d, scans);
    default: return nullptr;
  }
}

StepFn fold_of(ScalarOp op, DType d) { return folding(op, d, false); }
StepFn scan_of(ScalarOp op, DType d) { return folding(op, d, true); }

// ---------------------------------------------------------------- shape

/// One row (flag) or one lane, number `extent`.
template <class T>
const Step* slice(Frame& f, const Step* s) {
  const T* x = tile<T>(f, s->a);
  T* to = tile<T>(f, s->to);
  if (s->flag)
    for (i32 i = 0; i < s->lanes; ++i) to[i] = x[s->extent * s->lanes + i];
  else
    for (i32 r = 0; r < s->rows; ++r) to[r] = x[r * s->lanes + s->extent];
  return s + 1;
}

template <class T>
const Step* transpose(Frame& f, const Step* s) {
  const T* x = tile<T>(f, s->a);
  T* to = tile<T>(f, s->to);
  for (i32 r = 0; r < s->rows; ++r)
    for (i32 l = 0; l < s->lanes; ++l) to[r * s->lanes + l] = x[l * s->rows + r];
  return s + 1;
}

template <class T>
const Step* dim(Frame& f, const Step* s) {
  T* to = tile<T>(f, s->to);
  i64 down = s->row_stride < 0 ? 0 : f.dims[s->row_stride], right = s->lane_stride < 0 ? 0 : f.dims[s->lane_stride];
  for (i32 r = 0; r < s->rows; ++r, to += s->lanes) {
    i64 first = f.dims[s->base] + r * down;
    TENON_INDEPENDENT
    for (i32 l = 0; l < s->lanes; ++l) to[l] = static_cast<T>(first + l * right);
  }
  return s + 1;
}

StepFn dim_of(DType d) {
  switch (d) {
    case DType::f64: return dim<double>;
    case DType::f32: return dim<float>;
    case DType::i64: return dim<i64>;
    case DType::i32:
    case DType::u32: return dim<u32>;
    case DType::i8:
    case DType::u8: return dim<u8>;
    default: return nullptr;
  }
}

// ---------------------------------------------------------------- memory

template <class T>
T* address(const Frame& f, const Step* s) {
  return static_cast<T*>(s->buffer < 0 ? static_cast<void*>(f.scratch) : f.buffers[s->buffer]) + f.dims[s->base];
}

/// The part of an extent below a limit's slot.
inline i64 within(const Frame& f, i32 extent, i32 limit) {
  if (limit < 0) return extent;
  i64 n = f.dims[limit];
  return n < 0 ? 0 : n < extent ? n : extent;
}

inline i64 stride(const Frame& f, i32 slot, i64 otherwise) { return slot < 0 ? otherwise : f.dims[slot]; }

template <class T>
void copy(T* to, const T* from, i64 n) {
  i64 i = 0;
  for (; i + kBlock <= n; i += kBlock) __builtin_memcpy(to + i, from + i, kBlock * sizeof(T));
  for (; i < n; ++i) to[i] = from[i];
}

template <class T>
const Step* load_row(Frame& f, const Step* s) {
  copy(tile<T>(f, s->to), static_cast<const T*>(address<T>(f, s)), s->lanes);
  return s + 1;
}

template <class T>
const Step* store_row(Frame& f, const Step* s) {
  copy(address<T>(f, s), static_cast<const T*>(tile<T>(f, s->a)), s->lanes);
  return s + 1;
}

template <class T>
const Step* load(Frame& f, const Step* s) {
  const T* from = address<T>(f, s);
  T *to = tile<T>(f, s->to), fill = static_cast<T>(s->fill);
  i64 down = stride(f, s->row_stride, 0), right = stride(f, s->lane_stride, 1);
  i64 rows = within(f, s->rows, s->row_limit), lanes = within(f, s->lanes, s->lane_limit);
  for (i64 r = 0; r < s->rows; ++r, to += s->lanes) {
    i64 n = r < rows ? lanes : 0;
    const T* row = from + (n ? r * down : 0);
    if (right == 1)
      copy(to, row, n);
    else
      for (i64 l = 0; l < n; ++l) to[l] = row[l * right];
    if (!s->flag)
      for (i64 l = n; l < s->lanes; ++l) to[l] = fill;
  }
  return s + 1;
}

template <class T>
const Step* store(Frame& f, const Step* s) {
  T* to = address<T>(f, s);
  const T* from = tile<T>(f, s->a);
  i64 down = stride(f, s->row_stride, 0), right = stride(f, s->lane_stride, 1);
  i64 rows = within(f, s->rows, s->row_limit), lanes = within(f, s->lanes, s->lane_limit);
  for (i64 r = 0; r < rows; ++r, from += s->lanes) {
    T* row = to + r * down;
    if (right == 1)
      copy(row, from, lanes);
    else
      for (i64 l = 0; l < lanes; ++l) row[l * right] = from[l];
  }
  return s + 1;
}

template <class T, class I>
const Step* gather(Frame& f, const Step* s) {
  const T* from = address<T>(f, s);
  T *to = tile<T>(f, s->to), fill = static_cast<T>(s->fill);
  const I* at = tile<I>(f, s->a);
  i64 down = stride(f, s->row_stride, 0), right = stride(f, s->lane_stride, 0);
  i64 step = f.dims[s->axis_stride], last = f.dims[s->axis_extent] - 1;
  // Of an empty axis nothing can be read.
  i64 rows = last < 0 ? 0 : within(f, s->rows, s->row_limit), lanes = within(f, s->lanes, s->lane_limit);
  for (i64 r = 0; r < s->rows; ++r, to += s->lanes, at += s->lanes) {
    i64 n = r < rows ? lanes : 0;
    for (i64 l = 0; l < n; ++l) {
      i64 i = static_cast<i64>(at[l]);
      i = i > last ? last : i;
      i = i < 0 ? 0 : i;
      to[l] = from[r * down + l * right + i * step];
    }
    for (i64 l = n; l < s->lanes; ++l) to[l] = fill;
  }
  return s + 1;
}

/// Elements in row-major order; an index outside the axis is dropped.
template <class T, class I, bool kAdd>
const Step* scatter(Frame& f, const Step* s) {
  T* to = address<T>(f, s);
  const T* from = tile<T>(f, s->b);
  const I* at = tile<I>(f, s->a);
  i64 down = stride(f, s->row_stride, 0), right = stride(f, s->lane_stride, 0);
  i64 step = f.dims[s->axis_stride], extent = f.dims[s->axis_extent];
  i64 rows = within(f, s->rows, s->row_limit), lanes = within(f, s->lanes, s->lane_limit);
  for (i64 r = 0; r < rows; ++r, from += s->lanes, at += s->lanes)
    for (i64 l = 0; l < lanes; ++l) {
      i64 i = static_cast<i64>(at[l]);
      if (i < 0 || i >= extent) continue;
      T& place = to[r * down + l * right + i * step];
      if constexpr (kAdd)
        place = fn::Add::of(place, from[l]);
      else
        place = from[l];
    }
  return s + 1;
}

StepFn slice_of(int bytes) {
  return bytes == 8 ? slice<u64> : bytes == 4 ? slice<u32> : bytes == 2 ? slice<u16> : slice<u8>;
}
StepFn transpose_of(int bytes) {
  return bytes == 8 ? transpose<u64> : bytes == 4 ? transpose<u32> : bytes == 2 ? transpose<u16> : transpose<u8>;
}

bool plain_row(const Step& s) { return s.rows == 1 && s.lane_stride < 0 && s.row_limit < 0 && s.lane_limit < 0; }

StepFn load_of(const Step& s, int bytes) {
  if (plain_row(s))
    return bytes == 8 ? load_row<u64> : bytes == 4 ? load_row<u32> : bytes == 2 ? load_row<u16> : load_row<u8>;
  return bytes == 8 ? load<u64> : bytes == 4 ? load<u32> : bytes == 2 ? load<u16> : load<u8>;
}
StepFn store_of(const Step& s, int bytes) {
  if (plain_row(s))
    return bytes == 8 ? store_row<u64> : bytes == 4 ? store_row<u32> : bytes == 2 ? store_row<u16> : store_row<u8>;
  return bytes == 8 ? store<u64> : bytes == 4 ? store<u32> : bytes == 2 ? store<u16> : store<u8>;
}

template <class T>
StepFn gather_by(DType index) {
  switch (index) {
    case DType::i64: return gather<T, i64>;
    case DType::i32: return gather<T, i32>;
    case DType::i8: return gather<T, signed char>;
    case DType::u32: return gather<T, u32>;
    case DType::u8: return gather<T, u8>;
    default: return nullptr;
  }
}
StepFn gather_of(int bytes, DType index) {
  return bytes == 8   ? gather_by<u64>(index)
         : bytes == 4 ? gather_by<u32>(index)
         : bytes == 2 ? gather_by<u16>(index)
                      : gather_by<u8>(index);
}

template <class T, bool kAdd>
StepFn scatter_by(DType index) {
  switch (index) {
    case DType::i64: return scatter<T, i64, kAdd>;
    case DType::i32: return scatter<T, i32, kAdd>;
    case DType::i8: return scatter<T, signed char, kAdd>;
    case DType::u32: return scatter<T, u32, kAdd>;
    case DType::u8: return scatter<T, u8, kAdd>;
    default: return nullptr;
  }
}
StepFn scatter_of(DType d, DType index, bool add) {
  if (add && d == DType::f64) return scatter_by<double, true>(index);
  if (add && d == DType::f32) return scatter_by<float, true>(index);
  if (add && is_float(d)) return nullptr;
  switch (bytes(d)) {
    case 8: return add ? scatter_by<u64, true>(index) : scatter_by<u64, false>(index);
    case 4: return add ? scatter_by<u32, true>(index) : scatter_by<u32, false>(index);
    case 2: return scatter_by<u16, false>(index);
    default: return add ? scatter_by<u8, true>(index) : scatter_by<u8, false>(index);
  }
}

constexpr Kernels kKernels = {map,    fold_of, scan_of,  slice_of,  transpose_of,
                              dim_of, load_of, store_of, gather_of, scatter_of};

}  // namespace

const Kernels& table() { return kKernels; }

}  // namespace TENON_TIER

const Kernels& TENON_TIER_TABLE() { return TENON_TIER::table(); }

}  // namespace tn::loops::interpreter
