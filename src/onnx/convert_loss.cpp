// Losses: class indices on axis 1, optional weights by class, an ignored index, three reductions.
#include <numeric>

#include "onnx/convert.h"

namespace tn::onnx {

namespace {

/// -weight[t] * log_probability[n, t, ...], reduced as the attribute says.
Value negative_log_likelihood(Call& c, Value scores, Value target, Value weight) {
  DType dtype = scores.dtype();
  Value logp = widened(scores);
  if (weight) weight = cast(weight, logp.dtype());
  if (target.rank() < 1 || logp.rank() < 2)
    c.refuse("scores of at least 2 axes and targets of at least 1",
             to_string(logp.type()) + " and " + to_string(target.type()));
  Shape lead = shape_of(target), with_class = lead;
  with_class.insert(with_class.begin() + 1, Dim(1));
  Value t = cast(target, DType::i64);
  Value ignored;
  if (c.attribute("ignore_index"))
    ignored = c.map("equal", {t, c.scalar(static_cast<double>(c.integer("ignore_index", 0)), DType::i64)});
  Value at = c.emit("iota", {}, {{"shape", shape_of(logp)}, {"axis", i64{1}}, {"dtype", DType::i64}});
  Value hit = c.map("equal", {at, reshape(t, with_class)});
  Value zero = c.scalar(0, logp.dtype());
  Value picked = c.emit("sum", {c.map("select", {hit, logp, zero})}, {{"axes", std::vector<i64>{1}}});
  Value w;
  if (weight) {
    Value by_class = c.emit("broadcast", {weight}, {{"shape", shape_of(logp)}, {"dims", std::vector<i64>{1}}});
    w = c.emit("sum", {c.map("select", {hit, by_class, zero})}, {{"axes", std::vector<i64>{1}}});
  } else if (ignored)
    w = broadcast_to(c.scalar(1, logp.dtype()), lead);
  if (ignored) w = c.map("select", {ignored, zero, w});
  Value loss = c.emit("neg", {w ? c.map("mul", {picked, w}) : picked});
  std::string mode = c.text("reduction", "mean");
  if (mode == "none") return cast(loss, dtype);
  std::vector<i64> all(lead.size());
  std::iota(all.begin(), all.end(), 0);
  Value total = c.reduce("sum", loss, all, false);
  if (mode == "sum") return cast(total, dtype);
  Value count = w ? c.reduce("sum", w, all, false) : cast(c.from_dims({product(lead)}, DType::i64, true), logp.dtype());
  return cast(c.map("div", {total, count}), dtype);
}

Values nll(Call& c) { return {negative_log_likelihood(c, c.in(0), c.in(1), c.has(2) ? c.in(2) : Value{})}; }

Values cross_entropy(Call& c) {
  Value logp = c.emit("log_softmax", {c.in(0)}, {{"axis", i64{1}}});
  return {negative_log_likelihood(c, logp, c.in(1), c.has(2) ? c.in(2) : Value{}), logp};
}

constexpr ConverterEntry kEntries[] = {
    {"NegativeLogLikelihoodLoss", 12, nll},
    {"SoftmaxCrossEntropyLoss", 12, cross_entropy},
};

}  // namespace

std::span<const ConverterEntry> loss_converters() { return kEntries; }

}  // namespace tn::onnx
