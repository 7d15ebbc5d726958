// Attention: our op where the scores are only masked, its parts where something is added to them or shown of them.
#include <limits>

#include "onnx/convert.h"

namespace tn::onnx {

namespace {

Dim extent(Value v, size_t axis) { return v.shape()[axis]; }

/// [batch, length, heads * width] as [batch, heads, length, width]; a tensor of four axes is that already.
Value by_heads(Call& c, Value x, const char* attribute) {
  if (x.rank() == 4) return x;
  if (x.rank() != 3) c.refuse("queries, keys and values of 3 or 4 axes", to_string(x.type()));
  i64 heads = c.size(attribute, 0, 1);
  Dim width = floordiv(extent(x, 2), heads);
  if (width * Dim(heads) != extent(x, 2))
    c.refuse("a last extent that " + std::to_string(heads) + " heads divide", to_string(x.type()));
  return permute(reshape(x, {extent(x, 0), extent(x, 1), heads, width}), {0, 2, 1, 3});
}

/// Each head of keys or values as often as there are queries for it, side by side.
Value repeated(Call& c, Value x, Dim heads) {
  Dim have = extent(x, 1);
  if (have == heads) return x;
  if (!have.is_constant() || !heads.is_constant() || have.value() < 1 || heads.value() % have.value())
    c.refuse("query heads that are a multiple of the " + to_string(have) + " key heads", to_string(heads));
  Shape wide{extent(x, 0), have, heads.value() / have.value(), extent(x, 2), extent(x, 3)};
  Value r = c.emit("broadcast", {x}, {{"shape", wide}, {"dims", std::vector<i64>{0, 1, 3, 4}}});
  return reshape(r, {extent(x, 0), heads, extent(x, 2), extent(x, 3)});
}

/// A mask whose last axis may be shorter than the keys: the others are not seen.
Value padded(Call& c, Value mask, Dim keys) {
  if (!mask || mask.rank() == 0 || mask.shape().back() == keys || mask.shape().back() == Dim(1)) return mask;
  Shape rest = shape_of(mask);
  rest.back() = keys - rest.back();
  bool boolean = mask.dtype() == DType::boolean;
  Value hidden = c.scalar(boolean ? 0 : -std::numeric_limits<double>::infinity(), mask.dtype());
  return concat(Values{mask, broadcast_to(hidden, rest)}, mask.rank() - 1);
}

/// What may be seen: [batch, 1, queries, keys] or less, none when all is.
struct Seen {
  Value mask;
  bool causal = false;  // and no key after the query of the same number
};

Seen seen_of(Call& c, Value boolean, Dim queries, Dim keys) {
  Seen s{boolean, c.integer("is_causal", 0) != 0};
  auto also = [&](Value more) { s.mask = s.mask ? c.map("logical_and", {s.mask, more}) : more; };
  if (s.causal && c.has(4)) {  // queries come after what was cached
    Shape scores{queries, keys};
    Value row = iota(c.builder(), scores, 0, DType::i64), column = iota(c.builder(), scores, 1, DType::i64);
    Value past = c.from_dims({extent(c.in(4), 2)}, DType::i64, true);
    also(c.map("less_equal", {column, c.map("add", {row, past})}));
    s.causal = false;
  }
  if (c.has(6)) {  // how many keys of each of the batch are none but padding
    Value length = reshape(cast(c.in(6), DType::i64), {extent(c.in(6, 1), 0), 1, 1, 1});
    also(c.map("less", {iota(c.builder(), {keys}, 0, DType::i64), length}));
  }
  return s;
}

/// Scores, softmax and sum in parts; also what the fourth output shows.
std::pair<Value, Value> in_parts(Call& c, Value q, Value k, Value v, Seen seen, Value bias) {
  bool narrow = q.dtype() == DType::f16 || q.dtype() == DType::bf16;
  DType dtype = q.dtype(), wide = narrow ? DType::f32 : dtype;
  auto scale = static_cast<double>(c.floating("scale", 0));
  Value factor = scale != 0 ? c.scalar(scale, wide) : rsqrt(dim_value(c.builder(), extent(q, 3), wide));
  Value scores = c.emit("matmul", {cast(q, wide), permute(cast(k, wide), {0, 1, 3, 2})});
  scores = c.map("mul", {scores, factor});
  i64 mode = c.size("qk_matmul_output_mode", 0, 0, 3);
  Value shown = scores;
  if (double cap = c.floating("softcap", 0); cap > 0) {
    Value at = c.scalar(cap, wide);
    scores = c.map("mul", {c.emit("tanh", {c.map("div", {scores, at})}), at});
  }
  if (mode == 1) shown = scores;
  if (bias) scores = c.map("add", {scores, cast(bias, wide)});
  if (seen.causal) {
    Shape shape = shape_of(scores);
    Value later = c.map("less", {iota(c.builder(), shape, 2, DType::i64), iota(c.builder(), shape, 3, DType::i64)});
    scores = select(later, constant_like(scores, -std::numeric_limits<double>::infinity()), scores);
  }
  if (seen.mask)
    scores = c.map("select", {seen.mask, scores, c.scalar(-std::numeric_limits<double>::infinity(), wide)});
  if (mode == 2) shown = scores;
  Value weights = c.emit("softmax", {scores}, {{"axis", i64{3}}});
  if (mode == 3) shown = weights;
  return {cast(c.emit("matmul", {weights, cast(v, wide)}), dtype), cast(shown, dtype)};
}

Values attention(Call& c) {
  bool flat = c.in(0).rank() == 3;
  Value q = by_heads(c, c.in(0), "q_num_heads"), k = by_heads(c, c.in(1), "kv_num_heads");
  Value v = by_heads(c, c.in(2), "kv_num_heads");
  if (c.has(4) != c.has(5)) c.refuse("past keys and values together", "one of them");
  if (c.has(4)) {
    k = concat(Values{c.in(4, 4), k}, 2);
    v = concat(Values{c.in(5, 4), v}, 2);
  }
  Value present_k = k, present_v = v;
  k = repeated(c, k, extent(q, 1));
  v = repeated(c, v, extent(q, 1));
  Value mask = padded(c, c.has(3) ? c.in(3) : Value{}, extent(k, 2));
  bool boolean = mask && mask.dtype() == DType::boolean;
  Seen seen = seen_of(c, boolean ? mask : Value{}, extent(q, 2), extent(k, 2));
  Value bias = boolean ? Value{} : mask, y, shown;
  bool shows = c.node().outputs.size() > 3 && !c.node().outputs[3].empty();
  if (bias || shows || c.floating("softcap", 0) > 0)
    std::tie(y, shown) = in_parts(c, q, k, v, seen, bias);
  else {
    Values x{q, k, v};
    if (seen.mask) x.push_back(seen.mask);
    y = c.emit_all("attention", x,
                   {{"causal", seen.causal}, {"scale", static_cast<double>(c.floating("scale", 0))}})[0];
  }
  if (flat) y = reshape(permute(y, {0, 2, 1, 3}), {extent(y, 0), extent(y, 2), extent(y, 1) * extent(y, 3)});
  return {y, present_k, present_v, shown};
}

constexpr ConverterEntry kEntries[] = {{"Attention", 23, attention}};

}  // namespace

std::span<const ConverterEntry> attention_converters() { return kEntries; }

}  // namespace tn::onnx
