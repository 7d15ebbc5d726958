// A model or plan that a command was given, ready to be run on values.
#pragma once
#include <memory>
#include <optional>

#include "ir/named_graph.h"
#include "tenon/engine.h"
#include "values.h"

namespace tn::app {

bool is_plan(const std::string& path);

/// Either a plan or a graph, with the inputs a folder gives for it.
struct Source {
  std::optional<engine::Plan> plan;
  NamedGraph net;  // of a model
  std::vector<Array> inputs;
  bool protobuf = true;

  std::vector<NamedType> outputs() const;
  std::vector<Array> run();
  /// The graph, of a plan the one it was built from.
  const NamedGraph& graph();
};

/// Loads plugins, the model or plan, and the inputs of the folder. A plan's note is said on standard error.
Source open_source(const std::string& path, const std::string& inputs, const std::vector<std::string>& plugins);

/// Tensors over arrays and back.
Tensor to_tensor(Array a);
Array to_array(const Tensor& t);

}  // namespace tn::app
