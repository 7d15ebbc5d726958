#include "tenon/optim.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace tn::optim {

namespace {

std::string text_of(const Tensor& x) { return x.defined() ? to_string(x.type()) : "none"; }

/// `states` are the lists of moments, one moment a parameter.
void check_match(const char* who, const std::vector<Tensor*>& parameters, const std::vector<Tensor*>& gradients,
                 std::initializer_list<const std::vector<Tensor>*> states, const Location& at) {
  if (parameters.size() != gradients.size())
    fail(who,
         "expected a gradient for each of " + std::to_string(parameters.size()) + " parameters, got " +
             std::to_string(gradients.size()),
         at);
  for (const auto* state : states)
    if (state->size() != parameters.size())
      fail(who,
           "expected the model the optimiser was made for, with " + std::to_string(state->size()) +
               " parameters, got " + std::to_string(parameters.size()),
           at);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Tensor &p = *parameters[i], &g = *gradients[i];
    std::string which = " parameter " + std::to_string(i);
    if (!g.defined() || g.type() != p.type())
      fail(who,
           "expected a gradient " + text_of(p) + " for" + which + ", got " + text_of(g) +
               (g.defined() ? "" : "; was it used in the loss?"),
           at);
    for (const auto* state : states)
      if (const Tensor& moment = (*state)[i]; !moment.defined() || moment.type() != p.type())
        fail(who,
             "expected" + which + " to be " + text_of(moment) + ", as when the optimiser was made, got " + text_of(p) +
                 "; make a new one",
             at);
  }
}

void check_rate(const char* who, double lr, double weight_decay, const Location& at) {
  if (!(lr >= 0 && weight_decay >= 0))
    fail(who,
         "expected a learning rate and weight decay of at least 0, got " + std::to_string(lr) + " and " +
             std::to_string(weight_decay),
         at);
}

/// f64 where a parameter is, whose digits a rate of f32 would not have.
Tensor rate_for(const std::vector<Tensor*>& parameters, double lr, const Location& at) {
  bool doubles = std::any_of(parameters.begin(), parameters.end(), [&](auto* p) { return p->dtype(at) == DType::f64; });
  return {Arg(lr, at), doubles ? DType::f64 : DType::f32};
}

std::vector<Tensor> zeros_for(const std::vector<Tensor*>& parameters) {
  std::vector<Tensor> made;
  for (const Tensor* p : parameters) made.push_back(zeros_like(*p));
  return made;
}

}  // namespace

// ---------------------------------------------------------------- SGD

Sgd sgd_for(const std::vector<Tensor*>& parameters, const SgdOptions& o, Location at) {
  check_rate("sgd", o.lr, o.weight_decay, at);
  if (o.nesterov && (o.momentum <= 0 || o.dampening != 0))
    fail("sgd",
         "expected momentum above 0 and no dampening with nesterov, got momentum " + std::to_string(o.momentum) +
             " and dampening " + std::to_string(o.dampening),
         at);
  Sgd made{.momentum = o.momentum, .dampening = o.dampening, .weight_decay = o.weight_decay, .nesterov = o.nesterov};
  made.lr = rate_for(parameters, o.lr, at);
  made.step = Tensor(0, DType::i64);
  if (o.momentum != 0) made.velocity = zeros_for(parameters);
  return made;
}

void Sgd::apply(const std::vector<Tensor*>& parameters, const std::vector<Tensor*>& gradients, Location at) {
  if (momentum != 0)
    check_match("sgd", parameters, gradients, {&velocity}, at);
  else
    check_match("sgd", parameters, gradients, {}, at);
  // The first step takes the gradient undampened, as PyTorch does.
  Tensor share = momentum != 0 && dampening != 0 ? where(step == 0, 1.0, Tensor(1 - dampening, DType::f64)) : Tensor();
  for (size_t i = 0; i < parameters.size(); ++i) {
    Tensor& p = *parameters[i];
    Tensor g = *gradients[i];
    if (weight_decay != 0) g = g + p * weight_decay;
    if (momentum != 0) {
      velocity[i] = velocity[i] * momentum + (share.defined() ? g * cast(share, p.dtype()) : g);
      g = nesterov ? g + velocity[i] * momentum : velocity[i];
    }
    p = p - g * cast(lr, p.dtype());
  }
  step = step + 1;
}

// ---------------------------------------------------------------- Adam

Adam adam_for(const std::vector<Tensor*>& parameters, const AdamOptions& o, bool decoupled, Location at) {
  check_rate("adam", o.lr, o.weight_decay, at);
  if (!(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1))
    fail("adam", "expected betas in [0, 1), got " + std::to_string(o.beta1) + " and " + std::to_string(o.beta2), at);
  Adam made{
      .beta1 = o.beta1, .beta2 = o.beta2, .epsilon = o.epsilon, .weight_decay = o.weight_decay, .decoupled = decoupled};
  made.lr = rate_for(parameters, o.lr, at);
  made.step = Tensor(0, DType::i64);
  made.exp_avg = zeros_for(parameters);
  made.exp_avg_sq = zeros_for(parameters);
  return made;
}

void Adam::apply(const std::vector<Tensor*>& parameters, const std::vector<Tensor*>& gradients, Location at) {
  check_match("adam", parameters, gradients, {&exp_avg, &exp_avg_sq}, at);
  step = step + 1;
  // 1 - beta^t as -expm1(t log beta), exact for small t too; in f64, for one number.
  Tensor t = cast(step, DType::f64);
  Tensor correction1 = -expm1(t * std::log(beta1)), correction2 = -expm1(t * std::log(beta2));
  Tensor size = cast(lr, DType::f64) / correction1, scale = rsqrt(correction2);
  for (size_t i = 0; i < parameters.size(); ++i) {
    Tensor& p = *parameters[i];
    Tensor g = *gradients[i];
    Tensor rate = cast(lr, p.dtype());
    if (weight_decay != 0 && !decoupled) g = g + p * weight_decay;
    if (weight_decay != 0 && decoupled) p = p - p * (rate * weight_decay);
    exp_avg[i] = exp_avg[i] * beta1 + g * (1 - beta1);
    exp_avg_sq[i] = exp_avg_sq[i] * beta2 + g * g * (1 - beta2);
    p = p - exp_avg[i] * cast(size, p.dtype()) / (sqrt(exp_avg_sq[i]) * cast(scale, p.dtype()) + epsilon);
  }
}

// ---------------------------------------------------------------- clipping

Tensor clip_grad_norm(const std::vector<Tensor*>& gradients, double max_norm, Location at) {
  if (gradients.empty()) fail("clip_grad_norm", "expected at least one gradient, got none", at);
  Tensor total;
  bool doubles = std::any_of(gradients.begin(), gradients.end(), [&](auto* g) { return g->dtype(at) == DType::f64; });
  for (const Tensor* g : gradients) {
    Tensor s = sum(square(cast(*g, doubles ? DType::f64 : DType::f32)));
    total = total.defined() ? total + s : s;
  }
  Tensor norm = sqrt(total), factor = minimum(max_norm / (norm + 1e-6), 1.0);
  for (Tensor* g : gradients) *g = *g * cast(factor, g->dtype());
  return norm;
}

void clip_grad_value(const std::vector<Tensor*>& gradients, double limit, Location at) {
  if (!(limit >= 0)) fail("clip_grad_value", "expected a limit of at least 0, got " + std::to_string(limit), at);
  for (Tensor* g : gradients) *g = clip(Arg(*g, at), -limit, limit);
}

// ---------------------------------------------------------------- schedules

/// From a to b along half a cosine, at a fraction of the way.
static double along_cosine(double a, double b, double fraction) {
  return b + (a - b) * (1 + std::cos(std::numbers::pi * fraction)) / 2;
}

double StepSchedule::operator()(i64 step) const {
  return lr * std::pow(factor, static_cast<double>(step / std::max<i64>(every, 1)));
}

double CosineSchedule::operator()(i64 step) const {
  i64 end = std::max<i64>(steps, 1);
  return along_cosine(lr, least, static_cast<double>(std::min(step, end)) / static_cast<double>(end));
}

double OneCycleSchedule::operator()(i64 step) const {
  double top = rise * static_cast<double>(steps) - 1, end = static_cast<double>(steps) - 1;
  double first = peak / first_divisor, last = first / last_divisor, at = std::min(static_cast<double>(step), end);
  if (at <= top && top > 0) return along_cosine(first, peak, at / top);
  return end <= top ? last : along_cosine(peak, last, (at - top) / (end - top));
}

}  // namespace tn::optim
