// Tile ops that move data between rows and lanes: reductions and scans by their fixed trees, slices, transposes.
#include "backend/cpu/emitter.h"
#include "tenon/error.h"

namespace tn::cpu {

using loops::Axis;
using loops::ScalarOp;
using Builder = llvm::IRBuilder<>;
using Mask = llvm::SmallVector<int, 32>;

static int length_of(Value* v) {
  auto* t = llvm::dyn_cast<llvm::FixedVectorType>(v->getType());
  return t ? static_cast<int>(t->getNumElements()) : 1;
}

static Value* combine(Builder& b, ScalarOp op, DType d, Value* x, Value* y) {
  Value* both[] = {x, y};
  return emit_op(b, op, d, d, both);
}

/// Lanes first .. first + n - 1 of v, a number when n is 1.
static Value* part(Builder& b, Value* v, int first, int n) {
  if (length_of(v) == 1) return v;
  if (n == 1) return b.CreateExtractElement(v, static_cast<u64>(first));
  Mask mask;
  for (int i = 0; i < n; ++i) mask.push_back(first + i);
  return b.CreateShuffleVector(v, mask);
}

// ---------------------------------------------------------------- reductions

/// Folds v[i] with v[i + half] until one is left; where the count is odd the middle one waits.
static Value* fold_values(Builder& b, ScalarOp op, DType d, Pieces v) {
  for (size_t n = v.size(); n > 1;) {
    size_t half = (n + 1) / 2;
    for (size_t i = 0; i + half < n; ++i) v[i] = combine(b, op, d, v[i], v[i + half]);
    n = half;
  }
  return v[0];
}

/// The lanes of one row, cut into pieces, folded by halves of the whole row.
static Value* fold_lanes(Builder& b, ScalarOp op, const Tile& tile, const Cut& cut, Pieces row) {
  int n = tile.lanes, width = cut.width;
  bool whole = (width & (width - 1)) == 0 && n % width == 0 && ((n / width) & (n / width - 1)) == 0;
  if (!whole) {
    Pieces single;
    for (int l = 0; l < n; ++l) single.push_back(part(b, row[static_cast<size_t>(l / width)], l % width, 1));
    return fold_values(b, op, tile.dtype, std::move(single));
  }
  Value* v = fold_values(b, op, tile.dtype, std::move(row));
  for (int half = width / 2; half; half /= 2)
    v = combine(b, op, tile.dtype, part(b, v, 0, half), part(b, v, half, half));
  return v;
}

Pieces emit_reduce(Builder& b, ScalarOp op, Axis axis, const Tile& tile, int most, const Pieces& in) {
  Cut cut(tile, most);
  Pieces out;
  if (axis == Axis::rows) {
    for (int p = 0; p < cut.pieces(); ++p) {
      Pieces column;
      for (int r = 0; r < tile.rows; ++r) column.push_back(in[cut.at(r, p)]);
      out.push_back(fold_values(b, op, tile.dtype, std::move(column)));
    }
    return out;
  }
  for (int r = 0; r < tile.rows; ++r) {
    auto first = in.begin() + static_cast<std::ptrdiff_t>(cut.at(r, 0));
    out.push_back(fold_lanes(b, op, tile, cut, Pieces(first, first + cut.pieces())));
  }
  return out;
}

// ---------------------------------------------------------------- scans

/// Lane l of piece p of the row shifted up by `by`, where lanes below `by` are any.
static Value* shifted(Builder& b, const Cut& cut, const Pieces& row, int p, int by) {
  int n = cut.length(p), first = p * cut.width - by;  // the lane that comes to lane 0
  if (n == 1) return row[static_cast<size_t>(first < 0 ? 0 : first / cut.width)];
  int low = first < 0 ? 0 : first / cut.width, high = std::max(0, (first + n - 1) / cut.width);
  Value *x = row[static_cast<size_t>(low)], *y = row[static_cast<size_t>(high)];
  int split = length_of(x);
  Mask mask;
  for (int l = 0; l < n; ++l) {
    int from = first + l;
    mask.push_back(from < 0 ? -1 : from / cut.width == low ? from % cut.width : split + from % cut.width);
  }
  if (low != high && length_of(y) != split) {  // the last piece may be shorter
    Mask grow;
    for (int l = 0; l < split; ++l) grow.push_back(l < length_of(y) ? l : -1);
    if (length_of(y) == 1)
      y = b.CreateInsertElement(llvm::PoisonValue::get(x->getType()), y, u64{0});
    else
      y = b.CreateShuffleVector(y, grow);
  }
  return low == high ? b.CreateShuffleVector(x, mask) : b.CreateShuffleVector(x, y, mask);
}

Pieces emit_scan(Builder& b, ScalarOp op, const Tile& tile, int most, const Pieces& in) {
  Cut cut(tile, most);
  Pieces out;
  for (int r = 0; r < tile.rows; ++r) {
    auto begin = in.begin() + static_cast<std::ptrdiff_t>(cut.at(r, 0));
    Pieces row(begin, begin + cut.pieces());
    for (int by = 1; by < tile.lanes; by *= 2) {
      Pieces next = row;
      for (int p = 0; p < cut.pieces(); ++p) {
        int n = cut.length(p), first = p * cut.width;
        if (first + n <= by) continue;
        Value* moved = combine(b, op, tile.dtype, shifted(b, cut, row, p, by), row[static_cast<size_t>(p)]);
        if (first < by) {
          Mask mask;
          for (int l = 0; l < n; ++l) mask.push_back(first + l < by ? l : n + l);
          moved = b.CreateShuffleVector(row[static_cast<size_t>(p)], moved, mask);
        }
        next[static_cast<size_t>(p)] = moved;
      }
      row = std::move(next);
    }
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

// ---------------------------------------------------------------- slices and transposes

Pieces emit_slice(Builder& b, Axis axis, int at, const Tile& tile, int most, const Pieces& in) {
  Cut cut(tile, most);
  Pieces out;
  if (axis == Axis::rows)
    for (int p = 0; p < cut.pieces(); ++p) out.push_back(in[cut.at(at, p)]);
  else
    for (int r = 0; r < tile.rows; ++r) out.push_back(part(b, in[cut.at(r, at / cut.width)], at % cut.width, 1));
  return out;
}

/// A shuffle of two vectors of w lanes: lane j takes from(j), where w and up is the second.
template <class From>
static Value* shuffle(Builder& b, Value* x, Value* y, int w, From from) {
  Mask mask;
  for (int j = 0; j < w; ++j) mask.push_back(from(j));
  return b.CreateShuffleVector(x, y, mask);
}

/// Stages of a 4x4 transpose inside each 128 bits, by the unpack instructions: v[4 k + c] then holds, in group g,
/// column 4 g + c of rows 4 k .. 4 k + 3.
static void transpose_groups(Builder& b, Pieces& v) {
  int w = static_cast<int>(v.size());
  Pieces t(v.size());
  for (size_t r = 0; r < v.size(); r += 2)
    for (int h = 0; h < 2; ++h)
      t[r + static_cast<size_t>(h)] =
          shuffle(b, v[r], v[r + 1], w, [&](int j) { return j / 4 * 4 + h * 2 + j % 4 / 2 + (j % 2 ? w : 0); });
  for (size_t r = 0; r < v.size(); r += 4)
    for (size_t c = 0; c < 4; ++c)
      v[r + c] = shuffle(b, t[r + c / 2], t[r + 2 + c / 2], w,
                         [&](int j) { return j / 4 * 4 + static_cast<int>(c % 2) * 2 + j % 2 + (j % 4 >= 2 ? w : 0); });
}

/// 8x8 or 16x16 of 32-bit elements, in shuffles that are one instruction each.
static Pieces transpose_words(Builder& b, Pieces v) {
  int w = static_cast<int>(v.size());
  transpose_groups(b, v);
  Pieces out(v.size());
  auto groups = [&](Value* x, Value* y, int pick) {  // groups pick, pick + 2 of x, then of y
    return shuffle(b, x, y, w, [&](int j) { return (j / 4 % 2 * 2 + pick) * 4 + j % 4 + (j >= 8 ? w : 0); });
  };
  for (size_t c = 0; c < 4; ++c) {
    if (w == 8) {
      for (size_t g = 0; g < 2; ++g)
        out[g * 4 + c] =
            shuffle(b, v[c], v[4 + c], w, [&](int j) { return static_cast<int>(g) * 4 + j % 4 + (j >= 4 ? w : 0); });
      continue;
    }
    for (int h = 0; h < 2; ++h) {
      Value *x = groups(v[c], v[4 + c], h), *y = groups(v[8 + c], v[12 + c], h);
      for (int e = 0; e < 2; ++e) out[static_cast<size_t>(2 * e + h) * 4 + c] = groups(x, y, e);
    }
  }
  return out;
}

/// Any square of a power of two, by exchanging halves, then quarters, and so on.
static Pieces transpose_square(Builder& b, Pieces v) {
  int w = static_cast<int>(v.size());
  for (int h = w / 2; h; h /= 2)
    for (int r = 0; r < w; ++r) {
      if (r & h) continue;
      Value *&x = v[static_cast<size_t>(r)], *&y = v[static_cast<size_t>(r + h)];
      Value* upper = shuffle(b, x, y, w, [&](int j) { return j & h ? w + j - h : j; });
      y = shuffle(b, x, y, w, [&](int j) { return j & h ? w + j : j + h; });
      x = upper;
    }
  return v;
}

/// v with n lanes: further ones are poison, superfluous ones dropped.
static Value* resized(Builder& b, Value* v, int n) {
  int have = length_of(v);
  if (have == n) return v;
  if (have == 1) {
    auto* type = llvm::FixedVectorType::get(v->getType(), static_cast<unsigned>(n));
    return b.CreateInsertElement(llvm::PoisonValue::get(type), v, u64{0});
  }
  if (n == 1) return b.CreateExtractElement(v, u64{0});
  Mask mask;
  for (int l = 0; l < n; ++l) mask.push_back(l < have ? l : -1);
  return b.CreateShuffleVector(v, mask);
}

/// In squares of vectors; what a square has past the tile's edge is poison and dropped.
Pieces emit_transpose(Builder& b, const Tile& tile, int most, const Pieces& in) {
  Tile turned{tile.dtype, tile.lanes, tile.rows};
  Cut from(tile, most), to(turned, most);
  Pieces out(static_cast<size_t>(turned.rows * to.pieces()));
  int longest = std::max(tile.rows, tile.lanes), w = longest > 8 ? most : longest > 4 ? 8 : 4;
  auto* type = llvm::FixedVectorType::get(element_type(b.getContext(), tile.dtype), static_cast<unsigned>(w));
  for (int i = 0; i * w < tile.rows; ++i)
    for (int p = 0; p * w < tile.lanes; ++p) {
      Pieces v;
      for (int r = i * w; r < (i + 1) * w; ++r)
        v.push_back(r < tile.rows ? resized(b, in[from.at(r, p)], w) : llvm::PoisonValue::get(type));
      v = bits(tile.dtype) == 32 && w >= 8 ? transpose_words(b, std::move(v)) : transpose_square(b, std::move(v));
      for (int c = 0; c < w && p * w + c < tile.lanes; ++c)
        out[to.at(p * w + c, i)] = resized(b, v[static_cast<size_t>(c)], to.length(i));
    }
  return out;
}

}  // namespace tn::cpu
