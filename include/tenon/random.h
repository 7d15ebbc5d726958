// Random numbers from keys: the same key gives the same numbers, whatever the thread count, the device and the
// batching; a new key is made by `split` or `fold_in`. Under vmap over keys every lane equals the call with its key.
#pragma once
#include "tenon/tensor.h"

namespace [[gnu::visibility("default")]] tn {
namespace random {

/// A key, u32 [2].
Tensor key(u64 seed, Location at = Location::current());
/// `count` new keys, u32 [count, 2].
Tensor split(Arg key, i64 count = 2);
/// A new key from a key and an integer (a step, a layer's number).
Tensor fold_in(Arg key, Arg data);
/// Uniform u32.
Tensor bits(Arg key, const Shape& shape);
struct Uniform {
  double low = 0, high = 1;
  DType dtype = DType::f32;
};
/// In [low, high), both rounded to the dtype; all are `low` where that makes them one number.
Tensor uniform(Arg key, const Shape& shape, const Uniform& options = {});
struct Normal {
  double mean = 0, deviation = 1;
  DType dtype = DType::f32;
};
Tensor normal(Arg key, const Shape& shape, const Normal& options = {});
/// bool, true with probability p.
Tensor bernoulli(Arg key, Arg p, const Shape& shape);
/// The integers below n in random order, i64 [n].
Tensor permutation(Arg key, Dim n);

}  // namespace random
}  // namespace tn
