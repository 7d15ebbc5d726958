// `tenon bench`: how long runs of a model or plan take.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "base/thread_pool.h"
#include "commands.h"
#include "engine/plan_state.h"
#include "source.h"
#include "tenon/error.h"
#include "tenon/random.h"
#include "tenon/tenon.h"

namespace tn::app {

namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

/// A value for an input: normal numbers, or zeros of other kinds, which are a place in any table.
Array made_up(const NamedType& input, const DimEnv& env) {
  Shape shape;
  for (Dim d : input.type.shape()) shape.push_back(evaluate(d, env));
  if (!differentiable(input.type)) return to_array(zeros(shape, input.type.dtype()));
  return to_array(cast(random::normal(random::key(0), shape), input.type.dtype()).eval());
}

/// The sizes asked for; others as their profile wants them, else 1.
DimEnv sizes_of(const engine::Plan& plan, const std::vector<std::string>& given) {
  DimEnv env;
  std::set<std::string> names;
  for (const NamedType& i : plan.inputs())
    for (Dim d : i.type.shape())
      for (Dim s : symbols_of(d)) names.insert(to_string(s));
  for (const std::string& text : given) {
    auto [name, value] = assignment("bench", text);
    if (!names.contains(name)) fail("bench", "expected a size of the inputs, got '" + name + "'");
    env.set(Dim::symbol(name), whole_number("bench", value));
  }
  for (const std::string& name : names) {
    i64 size = 1;
    for (const auto& p : plan.profiles())
      if (p.name == name) size = p.opt;
    if (!env.find(Dim::symbol(name))) env.set(Dim::symbol(name), size);
  }
  return env;
}

struct Times {
  std::vector<double> sorted;
  /// The time that a share of the runs keep within (nearest rank).
  double within(double share) const {
    auto rank = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
    return sorted[std::max<size_t>(rank, 1) - 1];
  }
  double mean() const {
    double sum = 0;
    for (double t : sorted) sum += t;
    return sum / static_cast<double>(sorted.size());
  }
};

Times measured(engine::Context& context, const std::vector<Tensor>& inputs, const BenchOptions& o) {
  auto until = Clock::now() + std::chrono::duration<double>(o.seconds / 10);
  do context.run(inputs);
  while (o.runs == 0 && Clock::now() < until);
  Times t;
  auto begin = Clock::now();
  while (o.runs > 0 ? t.sorted.size() < static_cast<size_t>(o.runs)
                    : t.sorted.empty() || ms_since(begin) < o.seconds * 1e3) {
    auto start = Clock::now();
    context.run(inputs);
    t.sorted.push_back(ms_since(start));
  }
  std::sort(t.sorted.begin(), t.sorted.end());
  return t;
}

}  // namespace

void bench(const BenchOptions& o) {
  if (!(o.seconds > 0)) fail("bench", "expected --seconds above 0, got " + std::to_string(o.seconds));
  if (o.runs < 0) fail("bench", "expected --runs of at least 0, got " + std::to_string(o.runs));
  for (const std::string& p : o.plugins) load_plugin(p);
  auto start = Clock::now();
  bool stored = is_plan(o.model);
  engine::Plan plan = stored ? engine::Plan::load(o.model) : engine::build(import_onnx(o.model));
  double ready = ms_since(start);
  std::vector<Array> arrays;
  if (o.inputs.empty()) {
    DimEnv env = sizes_of(plan, o.sizes);
    for (const NamedType& i : plan.inputs()) arrays.push_back(made_up(i, env));
  } else {
    std::vector<std::string> names;
    for (const NamedType& i : plan.inputs()) names.push_back(i.name);
    arrays = arranged(plan.inputs(), read_inputs(o.inputs, names, names));
  }
  std::vector<Tensor> inputs;
  nlohmann::ordered_json shapes = nlohmann::ordered_json::object();
  for (size_t i = 0; i < arrays.size(); ++i) {
    shapes[plan.inputs()[i].name] = extents(arrays[i]);
    inputs.push_back(to_tensor(std::move(arrays[i])));
  }
  engine::Context context(plan);
  start = Clock::now();
  context.run(inputs);
  double first = ms_since(start);
  Times t = measured(context, inputs, o);
  nlohmann::ordered_json j = {{"model", o.model},
                              {"inputs", shapes},
                              {"threads", ThreadPool::shared().threads()},
                              {stored ? "load_ms" : "build_ms", ready},
                              {"first_ms", first},
                              {"runs", t.sorted.size()},
                              {"mean_ms", t.mean()},
                              {"min_ms", t.sorted.front()},
                              {"p50_ms", t.within(0.5)},
                              {"p90_ms", t.within(0.9)},
                              {"p99_ms", t.within(0.99)},
                              {"max_ms", t.sorted.back()}};
  if (o.json) {
    std::cout << j.dump(2) << "\n";
    return;
  }
  for (const auto& [name, text] : shapes.items())
    std::printf("%-10s %s\n", name.c_str(), text.get<std::string>().c_str());
  for (const auto& [key, value] : j.items())
    if (value.is_number_float()) std::printf("%-10s %.4g\n", key.c_str(), value.get<double>());
  std::printf("%-10s %zu on %d threads\n", "runs", t.sorted.size(), ThreadPool::shared().threads());
}

}  // namespace tn::app
