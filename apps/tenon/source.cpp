#include "source.h"

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <unordered_set>

#include "engine/plan_state.h"
#include "onnx/import.h"
#include "runtime/execute.h"
#include "tenon/error.h"
#include "tensor/evaluate.h"

namespace tn::app {

namespace fs = std::filesystem;

Tensor to_tensor(Array a) { return handle(new_value(std::move(a), Location::current())); }
Array to_array(const Tensor& t) { return value_of(node_of(t, "run", Location::current()), Location::current()); }

bool is_plan(const std::string& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error)) return false;  // a pipe would hold it up
  char magic[8] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof magic);
  return std::string_view(magic, sizeof magic) == "TENONPLN";
}

std::vector<NamedType> Source::outputs() const {
  return plan ? plan->outputs() : engine::named(net.outputs, net.graph->output_types());
}

std::vector<Array> Source::run() {
  if (!plan) return execute(net.graph, inputs);
  std::vector<Tensor> given;
  for (const Array& a : inputs) given.push_back(to_tensor(a));
  std::vector<Array> results;
  for (const Tensor& t : engine::Context(*plan).run(given)) results.push_back(to_array(t));
  return results;
}

const NamedGraph& Source::graph() { return plan ? plan->state().network() : net; }

static Source open_plan(const std::string& path, const std::string& folder) {
  Source s;
  s.plan = engine::Plan::load(path);
  if (!s.plan->note().empty()) std::fprintf(stderr, "tenon: note: %s\n", s.plan->note().c_str());
  std::vector<std::string> names;
  for (const NamedType& i : s.plan->inputs()) names.push_back(i.name);
  Given given = read_inputs(folder, names, names);
  s.protobuf = given.protobuf;
  s.inputs = arranged(s.plan->inputs(), given);
  return s;
}

Source open_source(const std::string& path, const std::string& folder, const std::vector<std::string>& plugins) {
  for (const std::string& p : plugins) load_plugin(p);
  if (is_plan(path)) return open_plan(path, folder);
  onnx::ModelDef model = onnx::read_model(path);
  std::unordered_set<std::string> backed;
  for (const auto& t : model.graph.initializers) backed.insert(t.name);
  std::vector<std::string> all, open;
  for (const auto& i : model.graph.inputs) {
    all.push_back(i.name);
    if (!backed.contains(i.name)) open.push_back(i.name);
  }
  Given given = read_inputs(folder, all, open);
  onnx::ImportOptions options;
  options.folder = fs::path(path).parent_path().string();
  if (options.folder.empty()) options.folder = ".";
  options.known_inputs = given.values;
  Source s;
  try {
    s.net = onnx::import_model(model, options);
  } catch (const Error&) {
    options.fix_sizes = true;  // what does not hold for every size may hold for these
    s.net = onnx::import_model(model, options);
  }
  s.protobuf = given.protobuf;
  s.inputs = arranged(engine::named(s.net.inputs, s.net.graph->input_types()), given);
  return s;
}

}  // namespace tn::app
