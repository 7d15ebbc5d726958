// A callable as the engine runs it: traced, built into a plan, in a context on memory of the user's.
#pragma once
#include <cstdlib>
#include <memory>

#include "bench.h"
#include "tenon/engine.h"

namespace tn::bench {

class Planned {
 public:
  Planned(const Network& network, std::vector<Tensor> inputs);
  void run() { context_.run(); }
  NamedTensors outputs();

 private:
  struct Free {
    void operator()(void* p) const { std::free(p); }
  };
  struct Output {
    NamedType type;
    std::unique_ptr<void, Free> memory;
  };
  std::vector<Tensor> inputs_;  // whose memory the context reads
  engine::Context context_;
  std::vector<Output> outputs_;
};

/// `model` on these inputs; `names` are those of its results.
template <class Model, class... Names>
Work planned(const Inputs& in, const Model& model, const std::vector<std::string>& names, const Names&... inputs) {
  Network network = trace_network(model, names, NamedType{inputs, in[inputs].type()}...);
  auto plan = std::make_shared<Planned>(network, std::vector<Tensor>{in[inputs]...});
  return {[plan] { plan->run(); }, [plan] { return plan->outputs(); }};
}

}  // namespace tn::bench
