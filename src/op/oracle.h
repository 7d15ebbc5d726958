// What the oracles of ops on whole arrays share: concrete shapes, walks over indices, elements moved by their bytes.
#pragma once
#include <cstring>
#include <span>
#include <vector>

#include "ir/op_def.h"

namespace tn {

inline std::vector<i64> concrete(std::span<const Dim> dims, const DimEnv& env) {
  std::vector<i64> r;
  for (Dim d : dims) r.push_back(evaluate(d, env));
  return r;
}

inline Array empty_result(Type t, const DimEnv& env) { return Array::empty(t.dtype(), concrete(t.shape(), env)); }

/// Row-major place of an index; -1 outside the shape.
inline i64 place_of(std::span<const i64> shape, std::span<const i64> index) {
  i64 place = 0;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (index[i] < 0 || index[i] >= shape[i]) return -1;
    place = place * shape[i] + index[i];
  }
  return place;
}

/// f(index, place) for each element, row-major.
template <class F>
void for_each_index(std::span<const i64> shape, F f) {
  i64 n = 1;
  for (i64 d : shape) n *= d;
  std::vector<i64> index(shape.size());
  for (i64 place = 0; place < n; ++place) {
    f(std::span<const i64>(index), place);
    for (size_t a = shape.size(); a-- > 0; index[a] = 0)
      if (++index[a] < shape[a]) break;
  }
}

inline void copy_element(const Array& to, i64 i, const Array& from, i64 j) {
  auto size = static_cast<size_t>(bytes(to.dtype));
  std::memcpy(to.bytes_begin() + static_cast<size_t>(i) * size, from.bytes_begin() + static_cast<size_t>(j) * size,
              size);
}

inline Array copy_of(const Array& x) {
  Array y = Array::empty(x.dtype, x.shape);
  if (x.nbytes()) std::memcpy(y.bytes_begin(), x.bytes_begin(), x.nbytes());
  return y;
}

/// A number in the dtype, as a cast gives it.
inline void set_number(const Array& a, i64 i, double v) {
  if (a.dtype == DType::boolean)
    a.set_int(i, v != 0);
  else if (is_float(a.dtype))
    a.set(i, v);
  else
    a.set_int(i, static_cast<i64>(v));
}

/// The array whose element at an index is x's at the index that `source(index, from)` fills in; `fill` where that lies
/// outside x.
template <class F>
Array moved(const Array& x, std::vector<i64> shape, F source, double fill = 0) {
  Array y = Array::empty(x.dtype, std::move(shape));
  std::vector<i64> from(x.shape.size());
  for_each_index(y.shape, [&](std::span<const i64> index, i64 place) {
    source(index, std::span<i64>(from));
    i64 at = place_of(x.shape, from);
    if (at < 0)
      set_number(y, place, fill);
    else
      copy_element(y, place, x, at);
  });
  return y;
}

}  // namespace tn
