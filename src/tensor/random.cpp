#include "tenon/random.h"

#include <cstring>

#include "tensor/helpers.h"

namespace tn::random {

Tensor key(u64 seed, Location at) {
  u32 words[] = {static_cast<u32>(seed), static_cast<u32>(seed >> 32)};
  return from_data(words, {2}, DType::u32, at);
}

Tensor split(Arg key, i64 count) {
  return apply1(the<"random_split">(), {tensor_of(key)}, {{"count", count}}, key.where);
}

Tensor fold_in(Arg key, Arg data) {
  return apply1(the<"random_fold_in">(), {tensor_of(key), tensor_of(data)}, {}, key.where);
}

Tensor bits(Arg key, const Shape& shape) {
  return apply1(the<"random_bits">(), {tensor_of(key)}, {{"shape", shape}}, key.where);
}

/// x * scale + shift, where either may be nothing to do.
static Tensor affine(Tensor x, double scale, double shift, DType dtype, const Location& where) {
  if (scale != 1) x = binary(the<"mul">(), x, tensor_of(Arg(scale, where), dtype), where);
  if (shift != 0) x = binary(the<"add">(), x, tensor_of(Arg(shift, where), dtype), where);
  return x;
}

static double rounded(double value, DType dtype) {
  Array a = Array::empty(dtype, {});
  a.set(0, value);
  return a.get(0);
}

/// The greatest number of a floating dtype below one of its numbers.
static double below(double value, DType dtype) {
  Array a = Array::empty(dtype, {});
  a.set(0, value);
  u64 raw = 0, sign = u64{1} << (tn::bits(dtype) - 1);
  std::memcpy(&raw, a.bytes_begin(), a.nbytes());
  // Magnitudes are in the order of their bits.
  raw = (raw & ~sign) == 0 ? sign | 1 : raw & sign ? raw + 1 : raw - 1;
  std::memcpy(a.bytes_begin(), &raw, a.nbytes());
  return a.get(0);
}

Tensor uniform(Arg key, const Shape& shape, const Uniform& o) {
  if (!(o.low <= o.high))
    fail("uniform", "expected low <= high, got " + std::to_string(o.low) + " and " + std::to_string(o.high), key.where);
  bool unit = o.low == 0 && o.high == 1;
  // Rounded once: 16 bits are too few for steps between.
  DType wide = !unit && (o.dtype == DType::f16 || o.dtype == DType::bf16) ? DType::f32 : o.dtype;
  Tensor x = apply1(the<"random_uniform">(), {tensor_of(key)}, {{"shape", shape}, {"dtype", wide}}, key.where);
  if (unit) return x;
  x = affine(x, o.high - o.low, o.low, wide, key.where);
  if (wide != o.dtype) x = apply1(the<"cast">(), {x}, {{"dtype", o.dtype}}, key.where);
  double low = rounded(o.low, o.dtype), high = rounded(o.high, o.dtype);
  double greatest = low < high ? below(high, o.dtype) : low;  // the sum may have been rounded up
  return binary(the<"minimum">(), x, tensor_of(Arg(greatest, key.where), o.dtype), key.where);
}

Tensor normal(Arg key, const Shape& shape, const Normal& o) {
  Tensor x = apply1(the<"random_normal">(), {tensor_of(key)}, {{"shape", shape}, {"dtype", o.dtype}}, key.where);
  return affine(x, o.deviation, o.mean, o.dtype, key.where);
}

Tensor bernoulli(Arg key, Arg p, const Shape& shape) {
  return apply1(the<"random_bernoulli">(), {tensor_of(key), tensor_of(p)}, {{"shape", shape}}, key.where);
}

Tensor permutation(Arg key, Dim n) {
  return apply1(the<"random_permutation">(), {tensor_of(key)}, {{"size", Shape{n}}}, key.where);
}

}  // namespace tn::random
