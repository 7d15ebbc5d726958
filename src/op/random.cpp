// Random numbers from keys. A key is two u32; Threefry-2x32 with 20 rounds (Salmon et al., "Parallel Random Numbers: As
// Easy as 1, 2, 3", SC 2011) turns key and counter into two random words. The counter is the place inside attribute
// `shape`, never the lane or the thread: so results do not depend on batching, and keys with leading axes give what a
// loop over the keys gives. The counter's high word keeps uses apart: 0 for bits, 1 for split, 2 for fold_in.
#include <cmath>

#include "ir/loops.h"
#include "op/emit.h"
#include "op/families.h"
#include "op/lanes.h"
#include "op/oracle.h"
#include "op/rules.h"

namespace tn {

namespace {

using loops::ScalarOp;
using loops::Val;
using Types = std::span<const Type>;
using Coords = std::span<const Dim>;
using B = loops::Builder;

constexpr int kRotations[2][4] = {{13, 15, 26, 6}, {17, 29, 16, 24}};
constexpr u32 kParity = 0x1BD11BDA;
constexpr u32 kForBits = 0, kForSplit = 1, kForFold = 2;

// ---------------------------------------------------------------- the generator, twice

struct Words {
  u32 a, b;
};

/// Of the oracle.
Words threefry(Words key, Words counter) {
  u32 keys[3] = {key.a, key.b, key.a ^ key.b ^ kParity};
  u32 a = counter.a + keys[0], b = counter.b + keys[1];
  for (u32 round = 0; round < 5; ++round) {
    for (int r : kRotations[round % 2]) {
      a += b;
      b = (b << r | b >> (32 - r)) ^ a;
    }
    a += keys[(round + 1) % 3];
    b += keys[(round + 2) % 3] + round + 1;
  }
  return {a, b};
}

struct WordVals {
  Val a, b;
};

Val word(B& b, u32 v) { return b.constant_int(v, DType::u32); }

Val rotated(B& b, Val v, int by) {
  Val left = b.map(ScalarOp::shift_left, {v, word(b, static_cast<u32>(by))});
  Val right = b.map(ScalarOp::shift_right, {v, word(b, static_cast<u32>(32 - by))});
  return b.map(ScalarOp::logical_or, {left, right});
}

/// In the scalar language, with the same meaning.
WordVals threefry(B& b, WordVals key, WordVals counter) {
  Val both = b.map(ScalarOp::logical_xor, {key.a, key.b});
  Val keys[3] = {key.a, key.b, b.map(ScalarOp::logical_xor, {both, word(b, kParity)})};
  Val x = b.add(counter.a, keys[0]), y = b.add(counter.b, keys[1]);
  for (u32 round = 0; round < 5; ++round) {
    for (int r : kRotations[round % 2]) {
      x = b.add(x, y);
      Val turned = rotated(b, y, r);
      y = b.map(ScalarOp::logical_xor, {turned, x});
    }
    x = b.add(x, keys[(round + 1) % 3]);
    Val next = b.add(keys[(round + 2) % 3], word(b, round + 1));
    y = b.add(y, next);
  }
  return {x, y};
}

WordVals load_key(Reader& reader, Coords batch) {
  std::vector<Dim> place(batch.begin(), batch.end());
  place.push_back(0);
  Val a = reader.load(0, place);
  place.back() = 1;
  Val b = reader.load(0, place);
  return {a, b};
}

// ---------------------------------------------------------------- keys

const Shape& shape_attr(const Attrs& a) { return a.get<Shape>("shape"); }

void check_key(std::string_view op, Type key) {
  if (key.dtype() != DType::u32 || key.rank() < 1 || key.dim(-1) != Dim(2))
    fail(op, "expected a key u32[..., 2], got " + to_string(key) + "; make one with key(seed), split or fold_in");
}

Coords batch_of(Type key) { return key.shape().first(key.shape().size() - 1); }

/// A key's batch axes, then more.
Shape keyed_shape(Type key, Coords shape) {
  Shape r(batch_of(key).begin(), batch_of(key).end());
  r.insert(r.end(), shape.begin(), shape.end());
  return r;
}

void check_count(std::string_view op, Coords shape) {
  check_extents(op, shape);
  Dim count = product(shape);
  if (count.is_constant() && count.value() > i64{1} << 32)
    fail(op, "expected at most 2^32 numbers from one key, got " + to_string(count) + "; split the key");
}

/// Keys may have leading axes, so a batch of keys is a key.
template <Name kOp>
Batched batch_keys(Builder& b, Dim n, ValueSpan x, const Mask& batched, const Attrs& a) {
  return all_batched(b.emit(op(kOp), all_to_lanes(x, batched, n), a));
}

SampleOperand key_operand(std::vector<i64> batch = {}) {
  batch.push_back(2);
  return {DType::u32, batch, 0, 4294967295.0, {}};
}

Words key_at(const Array& keys, i64 i) {
  return {static_cast<u32>(keys.get_int(2 * i)), static_cast<u32>(keys.get_int(2 * i + 1))};
}

// ---------------------------------------------------------------- bits

std::vector<Type> bits_type(Types t, const Attrs& a) {
  check_key("random_bits", t[0]);
  check_count("random_bits", shape_attr(a));
  return {t[0].with(keyed_shape(t[0], shape_attr(a)))};
}

Val bits_at(Reader& reader, Types operands, Type, const Attrs& a, Coords coords) {
  B& b = reader.builder();
  size_t batch = batch_of(operands[0]).size();
  Dim place = 0;
  for (size_t i = 0; i < shape_attr(a).size(); ++i) place = place * shape_attr(a)[i] + coords[batch + i];
  WordVals key = load_key(reader, coords.first(batch));
  Val high = word(b, kForBits), low = reader.coordinate(place, DType::u32);
  WordVals r = threefry(b, key, {high, low});
  return b.map(ScalarOp::logical_xor, {r.a, r.b});
}

std::vector<Array> bits_ref(std::span<const Array> x, const Attrs&, Types results, const DimEnv& env) {
  Array y = empty_result(results[0], env);
  i64 keys = x[0].size() / 2, each = keys ? y.size() / keys : 0;
  for (i64 i = 0; i < y.size(); ++i) {
    Words r = threefry(key_at(x[0], i / each), {kForBits, static_cast<u32>(i % each)});
    y.set_int(i, r.a ^ r.b);
  }
  return {y};
}

std::vector<Sample> shaped_samples(const Attrs& more, std::initializer_list<Attrs> others = {}) {
  std::vector<Sample> r;
  auto with = [&](SampleOperand key, const Shape& shape, const Attrs& attrs, std::string_view error = {}) {
    r.push_back({{std::move(key)}, attrs.with("shape", shape), error, 0});
  };
  with(key_operand(), {33}, more);
  with(key_operand(), {}, more);
  with(key_operand(), {3, 17}, more);
  with(key_operand(), {0, 3}, more);
  with(key_operand({0}), {17}, more);
  with(key_operand({2, 3}), {4, 5}, more);
  with(key_operand({17}), {3}, more);
  for (const Attrs& a : others) with(key_operand(), {33}, a);
  with({DType::u32, {3}, 0, 9, {}}, {2}, more, "expected a key u32[..., 2], got u32[3]");
  with({DType::i32, {2}, 0, 9, {}}, {2}, more, "expected a key");
  with(key_operand(), {-1}, more, "on axis 0");
  return r;
}

OpDef bits_entry() {
  return {"random_bits",
          1,
          "Uniform u32 of `shape` for each key u32[..., 2] (Threefry-2x32-20, counter = place inside the shape).",
          {{{"key", Operands::integer}}, {{"shape", AttrKind::dims, {}}}},
          bits_type,
          Zero{},
          AxesFn{batch_keys<"random_bits">},
          Costly{bits_at},
          RefArrays{bits_ref},
          Pure{},
          [] { return shaped_samples({}); }};
}

// ---------------------------------------------------------------- split and fold_in

std::vector<Type> split_type(Types t, const Attrs& a) {
  check_key("random_split", t[0]);
  i64 count = a.get<i64>("count");
  if (count < 0 || count > i64{1} << 32)
    fail("random_split", "expected a count from 0 to 2^32, got " + std::to_string(count));
  Shape more{count, 2};
  return {t[0].with(keyed_shape(t[0], more))};
}

Val chosen_word(Reader& reader, WordVals words, Dim which) {
  Reader::Limit first{which, 0, 1};
  return reader.choose({&first, 1}, words.a, words.b);
}

Val split_at(Reader& reader, Types operands, Type, const Attrs&, Coords coords) {
  B& b = reader.builder();
  size_t batch = batch_of(operands[0]).size();
  WordVals key = load_key(reader, coords.first(batch));
  Val high = word(b, kForSplit), low = reader.coordinate(coords[batch], DType::u32);
  return chosen_word(reader, threefry(b, key, {high, low}), coords.back());
}

std::vector<Array> split_ref(std::span<const Array> x, const Attrs& a, Types results, const DimEnv& env) {
  Array y = empty_result(results[0], env);
  i64 count = a.get<i64>("count");
  for (i64 i = 0; i < y.size() / 2; ++i) {
    Words r = threefry(key_at(x[0], i / count), {kForSplit, static_cast<u32>(i % count)});
    y.set_int(2 * i, r.a);
    y.set_int(2 * i + 1, r.b);
  }
  return {y};
}

OpDef split_entry() {
  return {"random_split",
          1,
          "`count` new keys u32[..., count, 2] for each key.",
          {{{"key", Operands::integer}}, {{"count", AttrKind::integer, {}}}},
          split_type,
          Zero{},
          AxesFn{batch_keys<"random_split">},
          Costly{split_at},
          RefArrays{split_ref},
          Pure{},
          [] {
            std::vector<Sample> r;
            for (i64 count : {17, 2, 0}) r.push_back({{key_operand()}, {{"count", count}}, {}, 0});
            r.push_back({{key_operand({17})}, {{"count", i64{2}}}, {}, 0});
            r.push_back({{key_operand({0})}, {{"count", i64{33}}}, {}, 0});
            r.push_back(failing({{DType::u32, {3}, 0, 9, {}}}, "expected a key", {{"count", i64{2}}}));
            r.push_back(failing({key_operand()}, "expected a count from 0", {{"count", i64{-1}}}));
            return r;
          }};
}

std::vector<Type> fold_type(Types t, const Attrs&) {
  check_key("random_fold_in", t[0]);
  Coords batch = batch_of(t[0]), data = t[1].shape();
  if (!std::equal(batch.begin(), batch.end(), data.begin(), data.end()))
    fail("random_fold_in", "expected one integer a key, of shape " + shape_text(batch) + ", got " + to_string(t[1]));
  return {t[0]};
}

Val fold_at(Reader& reader, Types, Type, const Attrs&, Coords coords) {
  B& b = reader.builder();
  Coords batch = coords.first(coords.size() - 1);
  WordVals key = load_key(reader, batch);
  Val high = word(b, kForFold), data = reader.load(1, batch);
  Val low = b.tile(data).dtype == DType::u32 ? data : b.cast(data, DType::u32);
  return chosen_word(reader, threefry(b, key, {high, low}), coords.back());
}

std::vector<Array> fold_ref(std::span<const Array> x, const Attrs&, Types, const DimEnv&) {
  Array y = Array::empty(DType::u32, x[0].shape);
  for (i64 i = 0; i < y.size() / 2; ++i) {
    Words r = threefry(key_at(x[0], i), {kForFold, static_cast<u32>(x[1].get_int(i))});
    y.set_int(2 * i, r.a);
    y.set_int(2 * i + 1, r.b);
  }
  return {y};
}

OpDef fold_entry() {
  return {"random_fold_in",
          1,
          "A new key from each key and an integer, of which the low 32 bits count.",
          {{{"key", Operands::integer}, {"data", Operands::integer}}, {}, false},
          fold_type,
          Zero{},
          AxesFn{batch_keys<"random_fold_in">},
          Costly{fold_at},
          RefArrays{fold_ref},
          Pure{},
          [] {
            std::vector<Sample> r;
            for (DType d : {DType::i64, DType::i32, DType::u32, DType::u8})
              r.push_back({{key_operand(), {d, {}, 0, 99, {}}}, {}, {}, 0});
            r.push_back({{key_operand({17}), {DType::i64, {17}, -99, 99, {}}}, {}, {}, 0});
            r.push_back({{key_operand({0}), {DType::i64, {0}, 0, 1, {}}}, {}, {}, 0});
            r.push_back(failing({key_operand({2}), {DType::i64, {3}, 0, 1, {}}}, "of shape [2], got i64[3]"));
            return r;
          }};
}

// ---------------------------------------------------------------- distributions

Value random_bits(Value key, const Shape& shape) {
  static const OpDef& o = op("random_bits");
  return key.builder->emit1(o, {key}, {{"shape", shape}});
}

template <Name kOp>
std::vector<Type> floating_type(Types t, const Attrs& a) {
  check_key(kOp, t[0]);
  check_count(kOp, shape_attr(a));
  DType d = a.get<DType>("dtype");
  if (!is_float(d)) fail(kOp, "expected a floating dtype, got " + std::string(name(d)) + "; scale and cast");
  return {Type::tensor(d, keyed_shape(t[0], shape_attr(a)))};
}

/// The upper bits, of which there are `count`, as a number: exact in the dtype.
Value upper_bits(Value bits, int count, DType d) {
  Value upper = floor_divide(bits, constant_like(bits, std::ldexp(1.0, 32 - count)));
  return cast(upper, d);
}

/// 53 bits in [0, 1) of one word's upper 27 and another's upper 26.
Value uniform_f64(Value key, const Shape& shape, i64 draw, i64 draws) {
  Shape pairs = shape;
  pairs.push_back(2 * draws);
  Value bits = random_bits(key, pairs);
  i64 last = bits.rank() - 1;
  Value high = upper_bits(drop_axis(slice(bits, last, 2 * draw, 2 * draw + 1), last), 27, DType::f64);
  Value low = upper_bits(drop_axis(slice(bits, last, 2 * draw + 1, 2 * draw + 2), last), 26, DType::f64);
  return mul(add(mul(high, std::ldexp(1.0, 26)), low), std::ldexp(1.0, -53));
}

/// Multiples of 2^-p below 1, where p is the dtype's precision: each is exact.
Value uniform(Value key, const Shape& shape, DType d) {
  if (d == DType::f64) return uniform_f64(key, shape, 0, 1);
  int precision = d == DType::f32 ? 24 : d == DType::f16 ? 11 : 8;
  return mul(upper_bits(random_bits(key, shape), precision, d), std::ldexp(1.0, -precision));
}

/// Polynomial, the highest power first.
Value polynomial(Value x, std::initializer_list<double> coefficients) {
  Value r = constant_like(x, *coefficients.begin());
  for (const double* c = coefficients.begin() + 1; c != coefficients.end(); ++c) r = add(mul(r, x), *c);
  return r;
}

/// sqrt(2) * erfinv(u) for odd multiples u of 2^-24 in (-1, 1), after Giles, "Approximating the erfinv function"
/// (2010).
Value normal_f32(Value key, const Shape& shape) {
  Value k = upper_bits(random_bits(key, shape), 24, DType::f32);
  Value u = mul(add(mul(k, 2), 1 - std::ldexp(1.0, 24)), std::ldexp(1.0, -24));
  Value w = neg(log(mul(sub(1, u), add(u, 1))));
  Value middle = polynomial(sub(w, 2.5), {2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06,
                                          0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941});
  Value tail = polynomial(sub(sqrt(w), 3), {-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844,
                                            0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682});
  Value p = select(less(w, constant_like(w, 5)), middle, tail);
  return mul(mul(p, u), std::sqrt(2.0));
}

/// Box and Muller's.
Value normal_f64(Value key, const Shape& shape) {
  Value radius = sqrt(mul(log(sub(1, uniform_f64(key, shape, 0, 2))), -2));
  return mul(radius, cos(mul(uniform_f64(key, shape, 1, 2), 2 * std::acos(-1.0))));
}

Values uniform_expand(Builder&, ValueSpan x, const Attrs& a) {
  return {uniform(x[0], shape_attr(a), a.get<DType>("dtype"))};
}

Values normal_expand(Builder&, ValueSpan x, const Attrs& a) {
  DType d = a.get<DType>("dtype");
  if (d == DType::f64) return {normal_f64(x[0], shape_attr(a))};
  return {cast(normal_f32(x[0], shape_attr(a)), d)};
}

std::vector<Sample> floating_samples() {
  Attrs f64{{"dtype", DType::f64}}, f32{{"dtype", DType::f32}}, f16{{"dtype", DType::f16}},
      bf16{{"dtype", DType::bf16}};
  std::vector<Sample> r = shaped_samples(f32, {f64, f16, bf16});
  r.push_back(
      failing({key_operand()}, "expected a floating dtype, got i32", {{"shape", Shape{2}}, {"dtype", DType::i32}}));
  return r;
}

template <Name kOp>
OpDef distribution(std::string_view doc, Expand lower) {
  return {kOp,
          1,
          doc,
          {{{"key", Operands::integer}}, {{"shape", AttrKind::dims, {}}, {"dtype", AttrKind::dtype, Attr(DType::f32)}}},
          floating_type<kOp>,
          Zero{},
          ByExpansion{},
          lower,
          RefNone{},
          Pure{},
          floating_samples};
}

// ---------------------------------------------------------------- bernoulli and permutation

std::vector<Type> bernoulli_type(Types t, const Attrs& a) {
  check_key("random_bernoulli", t[0]);
  if (!is_float(t[1].dtype()))
    fail("random_bernoulli", "expected a floating probability, got " + to_string(t[1]) + "; use cast");
  Shape shape = keyed_shape(t[0], shape_attr(a));
  check_count("random_bernoulli", shape_attr(a));
  Coords p = t[1].shape();
  for (size_t i = 0; i < p.size(); ++i) {
    bool fits = p.size() <= shape.size() && (p[i] == Dim(1) || p[i] == shape[shape.size() - p.size() + i]);
    if (!fits)
      fail("random_bernoulli", "expected a probability that broadcasts to " + shape_text(shape) + ", got " +
                                   to_string(t[1]) + ", which does not on axis " + std::to_string(i));
  }
  return {Type::tensor(DType::boolean, shape)};
}

Values bernoulli_expand(Builder&, ValueSpan x, const Attrs& a) {
  Value u = uniform(x[0], shape_attr(a), x[1].dtype());
  return {less(u, broadcast_to(x[1], shape_of(u)))};
}

OpDef bernoulli_entry() {
  return {
      "random_bernoulli",
      1,
      "Bools of `shape` for each key, true with probability p, which broadcasts to the result.",
      {{{"key", Operands::integer}, {"p", Operands::floating}}, {{"shape", AttrKind::dims, {}}}, false},
      bernoulli_type,
      Zero{},
      ByExpansion{},
      Expand{bernoulli_expand},
      RefNone{},
      Pure{},
      [] {
        std::vector<Sample> r;
        for (DType d : {DType::f64, DType::f32, DType::f16, DType::bf16})
          r.push_back({{key_operand(), {d, {}, 0, 1, {}}}, {{"shape", Shape{33}}}, {}, 0});
        r.push_back({{key_operand({17}), {DType::f32, {17, 1}, 0, 1, {}}}, {{"shape", Shape{5}}}, {}, 0});
        r.push_back({{key_operand(), {DType::f32, {0}, 0, 1, {}}}, {{"shape", Shape{0}}}, {}, 0});
        r.push_back(failing({key_operand(), {DType::f32, {3}, 0, 1, {}}}, "does not on axis 0", {{"shape", Shape{2}}}));
        return r;
      }};
}

const Shape& size_attr(const Attrs& a) { return a.get<Shape>("size"); }

std::vector<Type> permutation_type(Types t, const Attrs& a) {
  check_key("random_permutation", t[0]);
  if (size_attr(a).size() != 1)
    fail("random_permutation", "expected one size, got " + std::to_string(size_attr(a).size()));
  check_extents("random_permutation", size_attr(a));
  return {Type::tensor(DType::i64, keyed_shape(t[0], size_attr(a)))};
}

/// The order of as many random numbers of 63 bits; equal ones are too rare to matter, and keep their order.
Values permutation_expand(Builder& b, ValueSpan x, const Attrs& a) {
  static const OpDef& sort_op = op("sort");
  Value bits = random_bits(x[0], {size_attr(a)[0], 2});
  i64 last = bits.rank() - 1;
  Value high = cast(drop_axis(slice(bits, last, 0, 1), last), DType::i64);
  Value low = upper_bits(drop_axis(slice(bits, last, 1, 2), last), 31, DType::i64);
  Value keys = add(mul(high, std::ldexp(1.0, 31)), low);
  return {b.emit(sort_op, Values{keys}, {{"axis", static_cast<i64>(keys.rank()) - 1}})[1]};
}

OpDef permutation_entry() {
  return {"random_permutation",
          1,
          "The integers below `size` (one number) in random order, i64 [..., size], for each key.",
          {{{"key", Operands::integer}}, {{"size", AttrKind::dims, {}}}},
          permutation_type,
          Zero{},
          ByExpansion{},
          Expand{permutation_expand},
          RefNone{},
          Pure{},
          [] {
            std::vector<Sample> r;
            for (i64 n : {33, 17, 1, 0}) r.push_back({{key_operand()}, {{"size", Shape{n}}}, {}, 0});
            r.push_back({{key_operand({17})}, {{"size", Shape{5}}}, {}, 0});
            r.push_back({{key_operand({0})}, {{"size", Shape{5}}}, {}, 0});
            r.push_back(failing({key_operand()}, "expected one size, got 2", {{"size", Shape{2, 3}}}));
            return r;
          }};
}

}  // namespace

std::span<const OpDef> random_ops() {
  static const auto* table = new std::vector<OpDef>{
      bits_entry(),
      split_entry(),
      fold_entry(),
      distribution<"random_uniform">("Uniform numbers in [0, 1), of `shape` for each key; all bits of the dtype.",
                                     Expand{uniform_expand}),
      distribution<"random_normal">("Standard normal numbers, of `shape` for each key.", Expand{normal_expand}),
      bernoulli_entry(),
      permutation_entry()};
  return *table;
}

}  // namespace tn
