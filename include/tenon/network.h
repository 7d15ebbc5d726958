// Networks: graphs with names, as files hold them and plans are built from. A network comes from a model of ours or
// from an ONNX file; it can be edited, trained on, written out, and built into a plan (engine.h).
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tenon/parameters.h"
#include "tenon/transform.h"

namespace [[gnu::visibility("default")]] tn {

struct NamedGraph;

/// An input or output: a symbolic extent (Dim::symbol("batch")) may be any size.
struct NamedType {
  std::string name;
  Type type;
};

/// A field of a plugin's op, or an attribute of ours, by name.
struct Field {
  std::string name;
  double number = 0;
};

/// Loads a plugin (see tenon_plugin.h): its ops can then be used by name in every network of the process. Returns their
/// names; Error naming the file and the fault. Loading it again is no error.
std::vector<std::string> load_plugin(const std::string& path);

class Network {
 public:
  Network();
  explicit Network(std::shared_ptr<const NamedGraph> net);

  std::vector<NamedType> inputs() const;
  std::vector<NamedType> outputs() const;
  /// The named constants: trained tensors and running statistics.
  NamedTensors weights() const;
  /// The same network with other weights, in the order of weights(); types must be the same.
  Network with_weights(std::span<const Tensor> weights) const;
  /// The results for these inputs, recorded like any operation.
  std::vector<Tensor> operator()(std::span<const Tensor> inputs, Location at = Location::current()) const;
  /// The same with weights as arguments, so that they can be differentiated and trained.
  std::vector<Tensor> apply(std::span<const Tensor> weights, std::span<const Tensor> inputs,
                            Location at = Location::current()) const;
  /// The network with the last node of op `op` replaced by a node of op `by` on the same operands. Error when there is
  /// none or the types do not fit.
  Network replace_last(std::string_view op, std::string_view by, const std::vector<Field>& fields = {}) const;
  /// How many nodes of that op there are.
  size_t count(std::string_view op) const;
  /// The graph as text.
  std::string text() const;
  /// A picture of the graph, as SVG.
  std::string svg() const;

  const NamedGraph& named_graph() const { return *net_; }

 private:
  struct Lifted;
  std::shared_ptr<const NamedGraph> net_;
  std::shared_ptr<Lifted> lifted_;
};

namespace detail {
/// An open trace of a network.
class NetworkTrace {
 public:
  explicit NetworkTrace(Location where);
  ~NetworkTrace();
  /// After all of these,
  Tensor input(const NamedType& type);
  /// the model's tensors: each becomes a leaf, so that it stands in the graph itself and not what is computed of it.
  void weight(const std::string& name, Tensor& tensor);
  Network close(std::span<Tensor* const> results, const std::vector<std::string>& outputs);

 private:
  struct State;
  std::unique_ptr<State> state_;
};
}  // namespace detail

/// The network of a model called on tensors of these types; its tensors become named weights, its results the outputs.
///   Network net = trace_network(model, {"logits"}, NamedType{"image", Type::tensor(DType::f32, {batch, 1, 28, 28})});
template <class Model, class... Inputs>
Network trace_network(const Model& model, const std::vector<std::string>& outputs, const Inputs&... inputs) {
  detail::NetworkTrace trace(Location::current());
  auto results = [&] {
    std::vector<Tensor> given{trace.input(inputs)...};
    Model traced = model;
    walk_named(traced, [&](const std::string& name, Tensor& t, bool) {
      if (t.defined()) trace.weight(name, t);
    });
    return [&]<size_t... I>(std::index_sequence<I...>) {
      return std::as_const(traced)(given[I]...);
    }(std::index_sequence_for<Inputs...>());
  }();
  return trace.close(leaves(results), outputs);
}

/// Reads an ONNX model (opsets 7 to 27). One Error names every problem: node, operator version, expected, found, fix.
Network import_onnx(const std::string& path);
/// Writes an ONNX model, atomically. Ops that ONNX lacks are written as simpler ones, plugins' ops in domain
/// "ai.tenon".
void export_onnx(const Network& network, const std::string& path);

}  // namespace tn
