// Optimisers, learning-rate schedules and gradient clipping, as PyTorch defines them.
//
// An optimiser is a struct of tensors like a model: it goes through jit as an argument, is saved and loaded by name,
// and its learning rate is a tensor (f64 where a parameter is, else f32), so that a schedule costs no retrace; in an
// f64 model give it as `Tensor(rate, DType::f64)`. `update(model, gradients)` rebinds the model's parameters (floating
// tensors outside of buffers) and the optimiser's own state.
//
//   auto adam = optim::adam(model, {.lr = 1e-3});
//   auto step = jit([](Model& m, optim::Adam& o, const Tensor& x, const Tensor& y) {
//     auto [loss, gradients] = value_and_grad(loss_of)(m, x, y);
//     o.update(m, gradients);
//     return loss;
//   });
#pragma once
#include "tenon/ops.h"
#include "tenon/parameters.h"

namespace [[gnu::visibility("default")]] tn {
namespace optim {

struct SgdOptions {
  double lr = 1e-3, momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
};

struct Sgd {
  Tensor lr = {}, step = {};
  std::vector<Tensor> velocity = {};  // empty without momentum
  double momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;

  template <class Model>
  void update(Model& model, const Model& gradients, Location at = Location::current()) {
    apply(parameters(model), parameters(gradients), at);
  }
  void apply(const std::vector<Tensor*>& parameters, const std::vector<Tensor*>& gradients,
             Location at = Location::current());
};

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
};

/// Adam (Kingma and Ba 2015) with bias correction; `decoupled` makes it AdamW (Loshchilov and Hutter 2019).
struct Adam {
  Tensor lr = {}, step = {};
  std::vector<Tensor> exp_avg = {}, exp_avg_sq = {};
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 0;
  bool decoupled = false;

  template <class Model>
  void update(Model& model, const Model& gradients, Location at = Location::current()) {
    apply(parameters(model), parameters(gradients), at);
  }
  void apply(const std::vector<Tensor*>& parameters, const std::vector<Tensor*>& gradients,
             Location at = Location::current());
};

/// Those of AdamW, whose weights decay unless that is switched off.
struct AdamWOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weight_decay = 1e-2;
};

Sgd sgd_for(const std::vector<Tensor*>& parameters, const SgdOptions& options, Location at);
Adam adam_for(const std::vector<Tensor*>& parameters, const AdamOptions& options, bool decoupled, Location at);

template <class Model>
Sgd sgd(const Model& model, const SgdOptions& options = {}, Location at = Location::current()) {
  return sgd_for(parameters(model), options, at);
}
template <class Model>
Adam adam(const Model& model, const AdamOptions& options = {}, Location at = Location::current()) {
  return adam_for(parameters(model), options, false, at);
}
template <class Model>
Adam adamw(const Model& model, const AdamWOptions& options = {}, Location at = Location::current()) {
  const auto& [lr, beta1, beta2, epsilon, weight_decay] = options;
  return adam_for(parameters(model), {lr, beta1, beta2, epsilon, weight_decay}, true, at);
}

/// One step with the gradients that `backward` left in `grad()`; parameters become new leaves and start at zero again.
template <class Model, class Optimizer>
void step_backward(Model& model, Optimizer& optimizer, Location at = Location::current()) {
  auto all = parameters(model);
  std::vector<Tensor> gradients;
  for (Tensor* p : all) gradients.push_back(p->grad());
  std::vector<Tensor*> addresses;
  for (Tensor& g : gradients) addresses.push_back(&g);
  for (Tensor* p : all) *p = p->detach();
  optimizer.apply(all, addresses, at);
  for (Tensor* p : all) p->requires_grad();
}

/// Scales all gradients by one factor so that their common norm is at most max_norm; returns the norm before.
Tensor clip_grad_norm(const std::vector<Tensor*>& gradients, double max_norm, Location at = Location::current());
/// Clips each element to [-limit, limit].
void clip_grad_value(const std::vector<Tensor*>& gradients, double limit, Location at = Location::current());

// Schedules: the learning rate of each step, counted from 0.

/// lr * factor^(step / every)
struct StepSchedule {
  double lr = 1e-3;
  i64 every = 1;
  double factor = 0.1;
  double operator()(i64 step) const;
};
/// From lr down to `least` over `steps`, along a cosine.
struct CosineSchedule {
  double lr = 1e-3;
  i64 steps = 1;
  double least = 0;
  double operator()(i64 step) const;
};
/// Up to `peak` over the first part, down to almost nothing over the rest (Smith and Topin 2018), by cosines.
struct OneCycleSchedule {
  double peak = 1e-3;
  i64 steps = 1;
  double rise = 0.3, first_divisor = 25, last_divisor = 1e4;
  double operator()(i64 step) const;
};

}  // namespace optim
}  // namespace tn
